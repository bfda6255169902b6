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
	l, err := NewLag(time.Minute, time.Now)
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
	if l.measured.Load() == 0 || l.late.Load() || l.TooLong() {
		t.Errorf("measured at %d, late: %v", l.measured.Load(), l.late.Load())
	}
}

// TestLagTooLong follows one turn after another: how long each takes, how many are
// read meanwhile, and what the last of them and the next are told.
func TestLagTooLong(t *testing.T) {
	l := newLag(t)
	now := l.clock()
	for i, step := range []struct {
		wait           time.Duration
		read           int
		during, behind bool
	}{
		{time.Second, 10 * lagCrowd, false, false},
		{time.Minute, lagCrowd, false, false},
		{time.Minute + 1, lagCrowd - 1, false, false}, // the machine stood still
		{time.Minute + 1, lagCrowd, true, true},
		{time.Second, lagCrowd, true, false}, // what the turn before took holds until this one has come
		{time.Hour, lagCrowd, true, true},
		{time.Hour, 1, true, false},
	} {
		now += int64(lagEvery) + 1
		l.asked.Store(now) // a turn that is to come when the test says so
		l.crowd.Store(0)
		now += int64(step.wait)
		during := false
		for range step.read {
			during = l.tooLong(now)
		}
		l.came(now)
		if behind := l.tooLong(now); during != step.during || behind != step.behind {
			t.Errorf("step %d: %v and %v, want %v and %v", i, during, behind, step.during, step.behind)
		}
	}
}

// TestLagForgets: what was measured long ago counts for nothing.
func TestLagForgets(t *testing.T) {
	l := newLag(t)
	now := l.clock()
	l.measured.Store(now)
	l.late.Store(true)
	if !l.tooLong(now + int64(lagEvery)) {
		t.Error("a measurement is forgotten before there is a new one")
	}
	if l.tooLong(now + int64(lagKnown) + 1) {
		t.Error("what was measured long ago counts")
	}
	settle(t, l)
}

func TestLagClosed(t *testing.T) {
	l, err := NewLag(-time.Hour, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 * lagCrowd {
		if l.TooLong() {
			t.Error("a closed Lag measures")
		}
		l.measured.Store(0) // as if long ago
	}
	if (*Lag)(nil).TooLong() {
		t.Error("no Lag finds a wait too long")
	}
}
