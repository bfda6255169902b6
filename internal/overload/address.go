package overload

import (
	"net/http"
	"net/netip"
	"strings"
)

// Proxies are the networks of the proxies that may name a caller in X-Forwarded-For.
type Proxies []netip.Prefix

// Contain reports whether the address is that of a trusted proxy.
func (p Proxies) Contain(addr netip.Addr) bool {
	for _, prefix := range p {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// Address is who sends the request: the peer, or behind trusted proxies the last
// address in X-Forwarded-For that is not one of them. An IPv6 caller is its /64.
func (a *Admission) Address(r *http.Request) netip.Addr {
	addr, _ := a.caller(r)
	return addr
}

// caller is the Address, and reports whether a trusted proxy names it.
func (a *Admission) caller(r *http.Request) (addr netip.Addr, named bool) {
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}, false
	}
	addr = remote.Addr().Unmap()
	if a.TrustedProxies.Contain(addr) {
		addr = a.TrustedProxies.forwarded(r.Header.Values("X-Forwarded-For"), addr)
		named = !a.TrustedProxies.Contain(addr)
	}
	return network(addr), named
}

// network is what counts as one address: an IPv6 address is its /64.
func network(addr netip.Addr) netip.Addr {
	if addr.Is6() {
		if network, err := addr.WithZone("").Prefix(64); err == nil {
			return network.Addr()
		}
	}
	return addr
}

// forwarded reads X-Forwarded-For from its end, where our own proxies wrote, and
// returns the first address that is not a trusted proxy. What it cannot read
// ends the search at the proxy that sent it.
func (p Proxies) forwarded(headers []string, peer netip.Addr) netip.Addr {
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
			if !p.Contain(addr) {
				return addr
			}
		}
	}
	return addr
}
