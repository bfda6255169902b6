package load

import (
	"sync/atomic"
	"time"
)

// schedule decides when the next request is due.
type schedule struct {
	begin, end time.Time
	stopped    atomic.Bool
	// due is nil in a closed round: each request is due at once.
	due chan time.Time
	// total and sent count the requests of an open round.
	total int
	sent  atomic.Int64
}

// newPacing spreads requests evenly at a rate.
func newPacing(begin time.Time, duration time.Duration, rate float64, connections int) *schedule {
	total := int(duration.Seconds() * rate)
	s := &schedule{begin: begin, end: begin.Add(duration), due: make(chan time.Time, max(connections, total)), total: total}
	interval := float64(time.Second) / rate
	go s.pace(func(i int) time.Time { return begin.Add(time.Duration(float64(i) * interval)) })
	return s
}

// pace makes each request due at its instant. Sleep is coarser than the interval of most rates:
// overdue requests follow at once, with latency counted from their due time.
func (s *schedule) pace(at func(i int) time.Time) {
	defer close(s.due)
	for i := range s.total {
		if s.stopped.Load() {
			return
		}
		due := at(i)
		sleepUntil(due)
		s.due <- due
	}
}

// next waits for the next due request, and returns false when the round is over.
func (s *schedule) next() (due time.Time, more bool) {
	if s.stopped.Load() {
		return due, false
	}
	if s.due == nil {
		now := time.Now()
		return now, now.Before(s.end)
	}
	due, more = <-s.due
	if !more {
		return due, false
	}
	// Late requests are sent, but not indefinitely: requests that are more than a second late after
	// the end count as unsent.
	if time.Since(s.end) > 0 && time.Since(due) > time.Second {
		s.stop()
		return due, false
	}
	s.sent.Add(1)
	return due, true
}

// stop ends the round for all connections.
func (s *schedule) stop() { s.stopped.Store(true) }

func (s *schedule) unsent() int { return s.total - int(s.sent.Load()) }
