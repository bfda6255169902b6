package limit

import "time"

// Holds keeps for each of many keys the instant until which it is turned away. It
// is bounded and sharded as a [Limiter] is, and safe for concurrent use.
type Holds[K comparable] struct{ limiter *Limiter[K] }

// NewHolds makes holds for about maxKeys keys. When more are held at once,
// arbitrary ones are let go.
func NewHolds[K comparable](maxKeys int) *Holds[K] { return &Holds[K]{New[K](Rate{}, maxKeys)} }

// Hold turns key away until then.
func (h *Holds[K]) Hold(key K, until, now time.Time) {
	s := h.limiter.of(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.due[key]; !known && len(s.due) >= h.limiter.maxKeys {
		s.makeRoom(now)
	}
	s.due[key] = until
}

// Left tells how long key is still turned away; 0 when it is not.
func (h *Holds[K]) Left(key K, now time.Time) time.Duration {
	s := h.limiter.of(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	until, held := s.due[key]
	if !held {
		return 0
	}
	if !until.After(now) {
		delete(s.due, key)
		return 0
	}
	return until.Sub(now)
}
