package server

import (
	"net/netip"
	"strings"
)

// forwarded reads X-Forwarded-For from its end, where our own proxies wrote, and
// returns the first address that is not a trusted proxy. What it cannot read
// ends the search at the proxy that sent it.
func (e *endpoint) forwarded(headers []string, peer netip.Addr) netip.Addr {
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
			if !e.trusted(addr) {
				return addr
			}
		}
	}
	return addr
}
