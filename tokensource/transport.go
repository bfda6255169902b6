package tokensource

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"

	"moneyer/internal/fetch"
)

// Transport is an http.RoundTripper that sets the Authorization header of each
// request to an access token (RFC 6750 §2.1). It replaces one that is there. See
// also Source.Client.
//
// A request over plain http to a host that is not loopback, or to a host that the
// token is not for, is not sent: it fails with an error.
//
// When the API answers 401, the Transport discards the token, as Source.Discard
// does, and sends the request once more with a new one. When the body of the
// request cannot be sent twice (http.Request.GetBody is nil), it returns the 401,
// and the next request has a new token.
type Transport struct {
	// Source provides the token.
	Source *Source
	// Request selects the token; the zero value means the Source's default one.
	Request Request
	// Hosts that the token is for, as "host" for the default port of the scheme or
	// as "host:port". When it is empty, the token is for the host of each request,
	// but not for another host that a redirect leads to.
	Hosts []string
	// Base sends the requests; nil means http.DefaultTransport.
	Base http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := t.allow(req); err != nil {
		closeBody(req)
		return nil, err
	}
	token, err := t.Source.TokenFor(req.Context(), t.Request)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	resp, err := t.send(req, token)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	again, ok := t.renewed(req, token)
	if !ok {
		return resp, nil
	}
	_, _ = io.CopyN(io.Discard, resp.Body, maxDrained) // lets the connection be used again
	_ = resp.Body.Close()
	return t.base().RoundTrip(again)
}

// send sends a copy of req with the token: a RoundTripper must not change its
// request.
func (t *Transport) send(req *http.Request, token *Token) (*http.Response, error) {
	return t.base().RoundTrip(withToken(req, token))
}

// renewed discards the token that was refused, and prepares a second try with
// another one. It reports whether there is one.
func (t *Transport) renewed(req *http.Request, refused *Token) (*http.Request, bool) {
	replayable := req.Body == nil || req.Body == http.NoBody || req.GetBody != nil
	if another := t.Source.Discard(refused); !another || !replayable {
		return nil, false
	}
	token, err := t.Source.TokenFor(req.Context(), t.Request)
	if err != nil || token.AccessToken == refused.AccessToken {
		return nil, false
	}
	again := withToken(req, token)
	if req.GetBody != nil {
		if again.Body, err = req.GetBody(); err != nil {
			return nil, false
		}
	}
	return again, true
}

func withToken(req *http.Request, token *Token) *http.Request {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", string(token.Type)+" "+token.AccessToken)
	return req
}

// allow refuses a request to a host that the token is not for.
func (t *Transport) allow(req *http.Request) error {
	if !fetch.Secure(req.URL) {
		return fmt.Errorf("tokensource: the token does not go to %s: https, or http on a loopback host, is needed, and no user in the URL", req.URL.Host)
	}
	host := hostPort(req.URL)
	if len(t.Hosts) == 0 {
		if first := original(req); hostPort(first.URL) != host {
			return fmt.Errorf("tokensource: the token for %s does not follow a redirect to %s", first.URL.Host, req.URL.Host)
		}
		return nil
	}
	is := func(allowed string) bool {
		return hostPort(&url.URL{Scheme: req.URL.Scheme, Host: allowed}) == host
	}
	if !slices.ContainsFunc(t.Hosts, is) {
		return fmt.Errorf("tokensource: the token does not go to %s, which is not among Hosts", req.URL.Host)
	}
	return nil
}

// original returns the request that redirects began with, or req itself.
func original(req *http.Request) *http.Request {
	for req.Response != nil && req.Response.Request != nil {
		req = req.Response.Request
	}
	return req
}

func (t *Transport) base() http.RoundTripper {
	if t.Base != nil {
		return t.Base
	}
	return http.DefaultTransport
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}
