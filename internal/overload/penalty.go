package overload

import "time"

// Penalty keeps for each of many keys the instant until which it is refused. It is
// bounded and sharded as a [Limiter] is, and safe for concurrent use.
type Penalty[K comparable] struct{ limiter *Limiter[K] }

// NewPenalty remembers about maxKeys keys. When more are refused at once, arbitrary
// ones are let go.
func NewPenalty[K comparable](maxKeys int) *Penalty[K] {
	return &Penalty[K]{NewLimiter[K](Rate{}, maxKeys)}
}

// Impose has key refused until then.
func (p *Penalty[K]) Impose(key K, until, now time.Time) {
	s := p.limiter.of(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.due[key]; !known && len(s.due) >= p.limiter.maxKeys {
		s.makeRoom(now)
	}
	s.due[key] = until
}

// Remaining is how long key is still refused; 0 when it is not.
func (p *Penalty[K]) Remaining(key K, now time.Time) time.Duration {
	s := p.limiter.of(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	until, refused := s.due[key]
	if !refused {
		return 0
	}
	if !until.After(now) {
		delete(s.due, key)
		return 0
	}
	return until.Sub(now)
}
