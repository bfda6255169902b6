package bearer

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"moneyer/oauth"
)

// errNone is the cause of a refusal for want of a credential, which RFC 6750 §3.1
// answers without an error code.
var errNone = errors.New("no bearer credential")

// claimsKey is where the claims stand in a request's context.
type claimsKey struct{}

// ClaimsFrom returns the claims of the token that Require let pass, or nil.
func ClaimsFrom(ctx context.Context) *Claims {
	claims, _ := ctx.Value(claimsKey{}).(*Claims)
	return claims
}

// Require returns middleware that lets a request pass when it carries an access
// token that Verify accepts and that holds all of scopes. Any other request is
// answered by RFC 6750 §3: 401 for no token or a bad one, 403 for too little
// scope, 400 for two credentials or a malformed header, 503 while nobody can
// judge.
func (v *Verifier) Require(scopes ...string) func(http.Handler) http.Handler {
	needed := oauth.Scope(scopes)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			claims, err := v.authorize(r, needed)
			if err != nil {
				v.refuse(w, r, needed, err)
				return
			}
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), claimsKey{}, claims)))
		})
	}
}

// authorize judges a request.
func (v *Verifier) authorize(r *http.Request, needed oauth.Scope) (*Claims, error) {
	token, err := credential(r)
	if err != nil {
		return nil, err
	}
	claims, err := v.Verify(r.Context(), token)
	if err != nil {
		return nil, err
	}
	return claims, claims.require(needed)
}

// credential returns the token of the Authorization header (RFC 6750 §2.1), whose
// scheme has no case (RFC 9110 §11.1). Two credentials are one too many, also when
// the second stands in the query (RFC 6750 §2).
func credential(r *http.Request) (string, error) {
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return "", noCredential()
	}
	if len(values) > 1 || strings.Contains(r.URL.RawQuery, "access_token=") && r.URL.Query().Has("access_token") {
		return "", oauth.Errorf(oauth.InvalidRequest, "more than one credential")
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, oauth.TokenTypeBearer) {
		return "", noCredential()
	}
	token = strings.TrimLeft(token, " ")
	if token == "" || strings.ContainsAny(token, " ,\t") {
		return "", oauth.Errorf(oauth.InvalidRequest, "the Authorization header is not Bearer and one token")
	}
	return token, nil
}

func noCredential() *oauth.Error {
	return oauth.Errorf(oauth.InvalidToken, "an access token is needed").Because(errNone)
}

// refuse answers a request that does not pass.
func (v *Verifier) refuse(w http.ResponseWriter, r *http.Request, needed oauth.Scope, err error) {
	e := oauth.AsError(err)
	status := statusOf(e.Code)
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	if status < http.StatusInternalServerError {
		header.Set("WWW-Authenticate", v.challenge(e, needed))
	}
	if e.RetryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(int((e.RetryAfter+time.Second-1)/time.Second)))
	}
	if v.Refuse != nil {
		v.Refuse(w, r, status, e)
		return
	}
	w.WriteHeader(status)
}

// statusOf is the status of a code (RFC 6750 §3.1).
func statusOf(code oauth.Code) int {
	switch code {
	case oauth.InvalidRequest:
		return http.StatusBadRequest
	case oauth.InvalidToken:
		return http.StatusUnauthorized
	case oauth.InsufficientScope:
		return http.StatusForbidden
	case oauth.TemporarilyUnavailable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// challenge writes WWW-Authenticate (RFC 6750 §3).
func (v *Verifier) challenge(e *oauth.Error, needed oauth.Scope) string {
	var params []string
	add := func(name, value string) {
		if value != "" {
			params = append(params, name+`="`+quotable(value)+`"`)
		}
	}
	add("realm", v.Realm)
	if !errors.Is(e, errNone) {
		add("error", string(e.Code))
		add("error_description", e.Description)
	}
	if e.Code == oauth.InsufficientScope {
		scope := append(v.RequiredScope[:len(v.RequiredScope):len(v.RequiredScope)], needed...)
		add("scope", scope.String())
	}
	return strings.TrimSpace(oauth.TokenTypeBearer + " " + strings.Join(params, ", "))
}

// quotable leaves out what a quoted parameter cannot hold.
func quotable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7E || r == '"' || r == '\\' {
			return -1
		}
		return r
	}, s)
}
