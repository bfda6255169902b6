package server

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"moneyer/internal/authority"
	"moneyer/internal/platform"
	"moneyer/oauth"
)

// checkPath answers proxies that ask before they let a request through: nginx
// auth_request, Traefik ForwardAuth, Caddy forward_auth, HAProxy, Envoy ext_authz
// over HTTP (which appends the request's own path).
const checkPath = "/check"

// tokenHeaders are what a proxy hands on to the API. All of them are in every
// answer that lets through, so that none that the caller made up can remain.
// X-Token-As-Of is empty unless the answer rests on stale knowledge.
var tokenHeaders = []string{"X-Token-Issuer", "X-Token-Client", "X-Token-Subject", "X-Token-Scope", "X-Token-Id", "X-Token-Expires", "X-Token-As-Of", "X-Token-Claims"}

// check judges the token in Authorization (RFC 6750 §2.1, §3) against the scope
// and audience that the query requires. Each may be repeated; what the request's
// own query adds can only ask for more.
func (e *endpoint) check(w http.ResponseWriter, r *http.Request) {
	c := e.newCall(w, r)
	defer c.end()
	token, err := c.checked()
	if err != nil {
		c.correlation, _ = e.wire.correlate(w, r) // a malformed one is replaced, and no reason to refuse
		c.fail(err)
		return
	}
	h := w.Header()
	h["Cache-Control"] = noStore
	hand(h, token)
	h.Set("Content-Length", "0")
	w.WriteHeader(http.StatusOK)
	c.code = ""
}

// checkEndpoint refuses in the words of RFC 6750.
func (e *endpoint) checkEndpoint() *endpoint {
	return &endpoint{Server: e.Server, name: "check", issuer: e.issuer, wire: &wire{
		Wire:        &platform.Wire{Errors: rfc6750, Correlation: e.wire.Correlation},
		correlation: e.wire.correlation, certificates: e.wire.certificates,
	}}
}

func (c *call) checked() (*authority.ActiveToken, error) {
	presented, err := presentedToken(c.r.Header["Authorization"])
	if err != nil {
		return nil, err // there is nothing to be judged, so no limit is less work
	}
	if c.permit, err = c.Admission.AdmitToken(c.r, presented, c.started); err != nil {
		return nil, err
	}
	ctx, err := c.permit.Work(c.r.Context())
	if err != nil {
		return nil, err
	}
	token, err := c.Authority.Introspect(ctx, c.issuer, presented, c.Now())
	if err != nil {
		if oauth.AsError(err).Code == oauth.InvalidToken {
			c.permit.Bad(c.started)
		}
		return nil, err
	}
	c.permit.Good(time.Unix(token.Claims.Expiry, 0), c.started)
	if err := c.confirm(token); err != nil {
		return nil, err
	}
	scope, audiences, err := required(c.r.URL.RawQuery)
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

// confirm refuses a bound token unless the certificate is there to which it is bound: that of this
// connection, or the one that a trusted proxy forwards (RFC 8705 §3).
func (c *call) confirm(token *authority.ActiveToken) error {
	if !token.IsBound() {
		return nil
	}
	shown, _, err := c.wire.certificates.read(c.r, c.started)
	if err != nil {
		return err
	}
	return token.Confirm(shown)
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

// presentedToken reads "TYPE TOKEN" (RFC 6750 §2.1), where the type is the one that the
// issuer gives.
func presentedToken(values []string) (string, error) {
	if len(values) == 0 {
		return "", errNoToken
	}
	scheme, token := splitScheme(values[0])
	if len(values) > 1 || !strings.EqualFold(scheme, string(oauth.TokenTypeBearer)) || token == "" {
		return "", errNoToken
	}
	return token, nil
}

// hand puts what the token says into headers, all of tokenHeaders.
func hand(h http.Header, t *authority.ActiveToken) {
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
