package tokensource

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"

	"moneyer/internal/fetch"
)

// Transport is an http.RoundTripper that puts an access token on each request
// (RFC 6750 §2.1), in place of any Authorization that it has. Give it to an
// http.Client.
//
// The token goes to the hosts that are meant and to no other: a request for
// another host, or over plain http to a host that is not loopback, is refused
// with an error and not sent.
//
// When the API answers 401, the token is discarded, see Source.Discard, and the
// request is sent once more with a new one. If its body cannot be had again
// (http.Request.GetBody), the 401 is returned, and the next call has a new token.
type Transport struct {
	// Source of the token.
	Source *Source
	// Request says which token; the zero value means the Source's usual one.
	Request Request
	// Hosts that may see the token, as "host" for its usual port or "host:port".
	// When empty, the host of a request may, but none that a redirect leads to.
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

// send puts the token on a copy of req: a RoundTripper must not change its request.
func (t *Transport) send(req *http.Request, token *Token) (*http.Response, error) {
	return t.base().RoundTrip(withToken(req, token))
}

// renewed gives up the token that was refused, and prepares a second try with
// another one.
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

// allow tells whether the token may go where req goes.
func (t *Transport) allow(req *http.Request) error {
	if !fetch.Secure(req.URL) {
		return fmt.Errorf("tokensource: the token does not go to %s: https, or http on a loopback host, is needed", req.URL.Host)
	}
	host := hostPort(req.URL)
	if len(t.Hosts) == 0 {
		if first := original(req); hostPort(first.URL) != host {
			return fmt.Errorf("tokensource: the token for %s does not follow a redirect to %s", first.URL.Host, req.URL.Host)
		}
		return nil
	}
	named := func(allowed string) bool {
		return hostPort(&url.URL{Scheme: req.URL.Scheme, Host: allowed}) == host
	}
	if !slices.ContainsFunc(t.Hosts, named) {
		return fmt.Errorf("tokensource: the token does not go to %s, which is not among Hosts", req.URL.Host)
	}
	return nil
}

// original returns the request that led to req by redirects, or req itself.
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
