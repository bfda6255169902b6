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

// SharedLimit bounds how many do a thing at once, as a [ConcurrencyLimit] does, and gives each
// address a share of the places that gets smaller the fewer are free. It is safe for
// concurrent use.
type SharedLimit struct {
	most      int
	mu        sync.Mutex
	inUse     int
	byAddress map[netip.Addr]int
}

// NewSharedLimit makes a limit of so many at once.
func NewSharedLimit(most int) *SharedLimit {
	return &SharedLimit{most: most, byAddress: map[netip.Addr]int{}}
}

// Acquire reports whether the address is within the limit and its share. If so it must Release.
func (l *SharedLimit) Acquire(address netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inUse >= l.most {
		return false
	}
	held := l.byAddress[address]
	if held >= share(l.most, l.inUse, addressPart, 1) {
		return false
	}
	l.byAddress[address] = held + 1
	l.inUse++
	return true
}

// Release makes room for another.
func (l *SharedLimit) Release(address netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inUse--
	if l.byAddress[address]--; l.byAddress[address] == 0 {
		delete(l.byAddress, address)
	}
}

// InUse is how many there are at the moment.
func (l *SharedLimit) InUse() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int64(l.inUse)
}
