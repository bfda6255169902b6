package limit

import (
	"os"
	"sync/atomic"
	"time"
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
// It sends an octet through a pipe now and then, whose reader waits like any
// connection, first come, first served. Nothing runs while nobody asks.
type Lag struct {
	most           time.Duration
	reader, writer *os.File
	start          time.Time
	sent           atomic.Int64 // when the octet in the pipe was sent, since start; 0 without one
	measured       atomic.Int64 // when the last one was received
	// late counts the octets in a row that took over most. One alone may be the
	// whole machine that stood still.
	late atomic.Int64
}

// tooManyLate is how many late octets in a row make a wait too long.
const tooManyLate = 2

// NewLag makes a Lag that calls a wait over most too long. Close gives its pipe
// back.
func NewLag(most time.Duration) (*Lag, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	l := &Lag{most: most, reader: reader, writer: writer, start: time.Now().Add(-time.Hour)}
	go l.receive()
	return l, nil
}

// Close ends the measurements; a closed Lag finds no wait too long.
func (l *Lag) Close() error {
	err := l.writer.Close() // which the reader sees as the end
	l.late.Store(0)
	return err
}

func (l *Lag) receive() {
	defer func() { _ = l.reader.Close() }()
	var octet [1]byte
	for {
		if _, err := l.reader.Read(octet[:]); err != nil {
			return
		}
		l.received(int64(time.Since(l.start)))
	}
}

func (l *Lag) received(now int64) {
	if time.Duration(now-l.sent.Load()) > l.most {
		l.late.Add(1)
	} else {
		l.late.Store(0)
	}
	l.measured.Store(now)
	l.sent.Store(0)
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
	if l.sent.Load() == 0 && since > lagEvery && l.sent.CompareAndSwap(0, now) {
		if since > lagKnown {
			l.late.Store(0) // of another time
		}
		if _, err := l.writer.Write([]byte{0}); err != nil {
			l.sent.Store(0) // closed
		}
	}
	return l.late.Load() >= tooManyLate
}
