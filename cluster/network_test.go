package main

import (
	"context"
	"testing"
	"time"

	"moneyer/cluster/fault"
	"moneyer/cluster/load"
	"moneyer/cluster/local"
)

// TestNetwork breaks the network between one replica and the database: its responses are in time,
// callers of the other replicas notice nothing, it issues tokens again within two seconds, and its
// goroutines do not accumulate.
func TestNetwork(t *testing.T) {
	kinds := []fault.Kind{fault.Blackhole, fault.HalfOpen, fault.Reset, fault.Latency}
	lasts := 2500 * time.Millisecond
	if *long {
		kinds = append(append([]fault.Kind{}, fault.Kinds...), fault.Kinds...)
		lasts = time.Minute
	}
	s := sharedCluster(t)
	for n, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			breakNetwork(t, s, n, kind, lasts)
		})
	}
	verifyLedger(t, s)
}

func breakNetwork(t *testing.T, s *local.Cluster, n int, kind fault.Kind, lasts time.Duration) {
	c := caller(t, s)
	broken := s.Replicas[n%len(s.Replicas)]
	others := []string{}
	for _, r := range s.Replicas {
		if r != broken {
			others = append(others, r.IssuerURL())
		}
	}
	since := time.Now()
	there, elsewhere := c.Start(8, broken.IssuerURL()), c.Start(8, others...)
	if err := there.Await(t.Context(), load.Granted, 200); err != nil {
		t.Fatal(err)
	}
	before := routines(t, broken)
	for _, l := range broken.Links {
		if err := l.Break(kind); err != nil {
			t.Fatal(err)
		}
	}
	pause(t, lasts)
	during := routines(t, broken)
	healed := time.Now()
	for _, l := range broken.Links {
		l.Heal(t.Context())
	}
	err := grantedAt(t.Context(), there, broken, healed)
	recovery := time.Since(healed)
	recordsThere, recordsElsewhere := stopped(t, there), stopped(t, elsewhere)
	t.Logf("%v for %v: minting again after %v, %d goroutines before and %d at its end; there: %s; elsewhere: %s",
		kind, lasts, recovery, before, during, tally(recordsThere), tally(recordsElsewhere))
	if err != nil || recovery > busy(2*time.Second) {
		t.Errorf("minting again after %v, %v", recovery, err)
	}
	inTime(t, recordsThere)
	for _, r := range recordsThere {
		for _, a := range r.Answers {
			if a.Kind == load.Lost {
				t.Errorf("no response: %+v", a)
			}
		}
	}
	for n := range recordsElsewhere {
		if r := &recordsElsewhere[n]; harmed(r) {
			t.Errorf("a caller of another replica noticed: %+v", r.Answers)
		}
	}
	checkLedger(t, s, since, recordsThere)
	checkLedger(t, s, since, recordsElsewhere)
	c.HTTP.CloseIdleConnections()
	if during > before+200 {
		t.Errorf("%d goroutines before the fault and %d at its end", before, during)
	}
	eventually(t, 10*time.Second, func(context.Context) error { return atMost(routines(t, broken), before+20) })
}

// routines returns the number of goroutines of a replica.
func routines(t *testing.T, r *local.Replica) int {
	t.Helper()
	n, err := r.Metric(t.Context(), "go_goroutines")
	if err != nil {
		t.Fatal(err)
	}
	return int(n)
}
