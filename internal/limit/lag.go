package limit

import (
	"sync/atomic"
	"time"

	"moneyer/internal/turn"
)

const (
	// lagEvery is how often at most the lag is measured.
	lagEvery = 5 * time.Millisecond
	// lagKnown is how long a measurement counts for the next.
	lagKnown = 50 * time.Millisecond
)

// Lag tells how long a connection that has something to read waits until a
// processor reads it. Requests wait there, unseen, when more come than can be
// answered; whoever counts only those that were begun never finds the house full.
//
// It takes a turn among them now and then. Nothing runs while nobody asks.
type Lag struct {
	most     time.Duration
	turn     *turn.Turn
	start    time.Time
	asked    atomic.Int64 // when the turn was asked for that has not come, since start; 0 without one
	measured atomic.Int64 // when the last one came
	// late counts the turns in a row that took over most. One alone may be the whole
	// machine that stood still.
	late atomic.Int64
}

// tooManyLate is how many late turns in a row make a wait too long.
const tooManyLate = 2

// NewLag makes a Lag that calls a wait over most too long.
func NewLag(most time.Duration) (l *Lag, err error) {
	l = &Lag{most: most, start: time.Now().Add(-time.Hour)}
	l.turn, err = turn.New(func() { l.came(int64(time.Since(l.start))) })
	return l, err
}

// Close ends the measurements; a closed Lag finds no wait too long.
func (l *Lag) Close() error {
	err := l.turn.Close()
	l.late.Store(0)
	return err
}

func (l *Lag) came(now int64) {
	if time.Duration(now-l.asked.Load()) > l.most {
		l.late.Add(1)
	} else {
		l.late.Store(0)
	}
	l.measured.Store(now)
	l.asked.Store(0)
}

// TooLong tells whether those who are read now have waited too long. A nil Lag
// finds no wait too long.
func (l *Lag) TooLong() bool {
	if l == nil {
		return false
	}
	return l.tooLong(int64(time.Since(l.start)))
}

func (l *Lag) tooLong(now int64) bool {
	since := time.Duration(now - l.measured.Load())
	if l.asked.Load() == 0 && since > lagEvery && l.asked.CompareAndSwap(0, now) {
		if since > lagKnown {
			l.late.Store(0) // of another time
		}
		if err := l.turn.Ask(); err != nil {
			l.asked.Store(0) // closed
		}
	}
	return l.late.Load() >= tooManyLate
}
