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

// maxHeld is the largest body that is kept in memory so that it can be sent once
// more, in bytes.
const maxHeld = 1 << 20

// route leads from a prefix of the agent's paths to an upstream.
type route struct {
	name     string
	prefix   string // without its last slash
	settings *Upstream
	source   *tokensource.Source
	proxy    *httputil.ReverseProxy
	log      *slog.Logger
}

// serve sends a request to the upstream, and its answer back.
func (u *route) serve(w http.ResponseWriter, r *http.Request) {
	if len(u.settings.Methods) > 0 && !slices.Contains(u.settings.Methods, r.Method) {
		w.Header().Set("Allow", strings.Join(u.settings.Methods, ", "))
		methodNotAllowed.write(w)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), u.settings.TotalTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { // a body that does not come must not block the route
		_ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0))
	})
	defer stop()
	r = r.WithContext(ctx)
	if refused := u.hold(w, r); refused != nil {
		refused.write(w)
		return
	}
	if refused := u.await(ctx); refused != nil {
		refused.write(w)
		return
	}
	u.proxy.ServeHTTP(w, r)
}

// hold bounds the body, and keeps a small one of announced length in memory: if
// the upstream refuses the token, the request can be sent again with another
// (http.Request.GetBody). Any other is streamed.
func (u *route) hold(w http.ResponseWriter, r *http.Request) *refusal {
	if r.ContentLength > u.settings.MaxBody {
		return &tooLarge
	}
	r.Body = http.MaxBytesReader(w, r.Body, u.settings.MaxBody)
	if r.ContentLength == 0 {
		return nil
	}
	if r.ContentLength < 0 || r.ContentLength > maxHeld {
		_ = http.NewResponseController(w).EnableFullDuplex() // the answer may begin before the body ends
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

// await waits for a token, but no longer than for an answer. The proxy then has
// it from memory, so that whatever fails there is the upstream's.
func (u *route) await(ctx context.Context) *refusal {
	ctx, cancel := context.WithTimeout(ctx, u.settings.AnswerTimeout)
	defer cancel()
	if _, err := u.source.Token(ctx); err != nil {
		return noToken(err)
	}
	return nil
}

// rewrite makes the request for the upstream: its address, and nothing of the
// way by which it came. The proxy has dropped the hop-by-hop headers already
// (RFC 9110 §7.6.1), and its transport sets Authorization.
func (u *route) rewrite(p *httputil.ProxyRequest) {
	p.Out.URL = u.address(p.In.URL)
	p.Out.Host = "" // the URL's
	for name := range p.Out.Header {
		if strings.HasPrefix(name, "X-Forwarded-") || slices.Contains(dropped, name) {
			delete(p.Out.Header, name)
		}
	}
}

// dropped are the headers that end at the agent, in the canonical spelling.
// Cookie: a browser's, or another port's on the same host. Upgrade: what follows
// would escape every bound. Expect: the agent has answered it.
var dropped = []string{"Authorization", "Cookie", "X-Real-Ip", "Connection", "Upgrade", "Expect"}

// address puts the upstream's URL in place of the prefix and leaves the rest as
// the program wrote it, byte for byte.
func (u *route) address(in *url.URL) *url.URL {
	escaped := strings.TrimSuffix(u.settings.url.EscapedPath(), "/") + strings.TrimPrefix(in.EscapedPath(), u.prefix)
	to := &url.URL{Scheme: u.settings.url.Scheme, Host: u.settings.url.Host, RawPath: escaped, RawQuery: in.RawQuery, ForceQuery: in.ForceQuery}
	to.Path, _ = url.PathUnescape(escaped) // both parts were parsed before
	return to
}

// clean removes from an answer the cookies, which would be kept for the agent's host,
// and the header that only the agent sets.
func (u *route) clean(resp *http.Response) error {
	resp.Header.Del("Set-Cookie")
	resp.Header.Del(errorHeader)
	if resp.StatusCode == http.StatusUnauthorized {
		u.forget(resp.Request)
	}
	return nil
}

// forget discards the token of a request that was refused and could not be sent
// again, so that the next request has another one.
func (u *route) forget(r *http.Request) {
	if r.ContentLength == 0 || r.GetBody != nil {
		return // the transport has discarded it
	}
	token, err := u.source.Token(r.Context())
	if err == nil && r.Header.Get("Authorization") == string(token.Type)+" "+token.AccessToken {
		u.source.Discard(token)
	}
}

// failed answers when the upstream did not.
func (u *route) failed(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(r.Context().Err(), context.Canceled) {
		gone.write(w)
		return
	}
	u.log.Warn("no answer from the upstream", "upstream", u.name, "cause", err.Error())
	upstreamFailure(err).write(w)
}
