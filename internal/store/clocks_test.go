package store

import (
	"testing"
	"time"
)

// by returns a clock that is off.
func by(off time.Duration) Options {
	return Options{Now: func() time.Time { return time.Now().Add(off) }}
}

// near reports whether two times are the same but for what a heartbeat takes.
func near(a, b time.Duration) bool { return (a - b).Abs() < 700*time.Millisecond }

// TestClocksOfReplicas: each replica knows how far the others' clocks are ahead of its own,
// also for a while after they left, and which clock is off.
func TestClocksOfReplicas(t *testing.T) {
	t.Parallel()
	url := PostgresForTests.NewDatabase(t)
	options := by(10 * time.Second)
	options.Process = Process{Host: "machine-1", Address: "0.0.0.0:8443", Version: "1.2.3"}
	first := startReplica(t, url, options)
	if off, ahead := first.ClockOff(), first.ClocksAhead(); off != 0 || ahead != 0 {
		t.Errorf("alone: off by %v, others ahead by %v", off, ahead)
	}
	second, third := startReplica(t, url, by(10*time.Second)), startReplica(t, url, by(15*time.Second))
	eventually(t, 10*time.Second, "all clocks are known", func() bool {
		return near(first.ClocksAhead(), 5*time.Second) && near(second.ClocksAhead(), 5*time.Second) && near(third.ClocksAhead(), 0) &&
			near(first.ClockOff(), 0) && near(second.ClockOff(), 0) && near(third.ClockOff(), 5*time.Second)
	})
	status, err := ReadStatus(t.Context(), url)
	if err != nil || len(status.Replicas) != 3 {
		t.Fatalf("%+v, %v", status.Replicas, err)
	}
	for _, r := range status.Replicas {
		if want := options.Process; r.ID == replicaOf(t, first) && r.Process != want || r.ID != replicaOf(t, first) && r.Process != (Process{}) {
			t.Errorf("status: %+v, want %+v of the first", r, want)
		}
		if !near(r.ClockAhead, 10*time.Second) && !near(r.ClockAhead, 15*time.Second) {
			t.Errorf("status: %+v", r)
		}
	}
	findings, err := Check(t.Context(), url, by(10*time.Second).Now)
	if err != nil {
		t.Fatal(err)
	}
	levels := map[string]Level{}
	for _, f := range findings {
		levels[f.What] = f.Level
	}
	if levels["clocks"] != Bad {
		t.Errorf("check of replicas that differ: %v", findings)
	}
	if err := third.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "the third one has left", func() bool { return near(first.ClockOff(), 0) && near(second.ClockOff(), 0) })
	if ahead := first.ClocksAhead(); !near(ahead, 5*time.Second) {
		t.Errorf("of a replica that has just left: ahead by %v", ahead)
	}
	conn := connectTo(t, url)
	mustExec(t, conn, `UPDATE replica SET seen = now() - interval '61 seconds' WHERE has_left`)
	eventually(t, 10*time.Second, "it left long ago", func() bool { return near(first.ClocksAhead(), 0) })
}
