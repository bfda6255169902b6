package bearer

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"moneyer/oauth"
)

// errNone is the cause when a request has no credential, which RFC 6750 §3.1
// answers without an error code.
var errNone = errors.New("no bearer credential")

// claimsKey is the key of the claims in a request's context.
type claimsKey struct{}

// ClaimsFrom returns the claims of the access token, in a handler that Require
// wraps. Elsewhere it returns nil.
func ClaimsFrom(ctx context.Context) *Claims {
	claims, _ := ctx.Value(claimsKey{}).(*Claims)
	return claims
}

// Require returns middleware that passes on a request whose access token
// VerifyRequest accepts and has all of scopes. It answers any other request as
// RFC 6750 §3 says: 401 without a valid token, 403 when a scope is missing, 400
// for two credentials or a malformed header, 503 while tokens cannot be verified, 500
// when a required field of the Verifier is not set.
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

// VerifyRequest verifies the access token in the Authorization header of a request
// (RFC 6750 §2.1), as Verify does, and that a token which is bound to a client
// certificate comes with that certificate (RFC 8705 §3). It reads the header strictly: one header with
// the scheme TokenType and one token. A token in the query is never accepted; one
// beside the header makes two credentials (RFC 6750 §2). The error is always an
// *oauth.Error: one of Verify's, invalid_token when there is no credential, or
// invalid_request when there are two or the header is malformed. A required field that is
// not set is server_error, whatever the request has.
//
// VerifyRequest is for handlers and frameworks that Require does not fit; it does
// not look at the scope that a handler needs, but see RequiredScope.
func (v *Verifier) VerifyRequest(r *http.Request) (*Claims, error) {
	if err := v.ready(); err != nil {
		return nil, err // also without a token: no token would help
	}
	token, err := v.credential(r)
	if err != nil {
		return nil, err
	}
	return v.verifyFor(r.Context(), token, r)
}

// authorize verifies a request and its scope.
func (v *Verifier) authorize(r *http.Request, needed oauth.Scope) (*Claims, error) {
	claims, err := v.VerifyRequest(r)
	if err != nil {
		return nil, err
	}
	return claims, claims.require(needed)
}

// scheme is the scheme of the Authorization header.
func (v *Verifier) scheme() string { return string(cmp.Or(v.TokenType, oauth.TokenTypeBearer)) }

// credential returns the token of the Authorization header, whose scheme is
// compared without case (RFC 9110 §11.1).
func (v *Verifier) credential(r *http.Request) (string, error) {
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return "", noCredential()
	}
	if len(values) > 1 || r.URL.RawQuery != "" && r.URL.Query().Has("access_token") {
		return "", oauth.Errorf(oauth.InvalidRequest, "more than one credential")
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, v.scheme()) {
		return "", noCredential()
	}
	token = strings.TrimLeft(token, " ")
	if token == "" || strings.ContainsAny(token, " ,\t") {
		return "", oauth.Errorf(oauth.InvalidRequest, "the Authorization header is not %s and one token", v.scheme())
	}
	return token, nil
}

func noCredential() *oauth.Error {
	return oauth.Errorf(oauth.InvalidToken, "an access token is needed").Because(errNone)
}

// refuse answers a request that is refused.
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
	add("resource_metadata", v.metadata) // RFC 9728 §5.1
	return strings.TrimSpace(v.scheme() + " " + strings.Join(params, ", "))
}

// quotable removes the characters that a quoted parameter cannot hold.
func quotable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7E || r == '"' || r == '\\' {
			return -1
		}
		return r
	}, s)
}
