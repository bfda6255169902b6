package limit

import (
	"sync/atomic"
	"time"

	"moneyer/internal/turn"
)

const (
	// lagEvery is how often at most the lag is measured.
	lagEvery = 5 * time.Millisecond
	// lagKnown is how long a measurement is believed once the next is overdue.
	lagKnown = 50 * time.Millisecond
	// lagCrowd is how many requests must have been read during a long wait. After fewer
	// it was no crowd that kept the processors busy, but the machine that stood still.
	lagCrowd = 300
)

// Lag tells how long a connection that has something to read waits until a
// processor reads it. Requests wait there, unseen, when more come than can be
// answered; whoever counts only those that were begun never finds the house full.
//
// It takes a turn among them now and then. Nothing runs while nobody asks.
type Lag struct {
	most     time.Duration
	now      func() time.Time
	turn     *turn.Turn
	start    time.Time
	asked    atomic.Int64 // when the turn was asked for that has not come, since start; 0 without one
	crowd    atomic.Int64 // how many were read since then
	measured atomic.Int64 // when the last one came
	late     atomic.Bool  // it had taken too long
}

// NewLag makes a Lag that calls a wait over most too long.
func NewLag(most time.Duration, now func() time.Time) (l *Lag, err error) {
	l = &Lag{most: most, now: now, start: now().Add(-time.Hour)}
	l.turn, err = turn.New(func() { l.came(l.clock()) })
	return l, err
}

// clock is the time since start.
func (l *Lag) clock() int64 { return int64(l.now().Sub(l.start)) }

// Close ends the measurements; a closed Lag finds no wait too long.
func (l *Lag) Close() error {
	err := l.turn.Close()
	l.late.Store(false)
	return err
}

func (l *Lag) came(now int64) {
	l.late.Store(l.tooLate(now, l.asked.Load()))
	l.measured.Store(now)
	l.asked.Store(0)
}

func (l *Lag) tooLate(now, asked int64) bool {
	return time.Duration(now-asked) > l.most && l.crowd.Load() >= lagCrowd
}

// TooLong tells whoever is read now whether it has waited too long. A nil Lag finds
// no wait too long.
func (l *Lag) TooLong() bool {
	if l == nil {
		return false
	}
	return l.tooLong(l.clock())
}

func (l *Lag) tooLong(now int64) bool {
	if asked := l.asked.Load(); asked != 0 {
		l.crowd.Add(1)
		return l.late.Load() || l.tooLate(now, asked)
	}
	since := time.Duration(now - l.measured.Load())
	if since > lagKnown {
		l.late.Store(false) // of another time
	}
	if since > lagEvery && l.asked.CompareAndSwap(0, now) {
		l.crowd.Store(0)
		if err := l.turn.Ask(); err != nil {
			l.asked.Store(0) // closed
		}
	}
	return l.late.Load()
}
