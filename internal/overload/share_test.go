package overload

import (
	"net/netip"
	"testing"
)

// take has an address take as many places as it gets.
func take(l *SharedLimit, address netip.Addr) (got int) {
	for l.Acquire(address) {
		got++
	}
	return got
}

// TestShare: one address gets about a tenth. When 45 have taken all they can, each
// of hundreds more still finds a place.
func TestShare(t *testing.T) {
	const most = 8192
	l := NewSharedLimit(most)
	if got := take(l, netip.AddrFrom4([4]byte{10})); got < most/12 || got > most/addressPart {
		t.Errorf("one address got %d of %d places", got, most)
	}
	for n := range 45 {
		take(l, netip.AddrFrom4([4]byte{127, 0, 1, byte(n)}))
	}
	if free := most - int(l.InUse()); free < most/8 {
		t.Errorf("45 addresses left %d of %d places", free, most)
	}
	for n := range 400 {
		if take(l, netip.AddrFrom4([4]byte{127, 1, byte(n >> 8), byte(n)})) == 0 {
			t.Fatalf("address %d got none", n)
		}
	}
}

// TestSharedLimitGivesBack: what is released is free again, and nothing is kept of an address
// that holds nothing.
func TestSharedLimitGivesBack(t *testing.T) {
	l := NewSharedLimit(64)
	one, other := netip.AddrFrom4([4]byte{1}), netip.AddrFrom4([4]byte{2})
	if got := take(l, one); got != 6 {
		t.Errorf("%d of 64 places", got)
	}
	if !l.Acquire(other) {
		t.Error("another address got none")
	}
	for range 6 {
		l.Release(one)
	}
	l.Release(other)
	if l.InUse() != 0 || len(l.held.addresses) != 0 {
		t.Errorf("%d in use, %v", l.InUse(), l.held)
	}
	if got := take(l, other); got != 6 {
		t.Errorf("%d of 64 places after all were released", got)
	}
	if site := ofSite(1, 1); !l.Acquire(site) || len(l.held.sites) != 1 {
		t.Errorf("%v, with an address of a site", l.held)
	} else if l.Release(site); len(l.held.addresses) != 1 || len(l.held.sites) != 0 {
		t.Errorf("%v, after it was released", l.held)
	}
	if NewSharedLimit(0).Acquire(one) {
		t.Error("a place of none")
	}
}

// ofSite is an address of a site of IPv6: the first 48 bits are the site's, and 16 tell its networks
// apart, each of which counts as one address.
func ofSite(site, n int) netip.Addr {
	return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(site >> 8), byte(site), byte(n >> 8), byte(n)})
}

// TestShareOfASite: whoever has a whole network of IPv6 does not get the places of all its
// addresses.
func TestShareOfASite(t *testing.T) {
	const most = 8192
	l := NewSharedLimit(most)
	for n := range 1 << 12 {
		take(l, ofSite(1, n))
	}
	if got := int(l.InUse()); got < most/5 || got > most/3 {
		t.Errorf("one site got %d of %d places", got, most)
	}
	if got := take(l, ofSite(2, 0)); got < most/20 {
		t.Errorf("an address of another site got %d", got)
	}
}
