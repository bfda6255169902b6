package admin

import (
	"net/http"

	"moneyer/bearer"
	"moneyer/internal/adminapi"
	"moneyer/oauth"
)

// guard lets through who shows one of our access tokens with the scope. Every
// other request is answered by bearer (RFC 6750 §3).
func (a *API) guard(scope string, next http.Handler) http.Handler {
	return a.Verifier.Require(scope)(next)
}

// refuseCaller writes the body of a refusal.
func refuseCaller(w http.ResponseWriter, _ *http.Request, status int, err *oauth.Error) {
	writeJSON(w, status, adminapi.Failure{Code: err.Code, Description: err.Description})
}

// actor is the client to whom the token was given, as the ledger names it.
func actor(r *http.Request) string { return bearer.ClaimsFrom(r.Context()).ClientID }
