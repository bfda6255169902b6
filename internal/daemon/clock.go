package daemon

import (
	"sync"
	"time"
)

const (
	// clockSlack is how far the wall clock may be ahead of the confirmed time before a jump
	// is assumed, and how long consumed assertions and revocations are kept beyond their
	// end: the clock may be set back a little, and a profile's leeway may grow by as much.
	// If the clock is set back further, the store refuses assertions that it may have
	// forgotten.
	clockSlack = 5 * time.Minute
	// distrust is how long a jump of the wall clock must last before it is believed.
	distrust = time.Hour
)

// confirmedClock gives the time up to which data may be forgotten: the wall clock, as far as
// a steady clock confirms it. The steady clock cannot be set. A jump of the wall clock
// forward is believed once it has lasted for distrust, one back at once. So a clock that is
// wrong for a minute deletes nothing.
//
// The steady clock is Go's monotonic clock, which stops while a machine is suspended: waking
// up counts as a jump. That keeps data for an hour longer, which is harmless.
type confirmedClock struct {
	start time.Time // wall clock at the steady time 0

	mu sync.Mutex
	// readings are in the order of their times and of their offsets. The first one is
	// believed.
	readings []reading
	jumped   bool
}

// reading says that the wall clock has been ahead of the steady clock by offset, or more, at
// each reading since a steady time.
type reading struct {
	offset, since time.Duration
}

// newConfirmedClock starts at the steady time 0. earlier is the last time that is known to
// have passed; zero if none is known, and then the wall clock is believed.
func newConfirmedClock(now, earlier time.Time) *confirmedClock {
	c := &confirmedClock{start: now.Round(0), readings: make([]reading, 1)} // Round strips the monotonic reading
	if !earlier.IsZero() {
		c.readings[0].offset = earlier.Sub(c.start)
	}
	return c
}

// observe takes a reading of both clocks. jumped reports whether it is the first one of a
// jump, and by is how far the wall clock is ahead of the confirmed time.
func (c *confirmedClock) observe(now time.Time, steady time.Duration) (by time.Duration, jumped bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := reading{offset: now.Round(0).Sub(c.start) - steady, since: steady}
	for n := len(c.readings); n > 0 && c.readings[n-1].offset >= r.offset; n-- {
		r.since = c.readings[n-1].since
		c.readings = c.readings[:n-1]
	}
	c.readings = append(c.readings, r)
	for len(c.readings) > 1 && steady-c.readings[1].since >= distrust {
		c.readings = c.readings[1:]
	}
	by = r.offset - c.readings[0].offset
	before := c.jumped
	c.jumped = by > clockSlack
	return by, c.jumped && !before
}

// at returns the time up to which data may be forgotten.
func (c *confirmedClock) at(now time.Time, steady time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	confirmed := c.start.Add(steady + c.readings[0].offset)
	if now = now.Round(0); now.Before(confirmed) {
		return now
	}
	return confirmed
}

// confirmed returns the time up to which data may be forgotten by the clocks of this machine.
func (s *state) confirmed() time.Time { return s.clock.at(s.now(), s.steady()) }

// observeClock takes a reading of the clocks, and logs a jump.
func (s *state) observeClock() {
	if by, jumped := s.clock.observe(s.now(), s.steady()); jumped {
		s.log.Warn("the clock jumped forward: nothing is removed by it yet", "by", by.String(), "for", distrust.String())
	}
}

// steadyClock returns a clock that begins at 0 and that nobody can set. It relies on the
// monotonic readings of now.
func steadyClock(now func() time.Time) func() time.Duration {
	start := now()
	return func() time.Duration { return now().Sub(start) }
}
