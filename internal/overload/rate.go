package overload

import (
	"hash/maphash"
	"sync"
	"time"
)

// Rate is a sustained rate with a burst above it. A zero PerSecond means no limit.
type Rate struct {
	PerSecond float64
	Burst     int
}

const shards = 64

// Limiter bounds how often each of many keys (an address, a client) may do a thing.
// It is the generic cell rate algorithm over a bounded, sharded map, so that no lock
// is shared by all and a flood of new keys costs bounded memory. It is safe for
// concurrent use.
type Limiter[K comparable] struct {
	interval time.Duration // between two events at the sustained rate
	slack    time.Duration // how far ahead of its schedule a key may run
	maxKeys  int           // in one shard
	seed     maphash.Seed
	shard    [shards]shard[K]
}

type shard[K comparable] struct {
	mu  sync.Mutex
	due map[K]time.Time // when the key's schedule is level again
}

// longest bounds a burst times the time between two events, lest a sum of both
// be more than a time.Duration holds. A slower rate is raised to fit its burst.
const longest = 100 * 365 * 24 * time.Hour

// NewLimiter makes a limiter that remembers about maxKeys keys. When more are busy at
// once, the memory of arbitrary ones is lost, which errs on the side of letting
// them through.
func NewLimiter[K comparable](rate Rate, maxKeys int) *Limiter[K] {
	l := &Limiter[K]{maxKeys: max(maxKeys/shards, 1), seed: maphash.MakeSeed()}
	if rate.PerSecond > 0 {
		burst := max(rate.Burst, 1)
		interval := min(float64(time.Second)/rate.PerSecond, float64(longest)/float64(burst))
		l.interval = max(time.Duration(interval), 1)
		l.slack = l.interval * time.Duration(burst-1)
	}
	for i := range l.shard {
		l.shard[i].due = map[K]time.Time{}
	}
	return l
}

// Take counts one event of key at now. When the key is over its rate nothing is
// counted, and wait is how long until it would succeed.
func (l *Limiter[K]) Take(key K, now time.Time) (wait time.Duration, ok bool) {
	return l.take(key, now, l.slack)
}

// take is Take with another bound than slack.
func (l *Limiter[K]) take(key K, now time.Time, slack time.Duration) (wait time.Duration, ok bool) {
	if l.interval == 0 {
		return 0, true
	}
	s := l.of(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	due, known := s.due[key]
	if due.Before(now) {
		due = now
	}
	if ahead := due.Sub(now); ahead > slack {
		return ahead - slack, false
	}
	if !known && len(s.due) >= l.maxKeys {
		s.makeRoom(now)
	}
	s.due[key] = due.Add(l.interval)
	return 0, true
}

// Refund takes back one event that Take counted.
func (l *Limiter[K]) Refund(key K) {
	if l.interval == 0 {
		return
	}
	s := l.of(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if due, ok := s.due[key]; ok {
		s.due[key] = due.Add(-l.interval)
	}
}

func (l *Limiter[K]) of(key K) *shard[K] {
	return &l.shard[maphash.Comparable(l.seed, key)%shards]
}

// makeRoom looks at a few keys, forgets those that are level again, and at
// least one.
func (s *shard[K]) makeRoom(now time.Time) {
	const look = 8
	looked := 0
	for key, due := range s.due {
		if looked == 0 || !due.After(now) {
			delete(s.due, key)
		}
		if looked++; looked == look {
			return
		}
	}
}
