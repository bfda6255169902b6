package limit

import (
	"os"
	"sync/atomic"
	"time"
)

const (
	// lagEvery is how often at most the lag is measured.
	lagEvery = 5 * time.Millisecond
	// lagKnown is how long a measurement is believed.
	lagKnown = 50 * time.Millisecond
)

// Lag tells how long a connection that has something to read waits until a
// processor reads it. Requests wait there, unseen, when more come than can be
// answered; whoever counts only those that were begun never finds the house full.
//
// It sends an octet through a pipe now and then, whose reader waits like any
// connection, first come, first served. Nothing runs while nobody asks.
type Lag struct {
	most             time.Duration
	reader, writer   *os.File
	start            time.Time
	sent             atomic.Int64 // when the octet in the pipe was sent, since start; 0 without one
	measured, passed atomic.Int64 // when the last one was received, and how long it took
}

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
	l.sent.Store(0)
	l.measured.Store(0)
	return err
}

func (l *Lag) receive() {
	defer func() { _ = l.reader.Close() }()
	var octet [1]byte
	for {
		if _, err := l.reader.Read(octet[:]); err != nil {
			return
		}
		now := int64(time.Since(l.start))
		l.passed.Store(now - l.sent.Load())
		l.measured.Store(now)
		l.sent.Store(0)
	}
}

// TooLong tells whether those who are read now have waited too long. A nil Lag
// finds no wait too long.
func (l *Lag) TooLong() bool {
	if l == nil {
		return false
	}
	now := int64(time.Since(l.start))
	if sent := l.sent.Load(); sent != 0 {
		return time.Duration(now-sent) > l.most
	}
	since := time.Duration(now - l.measured.Load())
	if since > lagEvery && l.sent.CompareAndSwap(0, now) {
		if _, err := l.writer.Write([]byte{0}); err != nil {
			l.sent.Store(0) // closed
		}
	}
	return since < lagKnown && time.Duration(l.passed.Load()) > l.most
}
