package server

import (
	"context"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"moneyer/internal/authority"
	"moneyer/oauth"
)

// checkPath answers proxies that ask before they let a request through: nginx
// auth_request, Traefik ForwardAuth, Caddy forward_auth, HAProxy, Envoy ext_authz
// over HTTP (which appends the request's own path).
const checkPath = "/check"

// tokenHeaders are what a proxy hands on to the API. All of them are in every
// answer that lets through, so that none that the caller made up can remain.
var tokenHeaders = []string{"X-Token-Issuer", "X-Token-Client", "X-Token-Subject", "X-Token-Scope", "X-Token-Id", "X-Token-Expires", "X-Token-Claims"}

// check judges the token in Authorization (RFC 6750 §2.1, §3) against the scope
// and audience that the query requires. Each may be repeated; what the request's
// own query adds can only ask for more.
func (e *endpoint) check(w http.ResponseWriter, r *http.Request) {
	started := e.Now()
	w.Header()["Cache-Control"] = noStore
	token, err := e.checked(r)
	if err != nil {
		e.deny(w, r, err, started)
		return
	}
	e.hand(w.Header(), token)
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusOK)
	e.Observe(e.issuer.Name, "check", "", e.Now().Sub(started))
}

func (e *endpoint) checked(r *http.Request) (*authority.ActiveToken, error) {
	presented, err := bearerToken(r.Header["Authorization"])
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), e.Timeout)
	defer cancel()
	token, err := e.Authority.Introspect(ctx, e.issuer, presented, e.Now())
	if err != nil {
		return nil, err
	}
	query := r.URL.Query()
	held := strings.Fields(token.Claims.Scope)
	for _, scope := range query["scope"] {
		if word := oauth.Scope(strings.Fields(scope)).Missing(held); word != "" {
			return nil, oauth.Errorf(oauth.InsufficientScope, "the access token lacks a required scope")
		}
	}
	if audience := oauth.Scope(query["audience"]).Missing(token.Claims.Audience); audience != "" {
		return nil, oauth.Errorf(oauth.InvalidToken, "the access token is for another audience")
	}
	return token, nil
}

var errNoToken = oauth.Errorf(oauth.InvalidToken, "")

// bearerToken reads "Bearer TOKEN" (RFC 6750 §2.1).
func bearerToken(values []string) (string, error) {
	if len(values) == 0 {
		return "", errNoToken
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", errNoToken
	}
	return token, nil
}

// deny refuses in the words of RFC 6750 §3.1. Proxies know 401 and 403; any
// other status closes the way too.
func (e *endpoint) deny(w http.ResponseWriter, r *http.Request, err error, started time.Time) {
	refusal := oauth.AsError(err)
	status, h := http.StatusUnauthorized, w.Header()
	challenge := `Bearer realm="` + e.issuer.Name + `"`
	switch {
	case refusal.Code.Retryable():
		status = http.StatusServiceUnavailable
		h.Set("Retry-After", retrySeconds(refusal.RetryAfter))
	case refusal.Code == oauth.ServerError:
		status = http.StatusInternalServerError
	case refusal.Code == oauth.InsufficientScope:
		status = http.StatusForbidden
		challenge += `, error="insufficient_scope", scope="` + quotable(strings.Join(r.URL.Query()["scope"], " ")) + `"`
	case refusal.Description != "":
		challenge += `, error="invalid_token", error_description="` + refusal.Description + `"`
	}
	if status < http.StatusInternalServerError {
		h.Set("WWW-Authenticate", challenge)
	}
	now := e.Now()
	e.Refused.write(r.Context(), e.issuer.Name, r.Header.Get(e.wire.correlation), e.address(r).String(), status, refusal, now)
	e.Observe(e.issuer.Name, "check", refusal.Code, now.Sub(started))
	h.Set("Content-Length", "0")
	w.WriteHeader(status)
}

// quotable keeps to what a quoted scope may hold (RFC 6750 §3).
func quotable(scope string) string {
	parsed, err := oauth.ParseScope(scope)
	if err != nil {
		return ""
	}
	return parsed.String()
}

// hand puts what the token says into headers, all of tokenHeaders.
func (e *endpoint) hand(h http.Header, t *authority.ActiveToken) {
	c := t.Claims
	for i, value := range []string{c.Issuer, t.Client, c.Subject, c.Scope, c.ID, strconv.FormatInt(c.Expiry, 10),
		base64.RawURLEncoding.EncodeToString(t.Payload)} {
		h[tokenHeaders[i]] = []string{headerValue(value)}
	}
}

// headerValue writes what is no visible ASCII in percent-encoding, and the
// percent sign itself.
func headerValue(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c > 0x7E || c == '%' {
			b.WriteString(string([]byte{'%', hex[c>>4], hex[c&15]}))
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
