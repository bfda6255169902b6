package server

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
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
// X-Token-As-Of is empty unless the token was judged by what was known last.
var tokenHeaders = []string{"X-Token-Issuer", "X-Token-Client", "X-Token-Subject", "X-Token-Scope", "X-Token-Id", "X-Token-Expires", "X-Token-As-Of", "X-Token-Claims"}

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
	if !e.Gate.Enter() {
		return nil, tooMany()
	}
	defer e.Gate.Leave()
	ctx, cancel := context.WithTimeout(r.Context(), e.Timeout)
	defer cancel()
	token, err := e.Authority.Introspect(ctx, e.issuer, presented, e.Now())
	if err != nil {
		return nil, err
	}
	scope, audiences, err := required(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	for _, audience := range audiences {
		if !slices.Contains(token.Claims.Audience, audience) {
			return nil, oauth.Errorf(oauth.InvalidToken, "the access token is for another audience")
		}
	}
	if scope.Missing(strings.Fields(token.Claims.Scope)) != "" {
		return nil, oauth.Errorf(oauth.InsufficientScope, "the access token lacks a required scope")
	}
	return token, nil
}

// required reads what the query requires. Other parameters, which may be the
// request's own and may be malformed, are passed over; a requirement never is.
// (url.ParseQuery passes over what it cannot read, and above 10,000 parameters
// over everything.)
func required(query string) (scope oauth.Scope, audiences []string, err error) {
	for pair := range strings.SplitSeq(query, "&") {
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, _ := url.QueryUnescape(rawName)
		if name != "scope" && name != "audience" {
			continue
		}
		value, err := url.QueryUnescape(rawValue)
		if err != nil {
			return nil, nil, oauth.Errorf(oauth.InvalidRequest, "%s in the query is malformed", name)
		}
		if name == "scope" {
			scope = append(scope, strings.Fields(value)...)
		} else {
			audiences = append(audiences, value)
		}
	}
	return scope, audiences, nil
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
		h["Retry-After"] = retrySeconds(refusal.RetryAfter)
	case refusal.Code == oauth.ServerError:
		status = http.StatusInternalServerError
	case refusal.Code == oauth.InvalidRequest:
		status = http.StatusBadRequest
		challenge += `, error="invalid_request", error_description="` + refusal.Description + `"`
	case refusal.Code == oauth.InsufficientScope:
		status = http.StatusForbidden
		scope, _, _ := required(r.URL.RawQuery)
		challenge += `, error="insufficient_scope", scope="` + quotable(scope) + `"`
	case refusal.Description != "":
		challenge += `, error="invalid_token", error_description="` + refusal.Description + `"`
	}
	if status < http.StatusInternalServerError {
		h.Set("WWW-Authenticate", challenge)
	}
	correlation, _ := e.wire.correlate(w, r) // a malformed one is replaced, and no reason to refuse
	now := e.Now()
	e.Refused.write(r.Context(), e.issuer.Name, correlation, func() string { return e.address(r).String() }, status, refusal, now)
	e.Observe(e.issuer.Name, "check", refusal.Code, now.Sub(started))
	h.Set("Content-Length", "0")
	w.WriteHeader(status)
}

// quotable keeps to what a quoted scope may hold (RFC 6750 §3).
func quotable(scope oauth.Scope) string {
	parsed, err := oauth.ParseScope(scope.String())
	if err != nil {
		return ""
	}
	return parsed.String()
}

// hand puts what the token says into headers, all of tokenHeaders.
func (e *endpoint) hand(h http.Header, t *authority.ActiveToken) {
	c := t.Claims
	asOf := ""
	if !t.AsOf.IsZero() {
		asOf = strconv.FormatInt(t.AsOf.Unix(), 10)
	}
	for i, value := range []string{c.Issuer, t.Client, c.Subject, c.Scope, c.ID, strconv.FormatInt(c.Expiry, 10), asOf,
		base64.RawURLEncoding.EncodeToString(t.Payload)} {
		h[tokenHeaders[i]] = []string{headerValue(value)}
	}
}

// headerValue writes in percent-encoding what is no visible ASCII, the percent sign
// itself, and a space at either end, which readers of HTTP take off.
func headerValue(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '%' || c == ' ' && (i == 0 || i == len(s)-1) {
			b.WriteString(string([]byte{'%', hex[c>>4], hex[c&15]}))
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
