package overload

import (
	"os"
	"sync/atomic"
	"time"
)

const (
	// probeInterval is how often at most the delay is measured.
	probeInterval = 5 * time.Millisecond
	// probeLifetime is how long a measurement is believed once the next is overdue.
	probeLifetime = 50 * time.Millisecond
	// minReads is how many requests must have been read during a long delay. After
	// fewer it was no crowd that kept the processors busy, but the machine that stood
	// still.
	minReads = 300
)

// QueueDelay measures how long a connection that has something to read waits until a
// processor reads it. When more requests come than can be answered they wait there,
// and no count of requests that were begun finds anything wrong.
//
// A probe is one byte through a pipe. Its reader waits where connections wait: in the
// kernel's queue of what is ready, then in Go's of what may run, and both are first
// come, first served. That is a measure and not exact: with several processors, or
// when the kernel hands out what is ready in portions, somebody may be before or behind.
// Probes are sent while requests come, and nothing runs while none does.
type QueueDelay struct {
	most     time.Duration
	now      func() time.Time
	start    time.Time
	pipe     *os.File     // probes are written to it
	sent     atomic.Int64 // when the probe was sent that has not come, since start; 0 without one
	reads    atomic.Int64 // how many requests were read since then
	measured atomic.Int64 // when the last one came
	late     atomic.Bool  // it had taken too long
}

// NewQueueDelay makes a QueueDelay for which a delay over most is too long. Close ends
// its goroutine.
func NewQueueDelay(most time.Duration, now func() time.Time) (*QueueDelay, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	q := &QueueDelay{most: most, now: now, start: now().Add(-time.Hour), pipe: writer}
	go q.receive(reader)
	return q, nil
}

func (q *QueueDelay) receive(pipe *os.File) {
	defer func() { _ = pipe.Close() }()
	var probe [1]byte
	for {
		if _, err := pipe.Read(probe[:]); err != nil {
			return
		}
		q.received(q.clock())
	}
}

// clock is the time since start.
func (q *QueueDelay) clock() int64 { return int64(q.now().Sub(q.start)) }

// Close ends the measurements; a closed QueueDelay finds no delay too long.
func (q *QueueDelay) Close() error {
	err := q.pipe.Close()
	q.late.Store(false)
	return err
}

func (q *QueueDelay) received(now int64) {
	q.late.Store(q.exceeded(now, q.sent.Load()))
	q.measured.Store(now)
	q.sent.Store(0)
}

func (q *QueueDelay) exceeded(now, sent int64) bool {
	return time.Duration(now-sent) > q.most && q.reads.Load() >= minReads
}

// TooLong reports whether requests that are read now have waited too long. It is
// called once for each. A nil QueueDelay finds no delay too long.
func (q *QueueDelay) TooLong() bool {
	if q == nil {
		return false
	}
	return q.tooLong(q.clock())
}

func (q *QueueDelay) tooLong(now int64) bool {
	if sent := q.sent.Load(); sent != 0 {
		q.reads.Add(1)
		return q.late.Load() || q.exceeded(now, sent)
	}
	since := time.Duration(now - q.measured.Load())
	if since > probeLifetime {
		q.late.Store(false) // of another time
	}
	if since > probeInterval && q.sent.CompareAndSwap(0, now) {
		q.reads.Store(0)
		if _, err := q.pipe.Write([]byte{0}); err != nil {
			q.sent.Store(0) // closed
		}
	}
	return q.late.Load()
}
