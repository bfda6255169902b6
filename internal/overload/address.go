package overload

import (
	"net/http"
	"net/netip"
	"strings"
)

// Address is who sends the request: the peer, or behind trusted proxies the last
// address in X-Forwarded-For that is not one of them. An IPv6 caller is its /64.
func (a *Admission) Address(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	addr := peer.Addr().Unmap()
	if a.trusted(addr) {
		addr = a.forwarded(r.Header.Values("X-Forwarded-For"), addr)
	}
	if addr.Is6() {
		if network, err := addr.WithZone("").Prefix(64); err == nil {
			return network.Addr()
		}
	}
	return addr
}

func (a *Admission) trusted(addr netip.Addr) bool {
	for _, prefix := range a.TrustedProxies {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// forwarded reads X-Forwarded-For from its end, where our own proxies wrote, and
// returns the first address that is not a trusted proxy. What it cannot read
// ends the search at the proxy that sent it.
func (a *Admission) forwarded(headers []string, peer netip.Addr) netip.Addr {
	addr := peer
	for i := len(headers) - 1; i >= 0; i-- {
		rest := headers[i]
		for rest != "" {
			var hop string
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				rest, hop = rest[:comma], rest[comma+1:]
			} else {
				rest, hop = "", rest
			}
			next, err := netip.ParseAddr(strings.TrimSpace(hop))
			if err != nil {
				return addr
			}
			addr = next.Unmap()
			if !a.trusted(addr) {
				return addr
			}
		}
	}
	return addr
}
