package limit

import (
	"runtime"
	"testing"
	"time"
)

// settle waits until the octet in the pipe was received.
func settle(t *testing.T, l *Lag) {
	t.Helper()
	for range 1_000_000 {
		if l.sent.Load() == 0 {
			return
		}
		runtime.Gosched()
	}
	t.Fatal("the octet is not received")
}

func newLag(t *testing.T) *Lag {
	t.Helper()
	l, err := NewLag(time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// TestLagMeasures: who asks sends an octet, whose way is the measurement.
func TestLagMeasures(t *testing.T) {
	l := newLag(t)
	if l.TooLong() {
		t.Error("too long before anything was measured")
	}
	settle(t, l)
	if l.measured.Load() == 0 || time.Duration(l.passed.Load()) > time.Minute {
		t.Errorf("measured at %d: %d ns", l.measured.Load(), l.passed.Load())
	}
	if l.TooLong() {
		t.Error("a short wait is called too long")
	}
}

// TestLagTooLong: a long wait that was measured a moment ago, and an octet that
// has been waiting for long.
func TestLagTooLong(t *testing.T) {
	l := newLag(t)
	now := func() int64 { return int64(time.Since(l.start)) }
	l.passed.Store(int64(2 * time.Minute))
	l.measured.Store(now())
	if !l.TooLong() {
		t.Error("a long wait is not called too long")
	}
	settle(t, l)
	l.passed.Store(int64(2 * time.Minute))
	l.measured.Store(now() - int64(time.Hour))
	if l.TooLong() {
		t.Error("a wait of an hour ago is believed")
	}
	settle(t, l)
	l.sent.Store(now() - int64(2*time.Minute)) // as if it were in the pipe
	if !l.TooLong() {
		t.Error("an octet that waits for two minutes is overlooked")
	}
	l.sent.Store(now())
	if l.TooLong() {
		t.Error("an octet that was just sent is called late")
	}
}

func TestLagClosed(t *testing.T) {
	l, err := NewLag(0)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if l.TooLong() {
			t.Error("a closed Lag measures")
		}
		l.measured.Store(0) // as if long ago
	}
	if (*Lag)(nil).TooLong() {
		t.Error("no Lag finds a wait too long")
	}
}
