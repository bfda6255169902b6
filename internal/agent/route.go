package agent

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"time"

	"moneyer/tokensource"
)

// maxBuffered is the largest body, in bytes, that is buffered so that it can be sent again.
const maxBuffered = 1 << 20

// route maps a path prefix of the agent to an upstream.
type route struct {
	name     string
	prefix   string // without the trailing slash
	settings *Upstream
	source   *tokensource.Source
	base     http.Client // its Transport sends to the upstream
	proxy    *httputil.ReverseProxy
	log      *slog.Logger
}

// serve proxies a request to the upstream.
func (u *route) serve(w http.ResponseWriter, r *http.Request) {
	if len(u.settings.Methods) > 0 && !slices.Contains(u.settings.Methods, r.Method) {
		w.Header().Set("Allow", strings.Join(u.settings.Methods, ", "))
		methodNotAllowed.write(w)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), u.settings.TotalTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { // a body that is never sent must not block the route
		_ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0))
	})
	defer stop()
	r = r.WithContext(ctx)
	if refused := u.bufferBody(w, r); refused != nil {
		refused.write(w)
		return
	}
	if refused := u.awaitToken(ctx); refused != nil {
		refused.write(w)
		return
	}
	u.proxy.ServeHTTP(w, r)
}

// bufferBody limits the body, and buffers a small one of known length: if the upstream refuses the token,
// the request can be sent again with another (http.Request.GetBody). Any other body is streamed.
func (u *route) bufferBody(w http.ResponseWriter, r *http.Request) *refusal {
	if r.ContentLength > u.settings.MaxBody {
		return &tooLarge
	}
	r.Body = http.MaxBytesReader(w, r.Body, u.settings.MaxBody)
	if r.ContentLength == 0 {
		return nil
	}
	if r.ContentLength < 0 || r.ContentLength > maxBuffered {
		_ = http.NewResponseController(w).EnableFullDuplex() // the response may begin before the body ends
		return nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return &incomplete
	}
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	r.Body, err = r.GetBody()
	if err != nil {
		return &incomplete
	}
	return nil
}

// awaitToken waits for a token, at most for the answer timeout. The proxy then gets it from memory, so
// that any later failure is the upstream's.
func (u *route) awaitToken(ctx context.Context) *refusal {
	ctx, cancel := context.WithTimeout(ctx, u.settings.AnswerTimeout)
	defer cancel()
	if _, err := u.source.Token(ctx); err != nil {
		return noToken(err)
	}
	return nil
}

// rewrite sets the address of the upstream and removes headers about the hop to the agent. The
// proxy has removed the hop-by-hop headers already (RFC 9110 section 7.6.1), and its transport sets
// Authorization.
func (u *route) rewrite(p *httputil.ProxyRequest) {
	p.Out.URL = u.address(p.In.URL)
	p.Out.Host = "" // use the host of the URL
	for name := range p.Out.Header {
		if isDropped(name) {
			delete(p.Out.Header, name)
		}
	}
}

// isDropped reports whether a header is not forwarded. Some servers read an underscore in a name as
// a hyphen (RFC 3875 section 4.1.18).
func isDropped(name string) bool {
	name = http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
	if slices.Contains(dropped, name) {
		return true
	}
	return slices.ContainsFunc(droppedPrefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// dropped are the headers that are not forwarded, in canonical form. Cookie: it belongs to a
// browser, or to another port of the same host. Upgrade: the upgraded connection would bypass all
// limits. Expect: the agent has answered it. The headers about methods replace the method that the
// agent has checked, for servers that accept them.
var dropped = []string{"Authorization", "Cookie", "X-Real-Ip", "Connection", "Upgrade", "Expect", "Forwarded",
	"X-Http-Method-Override", "X-Http-Method", "X-Method-Override"}

// droppedPrefixes begin the names of other headers that are not forwarded: about the hop to the
// agent, and those that replace the path or the host that the agent has checked.
var droppedPrefixes = []string{"X-Forwarded-", "X-Original-", "X-Rewrite-", "X-Host", "X-Envoy-Original-"}

// address replaces the prefix by the upstream's URL and keeps the rest of the path byte for byte.
func (u *route) address(in *url.URL) *url.URL {
	escaped := strings.TrimSuffix(u.settings.url.EscapedPath(), "/") + strings.TrimPrefix(in.EscapedPath(), u.prefix)
	to := &url.URL{Scheme: u.settings.url.Scheme, Host: u.settings.url.Host, RawPath: escaped, RawQuery: in.RawQuery, ForceQuery: in.ForceQuery}
	to.Path, _ = url.PathUnescape(escaped) // both parts were parsed before
	return to
}

// clean removes cookies from a response, which would be stored for the agent's host, and the header
// that only the agent sets.
func (u *route) clean(resp *http.Response) error {
	resp.Header.Del("Set-Cookie")
	resp.Header.Del(errorHeader)
	if resp.StatusCode == http.StatusUnauthorized {
		u.forget(resp.Request)
	}
	return nil
}

// forget discards the token of a request that was refused and could not be sent again, so that the
// next request gets a new one.
func (u *route) forget(r *http.Request) {
	if r.ContentLength == 0 || r.GetBody != nil {
		return // the transport has discarded it
	}
	token, err := u.source.Token(r.Context())
	if err == nil && r.Header.Get("Authorization") == string(token.Type)+" "+token.AccessToken {
		u.source.Discard(token)
	}
}

// failed responds if the upstream did not.
func (u *route) failed(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(r.Context().Err(), context.Canceled) {
		callerGone.write(w)
		return
	}
	u.log.Warn("no answer from the upstream", "upstream", u.name, "cause", err.Error())
	upstreamFailure(err).write(w)
}
