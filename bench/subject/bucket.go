package subject

import (
	"sync"
	"time"
)

// bucket is a token bucket that holds what is granted in a twentieth of a second.
type bucket struct {
	perSecond int

	mu   sync.Mutex // guards the fields below
	left float64
	last time.Time
}

// take reports whether one more is granted.
func (b *bucket) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	rate := float64(b.perSecond)
	b.left = min(b.left+rate*now.Sub(b.last).Seconds(), max(rate/20, min(rate, 1)))
	b.last = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}
