package server

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"moneyer/internal/authority"
	"moneyer/oauth"
)

// token is the token endpoint (RFC 6749 §3.2): decode, exchange, encode, or fail.
func (e *endpoint) token(w http.ResponseWriter, r *http.Request) {
	started := e.Now()
	correlation, err := e.wire.correlate(w, r)
	if r.Method != http.MethodPost {
		err = oauth.Errorf(oauth.MethodNotAllowed, "the token endpoint takes POST")
	}
	var token *authority.AccessToken
	if err == nil {
		token, err = e.exchange(w, r, correlation, started)
	}
	if err != nil {
		e.fail(w, r, correlation, err, started)
		return
	}
	e.encode(w, token)
	e.Observe(e.issuer.Name, "", e.Now().Sub(started))
}

// exchange lets a request in, reads it and gets its token.
func (e *endpoint) exchange(w http.ResponseWriter, r *http.Request, correlation string, now time.Time) (*authority.AccessToken, error) {
	if !e.Gate.Enter() {
		return nil, oauth.Errorf(oauth.TemporarilyUnavailable, "too many requests at once").After(time.Second)
	}
	defer e.Gate.Leave()
	address := e.address(r)
	if wait, ok := e.AddressRate.Take(address, now); !ok {
		return nil, oauth.Errorf(oauth.RateLimited, "too many refused requests from this address").After(wait)
	}
	req, err := e.wire.decode(w, r)
	if err != nil {
		return nil, err
	}
	req.Correlation = correlation
	ctx, cancel := context.WithTimeout(r.Context(), e.Timeout)
	defer cancel()
	token, err := e.Authority.Exchange(ctx, e.issuer, req)
	if err == nil || oauth.AsError(err).Code.Retryable() {
		e.AddressRate.Return(address) // only what is refused for its own fault counts
	}
	return token, err
}

// address is who sends the request: the peer, or behind trusted proxies the last
// address in X-Forwarded-For that is not one of them. An IPv6 caller is its /64.
func (e *endpoint) address(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	addr := peer.Addr().Unmap()
	if e.trusted(addr) {
		addr = e.forwarded(r.Header.Values("X-Forwarded-For"), addr)
	}
	if addr.Is6() {
		if network, err := addr.WithZone("").Prefix(64); err == nil {
			return network.Addr()
		}
	}
	return addr
}

func (e *endpoint) trusted(addr netip.Addr) bool {
	for _, prefix := range e.TrustedProxies {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}
