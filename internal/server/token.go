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
	e.post(w, r, func(ctx context.Context, req *authority.Request) error {
		token, err := e.Authority.Exchange(ctx, e.issuer, req)
		if err != nil {
			return err
		}
		e.encode(w, token)
		return nil
	})
}

// post reads a request, hands it on, and fails where that does. answer writes the
// answer when it returns nil, and nothing otherwise.
func (e *endpoint) post(w http.ResponseWriter, r *http.Request, answer func(context.Context, *authority.Request) error) {
	started := e.Now()
	correlation, err := e.wire.correlate(w, r)
	if r.Method != http.MethodPost {
		err = oauth.Errorf(oauth.MethodNotAllowed, "this endpoint takes POST")
	}
	if err == nil {
		err = e.admit(w, r, correlation, started, answer)
	}
	if err != nil {
		e.fail(w, r, correlation, err, started)
		return
	}
	e.Observe(e.issuer.Name, e.name, "", e.Now().Sub(started))
}

// admit lets a request in where there is room, and reads it.
func (e *endpoint) admit(w http.ResponseWriter, r *http.Request, correlation string, now time.Time, answer func(context.Context, *authority.Request) error) error {
	address := e.address(r)
	if wait, ok := e.AddressRate.Take(address, now); !ok {
		return oauth.Errorf(oauth.RateLimited, "too many refused requests from this address").After(wait)
	}
	req, err := e.read(w, r)
	if err == nil {
		req.Correlation, req.Address = correlation, address
		err = e.work(r, req, answer)
	}
	if err == nil || oauth.AsError(err).Code.Retryable() {
		e.AddressRate.Return(address) // only what is refused for its own fault counts
	}
	return err
}

// read reads a request. Who sends slowly keeps a place among the readers, and
// none among those that are at work.
func (e *endpoint) read(w http.ResponseWriter, r *http.Request) (*authority.Request, error) {
	if e.Lag.TooLong() || !e.Readers.Enter() {
		return nil, tooMany()
	}
	defer e.Readers.Leave()
	return e.wire.decode(w, r)
}

// work answers a request that was read, within its time.
func (e *endpoint) work(r *http.Request, req *authority.Request, answer func(context.Context, *authority.Request) error) error {
	if !e.Gate.Enter() {
		return tooMany()
	}
	defer e.Gate.Leave()
	ctx, cancel := context.WithTimeout(r.Context(), e.Timeout)
	defer cancel()
	return answer(ctx, req)
}

func tooMany() error {
	return oauth.Errorf(oauth.TemporarilyUnavailable, "too many requests at once").After(time.Second)
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
