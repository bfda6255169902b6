package server

import (
	"context"
	"net/http"
	"time"

	"moneyer/internal/authority"
	"moneyer/internal/overload"
	"moneyer/internal/platform"
	"moneyer/oauth"
)

// token is the token endpoint (RFC 6749 §3.2).
func (e *endpoint) token(w http.ResponseWriter, r *http.Request) {
	c := e.newCall(w, r)
	defer c.end()
	ctx, err := c.begin()
	if err != nil {
		c.fail(err)
		return
	}
	token, err := e.Authority.Exchange(ctx, e.issuer, c.req)
	if err != nil {
		c.fail(err)
		return
	}
	if c.req.Scope != "" && c.issuer.Profile.Policy.Scope.Unknown == platform.UnknownIgnore {
		c.Refused.dropped(ctx, c.issuer.Name, c.correlation, token, c.req.Scope)
	}
	c.encode(token)
}

// call is one request at an endpoint.
type call struct {
	*endpoint
	w           http.ResponseWriter
	r           *http.Request
	started     time.Time
	correlation string
	permit      overload.Permit
	req         *authority.Request
	// code is that of the refusal, "" once it is granted. A handler that gives no
	// answer leaves a server_error.
	code oauth.Code
}

func (e *endpoint) newCall(w http.ResponseWriter, r *http.Request) call {
	return call{endpoint: e, w: w, r: r, started: e.Now(), code: oauth.ServerError}
}

// begin admits the request and decodes it. A slow sender holds a place among the readers,
// and none among the requests at work.
func (c *call) begin() (ctx context.Context, err error) {
	c.correlation, err = c.wire.correlate(c.w, c.r)
	if c.r.Method != http.MethodPost && !c.wire.reads(c.r) {
		err = oauth.Errorf(oauth.MethodNotAllowed, "this endpoint takes POST")
	}
	if err != nil {
		return nil, err
	}
	if c.permit, err = c.Admission.Admit(c.r, c.started); err != nil {
		return nil, err
	}
	if c.req, err = c.wire.decode(c.w, c.r, &c.Admission.Limits); err != nil {
		return nil, err
	}
	if c.req.Certificate, c.req.CertificateIgnored, err = c.wire.certificates.read(c.r, c.started); err != nil {
		return nil, err
	}
	c.req.Correlation, c.req.Address = c.correlation, c.permit.Address
	return c.permit.Work(c.r.Context())
}

// decided gives back what the call holds, before the answer is written: a caller that takes
// it slowly, as over HTTP/2 without a window, must hold no place that others need.
func (c *call) decided(code oauth.Code) {
	c.code = code
	c.permit.Release(code != "" && !code.Retryable())
}

// end gives back what the call holds, and counts its outcome. It is deferred before begin,
// so that a panic gives back everything, too.
func (c *call) end() {
	c.decided(c.code)
	c.Observe(c.issuer.Name, c.name, c.code, c.Now().Sub(c.started))
}
