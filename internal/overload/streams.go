package overload

import (
	"net/http"
	"net/netip"
)

// Serve has h answer a request. It reports whether the request was within the bound of
// requests of HTTP/2 at once and the share of its address; otherwise nothing was done. Such a
// request counts until its answer was taken: a connection carries many of them, and a caller that
// opens no flow-control window for the answers (RFC 9113 §5.2) has the server keep all of them.
//
// Requests of trusted proxies and of HTTP/1.1 are not counted: of the latter a connection has
// one.
func (c *Connections) Serve(h http.Handler, w http.ResponseWriter, r *http.Request) bool {
	if r.ProtoMajor != 2 {
		h.ServeHTTP(w, r)
		return true
	}
	remote, _ := netip.ParseAddrPort(r.RemoteAddr) // net/http wrote it
	peer := remote.Addr().Unmap()
	if c.trusted.Load().Contain(peer) {
		h.ServeHTTP(w, r)
		return true
	}
	address := network(peer)
	if !c.streams.Acquire(address) {
		return false
	}
	defer c.streams.Release(address)
	h.ServeHTTP(w, r)
	_ = http.NewResponseController(w).Flush() // waits for the window; who is gone takes nothing more
	return true
}
