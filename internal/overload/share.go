package overload

import (
	"net/netip"
	"sync"
)

// share is how many of most places one address may have while so many are in use: a
// part of them while all are free, and less by the square the fewer are free; at least least.
// Therefore n addresses that take all they can get, one after the other, leave about 1/(1+n/part)
// of the places free; shares in proportion to the free ones would leave next to none.
func share(most, inUse, part, least int) int {
	free := int64(most - inUse)
	return max(int(free*free/(int64(part)*int64(most))), least)
}

// addressPart is the part of a limit's places that one address may have.
const addressPart = 8

// holders counts what each address holds and, in IPv6, each site: a network of 48 bits (RFC 6177 §2).
// One customer easily has as much, which is 65,536 networks of 64 bits, each of them an address here.
type holders struct{ addresses, sites map[netip.Addr]int }

func newHolders() holders { return holders{map[netip.Addr]int{}, map[netip.Addr]int{}} }

// within reports whether the address and its site have less than their shares, of so many places of
// which inUse are taken. A site may have four times the part of an address.
func (h *holders) within(address netip.Addr, most, inUse, part, least int) bool {
	if h.addresses[address] >= share(most, inUse, part, least) {
		return false
	}
	return !address.Is6() || h.sites[siteOf(address)] < share(most, inUse, max(part/4, 1), least)
}

// add counts n more for the address, or fewer, and keeps nothing of one that holds nothing.
func (h *holders) add(address netip.Addr, n int) {
	count(h.addresses, address, n)
	if address.Is6() {
		count(h.sites, siteOf(address), n)
	}
}

func count(held map[netip.Addr]int, key netip.Addr, n int) {
	if n += held[key]; n > 0 {
		held[key] = n
	} else {
		delete(held, key)
	}
}

// siteOf is the first address of the site of an IPv6 address.
func siteOf(address netip.Addr) netip.Addr {
	full := address.As16()
	clear(full[6:])
	return netip.AddrFrom16(full)
}

// SharedLimit bounds how many do a thing at once, as a [ConcurrencyLimit] does, and gives each
// address, and each site of IPv6, a share of the places that gets smaller the fewer are free. It is safe for
// concurrent use.
type SharedLimit struct {
	most  int
	mu    sync.Mutex
	inUse int
	held  holders
}

// NewSharedLimit makes a limit of so many at once.
func NewSharedLimit(most int) *SharedLimit {
	return &SharedLimit{most: most, held: newHolders()}
}

// Acquire reports whether the address is within the limit and its share. If so it must Release.
func (l *SharedLimit) Acquire(address netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inUse >= l.most || !l.held.within(address, l.most, l.inUse, addressPart, 1) {
		return false
	}
	l.held.add(address, 1)
	l.inUse++
	return true
}

// Release makes room for another.
func (l *SharedLimit) Release(address netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inUse--
	l.held.add(address, -1)
}

// InUse is how many there are at the moment.
func (l *SharedLimit) InUse() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int64(l.inUse)
}
