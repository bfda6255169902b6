package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"moneyer/cluster/load"
	"moneyer/cluster/local"
)

// TestKillReplica kills replicas under load: every issued token is in the ledger, no assertion gets
// two tokens, callers of the other replicas notice nothing, and the killed one is ready again
// within two seconds.
func TestKillReplica(t *testing.T) {
	s := sharedCluster(t)
	c := caller(t, s)
	began := time.Now()
	var longest time.Duration
	total := 0
	for round := range often(3, 200) {
		since := time.Now()
		run := c.Start(16, urls(s)...)
		victim := s.Replicas[round%len(s.Replicas)]
		err := run.Await(t.Context(), load.Granted, 50+round*37%200)
		back, killed := time.Duration(0), time.Now()
		if err == nil {
			err = victim.Kill()
		}
		if err == nil {
			err = run.Await(t.Context(), load.Granted, 100) // from the others
		}
		if err == nil {
			launched := time.Now()
			err = errors.Join(victim.Launch(), victim.AwaitReady(t.Context()))
			back = time.Since(launched)
		}
		ready := time.Now()
		if err == nil {
			err = grantedAt(t.Context(), run, victim, ready)
		}
		records := stopped(t, run)
		if err != nil {
			t.Fatalf("round %d: %v; %s", round, err, tally(records))
		}
		checkLedger(t, s, since, records)
		wantOthersUnharmed(t, records, victim, killed, ready)
		longest, total = max(longest, back), total+len(records)
		if t.Failed() {
			t.Fatalf("round %d: %s", round, tally(records))
		}
	}
	if longest > busy(2*time.Second) {
		t.Errorf("a replica took %v to be ready again", longest)
	}
	verifyLedger(t, s)
	t.Logf("%d times, %d assertions in %v; back after %v at the longest", often(3, 200), total, time.Since(began).Round(time.Millisecond), longest)
}

// grantedAt waits until a replica has granted a token since then.
func grantedAt(ctx context.Context, run *load.Run, r *local.Replica, since time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		found := false
		run.Seen(func(record *load.Record) {
			found = found || slices.ContainsFunc(record.Answers, func(a load.Answer) bool {
				return a.Kind == load.Granted && a.URL == r.IssuerURL() && a.At.After(since)
			})
		})
		if found {
			return nil
		}
		if err := run.Await(ctx, load.Granted, 1); err != nil {
			return err
		}
	}
}

// wantOthersUnharmed checks that only requests to the victim, and only while it was down, got no response.
func wantOthersUnharmed(t *testing.T, records []load.Record, victim *local.Replica, from, until time.Time) {
	t.Helper()
	for n := range records {
		r := &records[n]
		touched := slices.ContainsFunc(r.Answers, func(a load.Answer) bool {
			return a.URL == victim.IssuerURL() && a.At.Before(until) && a.At.Add(a.Took).After(from.Add(-time.Millisecond))
		})
		if !touched && harmed(r) {
			t.Errorf("%s: %+v", r.Correlation, r.Answers)
		}
	}
}

// promised is a set of acknowledged changes.
type promised struct {
	client, revocation, signingKey string
}

// TestKillPrimary kills the primary under load and promotes a standby: nothing acknowledged is
// lost, and tokens are issued again within ten seconds.
func TestKillPrimary(t *testing.T) {
	s := sharedCluster(t)
	c := caller(t, s)
	began := time.Now()
	var longest time.Duration
	total := 0
	for round := range often(2, 50) {
		since := time.Now()
		run := c.Start(16, urls(s)...)
		if err := run.Await(t.Context(), load.Granted, 300); err != nil {
			t.Fatalf("round %d: %v; %s", round, err, tally(stopped(t, run)))
		}
		p := promise(t, s, round, run)
		if err := s.Primary.Kill(); err != nil {
			t.Fatal(err)
		}
		killed := time.Now()
		if err := s.FailOver(t.Context()); err != nil {
			t.Fatal(err)
		}
		promoted := time.Since(killed)
		for _, r := range s.Replicas {
			if err := grantedAt(t.Context(), run, r, killed.Add(promoted)); err != nil {
				t.Errorf("%s: %v", r.Name, err)
			}
		}
		again := time.Since(killed)
		records := stopped(t, run)
		t.Logf("round %d: promoted after %v, all replicas mint again after %v; %s", round, promoted, again, tally(records))
		inTime(t, records)
		checkLedger(t, s, since, records)
		kept(t, s, p)
		longest, total = max(longest, again), total+len(records)
		if t.Failed() {
			t.FailNow()
		}
		if err := s.Complete(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if longest > busy(10*time.Second) {
		t.Errorf("%v without a token", longest)
	}
	verifyLedger(t, s)
	t.Logf("%d times, %d assertions in %v; tokens again after %v at the longest", often(2, 50), total, time.Since(began).Round(time.Millisecond), longest)
}

// promise registers, revokes and announces something.
func promise(t *testing.T, s *local.Cluster, round int, run *load.Run) (p promised) {
	t.Helper()
	a := administrator(t, s, nil)
	p.client = fmt.Sprintf("kept-%d-%d", round, time.Now().UnixNano())
	jti := ""
	run.Seen(func(r *load.Record) {
		if last := r.Answers[len(r.Answers)-1]; last.Kind == load.Granted {
			jti = last.JTI
		}
	})
	var revoked struct{ ID string }
	var announced struct{ Kid string }
	for _, step := range []struct {
		path    string
		in, out any
	}{
		{"/clients", map[string]any{"id": p.client, "scope": local.Scope}, nil},
		{"/revocations", map[string]any{"jti": jti}, &revoked},
		{"/signing-keys", map[string]any{}, &announced},
	} {
		if err := a.Call(t.Context(), http.MethodPost, issuerPath+step.path, step.in, step.out); err != nil {
			t.Fatal(err)
		}
	}
	p.revocation, p.signingKey = revoked.ID, announced.Kid
	return p
}

const issuerPath = "/issuers/" + local.Issuer

// kept checks that the acknowledged changes are there, and withdraws the signing key.
func kept(t *testing.T, s *local.Cluster, p promised) {
	t.Helper()
	a := administrator(t, s, nil)
	var client struct{ ID string }
	if read(t, a, "/clients/"+p.client, &client); client.ID != p.client {
		t.Errorf("client %s, which was registered, is %+v", p.client, client)
	}
	var revocations struct{ Items []struct{ ID string } }
	read(t, a, "/revocations?limit=1000", &revocations)
	if !slices.ContainsFunc(revocations.Items, func(r struct{ ID string }) bool { return r.ID == p.revocation }) {
		t.Errorf("revocation %s is not among %v", p.revocation, revocations.Items)
	}
	if err := a.Call(t.Context(), http.MethodPost, issuerPath+"/signing-keys/"+p.signingKey+":retire", nil, nil); err != nil {
		t.Errorf("a signing key that was announced: %v", err)
	}
}

// read polls until there is a response: one of the readers may have lost its connection.
func read(t *testing.T, a *local.Admin, path string, out any) {
	t.Helper()
	eventually(t, 10*time.Second, func(ctx context.Context) error {
		return a.Call(ctx, http.MethodGet, issuerPath+path, nil, out)
	})
}
