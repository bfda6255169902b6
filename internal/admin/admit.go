package admin

import (
	"context"
	"net/http"

	"moneyer/bearer"
	"moneyer/internal/adminapi"
	"moneyer/internal/overload"
	"moneyer/oauth"
)

// admitted is what a request holds of the limits, in its context.
type admitted struct {
	overload.Permit
	badToken bool
}

type admittedKey struct{}

// admit passes on requests within the limits: those whose token was found good before get in
// whatever comes beside them, the others have a share.
func (a *API) admit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := a.Now()
		permit, err := a.Admission.AdmitToken(r, r.Header.Get("Authorization"), now)
		p := &admitted{Permit: permit}
		defer func() {
			if p.badToken {
				p.Bad(now)
			}
			p.Release(p.badToken)
		}()
		if err == nil {
			err = p.Hold()
		}
		if err != nil {
			a.fail(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), admittedKey{}, p)))
	})
}

// verified is called for a request whose token is good and has the scope.
func (a *API) verified(w http.ResponseWriter, r *http.Request) {
	if p, ok := r.Context().Value(admittedKey{}).(*admitted); ok {
		p.Good(bearer.ClaimsFrom(r.Context()).Expiry, a.Now())
	}
	if a.ExtendDeadlines != nil {
		a.ExtendDeadlines(w)
	}
}

// refuse answers a request whose token is not good, or lacks the scope.
func (a *API) refuse(w http.ResponseWriter, r *http.Request, status int, err *oauth.Error) {
	if p, ok := r.Context().Value(admittedKey{}).(*admitted); ok {
		p.badToken = err.Code == oauth.InvalidToken
	}
	writeJSON(w, status, adminapi.Failure{Code: err.Code, Description: err.Description})
}
