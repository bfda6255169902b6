package limit

import (
	"runtime"
	"testing"
	"time"
)

// settle waits until the turn has come.
func settle(t *testing.T, l *Lag) {
	t.Helper()
	for range 1_000_000 {
		if l.asked.Load() == 0 {
			return
		}
		runtime.Gosched()
	}
	t.Fatal("the turn does not come")
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

// TestLagMeasures: who asks takes a turn, whose time is the measurement.
func TestLagMeasures(t *testing.T) {
	l := newLag(t)
	if l.TooLong() {
		t.Error("too long before anything was measured")
	}
	settle(t, l)
	if l.measured.Load() == 0 || l.late.Load() != 0 || l.TooLong() {
		t.Errorf("measured at %d, %d late", l.measured.Load(), l.late.Load())
	}
}

// TestLagTooLong: two late turns in a row, and none that came long ago.
func TestLagTooLong(t *testing.T) {
	l := newLag(t)
	now := int64(time.Since(l.start))
	// pass asks for a turn that comes after wait, and tells whether it is too
	// long then.
	pass := func(wait time.Duration) bool {
		t.Helper()
		now += int64(lagEvery) + 1
		l.asked.Store(now) // without one that is to come
		now += int64(wait)
		l.came(now)
		return l.tooLong(now)
	}
	for i, step := range []struct {
		wait time.Duration
		want bool
	}{{time.Second, false}, {time.Minute + 1, false}, {2 * time.Minute, true}, {2 * time.Minute, true}, {time.Minute, false}, {time.Hour, false}, {time.Hour, true}} {
		if got := pass(step.wait); got != step.want {
			t.Errorf("step %d, after a wait of %v: %v", i, step.wait, got)
		}
	}
	if !l.tooLong(now + int64(lagEvery)) {
		t.Error("a measurement is forgotten before there is a new one")
	}
	if l.tooLong(now + int64(lagKnown) + 1) {
		t.Error("what was measured long ago counts")
	}
	settle(t, l)
}

func TestLagClosed(t *testing.T) {
	l, err := NewLag(-time.Hour)
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
