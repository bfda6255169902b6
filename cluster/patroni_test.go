package main

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"moneyer/cluster/load"
	"moneyer/cluster/local"
	"moneyer/cluster/patroni"
)

// TestPatroni kills the primary under load without any intervention: Patroni promotes the
// synchronous standby, and the replicas find it. Nothing acknowledged is lost. In every other round
// Patroni is killed together with PostgreSQL, and the others wait until its lease in etcd expires.
func TestPatroni(t *testing.T) {
	if !*long {
		t.Skip("only in the long run")
	}
	sharedCluster(t) // skips if the cluster cannot run
	p, err := patroni.Start(t.Context(), local.Database)
	if errors.Is(err, patroni.ErrMissing) && os.Getenv("MONEYER_REQUIRE_ALL") != "1" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(p.LogTails())
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	o := options(shared.binary)
	o.Addresses, o.Faults = p.Addresses(), false
	s, err := local.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, r := range s.Replicas {
				t.Logf("%s said:\n%s", r.Name, r.LogTail())
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	c := caller(t, s)
	var longest [2]time.Duration
	for round := range 20 {
		alone := round % 2
		took := failOverAlone(t, s, p, c, round, alone == 0)
		longest[alone] = max(longest[alone], took)
	}
	verifyLedger(t, s)
	t.Logf("20 times; tokens again after %v at the longest when PostgreSQL was killed, %v when its Patroni was, too", longest[0], longest[1])
}

func failOverAlone(t *testing.T, s *local.Cluster, p *patroni.Cluster, c *load.Client, round int, alone bool) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	leader, err := p.AwaitWhole(ctx)
	if err != nil {
		t.Fatal(err)
	}
	since := time.Now()
	run := c.Start(16, urls(s)...)
	if err := run.Await(ctx, load.Granted, 300); err != nil {
		t.Fatalf("round %d: %v; %s", round, err, tally(stopped(t, run)))
	}
	promises := promise(t, s, round, run)
	kill := leader.Kill
	if alone {
		kill = leader.Crash
	}
	if err := kill(); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	for _, r := range s.Replicas {
		// Requests in progress may still be answered.
		if err := grantedAt(ctx, run, r, killed.Add(500*time.Millisecond)); err != nil {
			t.Errorf("%s: %v", r.Name, err)
		}
	}
	again := time.Since(killed)
	records := stopped(t, run)
	t.Logf("round %d: all replicas mint again after %v; %s", round, again, tally(records))
	inTime(t, records)
	if again > 25*time.Second {
		t.Errorf("%v without a token", again)
	}
	checkLedger(t, s, since, records)
	kept(t, s, promises)
	if !alone {
		if err := leader.Launch(); err != nil {
			t.Fatal(err)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
	return again
}
