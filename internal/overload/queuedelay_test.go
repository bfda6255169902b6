package overload

import (
	"runtime"
	"testing"
	"time"
)

// settle waits until the probe has come.
func settle(t *testing.T, q *QueueDelay) {
	t.Helper()
	for range 1_000_000 {
		if q.sent.Load() == 0 {
			return
		}
		runtime.Gosched()
	}
	t.Fatal("the probe does not come")
}

func newQueueDelay(t *testing.T) *QueueDelay {
	t.Helper()
	q, err := NewQueueDelay(time.Minute, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() })
	return q
}

// TestQueueDelayMeasures: who asks sends a probe, whose time is the measurement.
func TestQueueDelayMeasures(t *testing.T) {
	q := newQueueDelay(t)
	if q.TooLong() {
		t.Error("too long before anything was measured")
	}
	settle(t, q)
	if q.measured.Load() == 0 || q.late.Load() || q.TooLong() {
		t.Errorf("measured at %d, late: %v", q.measured.Load(), q.late.Load())
	}
}

// TestQueueDelayTooLong follows one probe after another: how long each takes, how many
// requests are read meanwhile, and what the last of them and the next are told.
func TestQueueDelayTooLong(t *testing.T) {
	q := newQueueDelay(t)
	now := q.clock()
	for i, step := range []struct {
		wait           time.Duration
		read           int
		during, behind bool
	}{
		{time.Second, 10 * minReads, false, false},
		{time.Minute, minReads, false, false},
		{time.Minute + 1, minReads - 1, false, false}, // the machine stood still
		{time.Minute + 1, minReads, true, true},
		{time.Second, minReads, true, false}, // what the probe before took counts until this one has come
		{time.Hour, minReads, true, true},
		{time.Hour, 1, true, false},
	} {
		now += int64(probeInterval) + 1
		q.sent.Store(now) // a probe that comes when the test says so
		q.reads.Store(0)
		now += int64(step.wait)
		during := false
		for range step.read {
			during = q.tooLong(now)
		}
		q.received(now)
		if behind := q.tooLong(now); during != step.during || behind != step.behind {
			t.Errorf("step %d: %v and %v, want %v and %v", i, during, behind, step.during, step.behind)
		}
	}
}

// TestQueueDelayForgets: what was measured long ago counts for nothing.
func TestQueueDelayForgets(t *testing.T) {
	q := newQueueDelay(t)
	now := q.clock()
	q.measured.Store(now)
	q.late.Store(true)
	if !q.tooLong(now + int64(probeInterval)) {
		t.Error("a measurement is forgotten before there is a new one")
	}
	if q.tooLong(now + int64(probeLifetime) + 1) {
		t.Error("what was measured long ago counts")
	}
	settle(t, q)
}

func TestQueueDelayClosed(t *testing.T) {
	q, err := NewQueueDelay(-time.Hour, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 * minReads {
		if q.TooLong() {
			t.Error("a closed QueueDelay measures")
		}
		q.measured.Store(0) // as if long ago
	}
	if (*QueueDelay)(nil).TooLong() {
		t.Error("no QueueDelay finds a delay too long")
	}
}
