package overload

import (
	"net/http"
	"net/netip"
	"testing"
)

func TestAddress(t *testing.T) {
	a := &Admission{TrustedProxies: []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:ffff::/48"),
	}}
	for _, row := range []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"the peer", "192.0.2.1:4711", nil, "192.0.2.1"},
		{"an IPv6 peer is its /64", "[2001:db8:1:2:3:4:5:6]:4711", nil, "2001:db8:1:2::"},
		{"IPv4 in IPv6", "[::ffff:192.0.2.1]:4711", nil, "192.0.2.1"},
		{"a zone is no part of it", "[fe80::1%eth0]:4711", nil, "fe80::"},
		{"a stranger's header is nothing", "192.0.2.1:4711", []string{"198.51.100.7"}, "192.0.2.1"},
		{"a proxy without header", "10.0.0.1:4711", nil, "10.0.0.1"},
		{"a proxy with an empty header", "10.0.0.1:4711", []string{""}, "10.0.0.1"},
		{"behind a proxy", "10.0.0.1:4711", []string{"198.51.100.7"}, "198.51.100.7"},
		{"behind an IPv6 proxy", "[2001:db8:ffff::1]:4711", []string{"2001:db8:1:2:3::4"}, "2001:db8:1:2::"},
		{"behind a proxy that is mapped", "[::ffff:10.0.0.1]:4711", []string{"::ffff:198.51.100.7"}, "198.51.100.7"},
		{"what the caller wrote itself comes first and counts for nothing", "10.0.0.1:4711", []string{"203.0.113.9, 198.51.100.7"}, "198.51.100.7"},
		{"behind two proxies", "10.0.0.1:4711", []string{"203.0.113.9, 198.51.100.7 ,10.0.0.2"}, "198.51.100.7"},
		{"two headers are one list", "10.0.0.1:4711", []string{"198.51.100.7", "10.0.0.3, 10.0.0.2"}, "198.51.100.7"},
		{"proxies all the way", "10.0.0.1:4711", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"nonsense ends the search at who sent it", "10.0.0.1:4711", []string{"198.51.100.7, unknown, 10.0.0.2"}, "10.0.0.2"},
		{"a comma at the end", "10.0.0.1:4711", []string{"198.51.100.7,"}, "10.0.0.1"},
		{"a port is nonsense", "10.0.0.1:4711", []string{"198.51.100.7:80"}, "10.0.0.1"},
		{"not an address", "pipe", nil, "invalid IP"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := &http.Request{RemoteAddr: row.peer, Header: http.Header{"X-Forwarded-For": row.forwarded}}
			if got := a.Address(r).String(); got != row.want {
				t.Errorf("address %s, want %s", got, row.want)
			}
		})
	}
}
