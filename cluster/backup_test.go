package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"moneyer/cluster/load"
	"moneyer/cluster/local"
	"moneyer/internal/pgtest"
)

// TestBackup takes copies under load and starts a server on each: the chains are complete, every
// token from before the copy is in it, none of their assertions is accepted again, and new ones
// are.
func TestBackup(t *testing.T) {
	s := sharedCluster(t)
	c := caller(t, s)
	for round := range often(1, 20) {
		since := time.Now()
		run := c.Start(8, urls(s)...)
		if err := run.Await(t.Context(), load.Granted, 500); err != nil {
			t.Fatal(err)
		}
		var before []load.Record
		run.Seen(func(r *load.Record) { before = append(before, *r) })
		folder := t.TempDir()
		file := filepath.Join(folder, "moneyer.db")
		began := time.Now()
		if _, err := s.Run(t.Context(), "", "backup", file); err != nil {
			t.Fatal(err)
		}
		took := time.Since(began)
		all := stopped(t, run)
		restored, base := restore(t, s, folder)
		for n := range before {
			if n%(len(before)/50+1) != 0 {
				continue
			}
			if a := c.Send(t.Context(), base, before[n].Attempt); a.Kind != load.Refused {
				t.Fatalf("an assertion from before the copy: %+v", a)
			}
		}
		fresh, err := c.Attempt()
		if err != nil {
			t.Fatal(err)
		}
		if a := c.Send(t.Context(), base, fresh); a.Kind != load.Granted {
			t.Fatalf("a new assertion: %+v", a)
		}
		holds(t, restored, since, before)
		t.Logf("round %d: a copy in %v, under %d requests; %d tokens from before it are in it", round, took, len(all), len(before))
		checkLedger(t, s, since, all)
	}
}

// restored is a server on a copy.
type restored struct {
	folder, admin string
}

// restore starts a server with the cluster's master key and the copy in the folder.
func restore(t *testing.T, s *local.Cluster, folder string) (r *restored, issuer string) {
	t.Helper()
	key, err := os.ReadFile(filepath.Join(s.Replicas[0].Folder, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	var addresses [2]string
	for n := range addresses {
		port, err := pgtest.FreePort(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		addresses[n] = fmt.Sprint("127.0.0.1:", port)
	}
	configuration := fmt.Sprintf("store = \"sqlite:moneyer.db\"\nmaster_key = \"file:master.key\"\n[listen]\naddress = %q\n[admin]\naddress = %q\nurl = %q\n"+
		"[limits]\ndrain_delay = \"0s\"\n[issuers.%s]\nurl = %q\nprofile = \"oauth2\"\nresource_audience = %q\n",
		addresses[0], addresses[1], s.AdminURL(), local.Issuer, s.IssuerURL(), local.Audience)
	for name, text := range map[string]string{"master.key": string(key), "moneyer.toml": configuration} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	accept := exec.CommandContext(t.Context(), shared.binary, "store", "accept", "--config", "moneyer.toml", "--yes")
	accept.Dir = folder
	if out, err := accept.CombinedOutput(); err != nil {
		t.Fatalf("accept the restored store: %v\n%s", err, out)
	}
	ctx, cancel := context.WithCancel(context.Background())
	command := exec.CommandContext(ctx, shared.binary, "serve", "--config", "moneyer.toml")
	command.Dir = folder
	var said strings.Builder
	command.Stderr = &said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = command.Wait() // it was killed
		if t.Failed() {
			t.Logf("log of the restored server:\n%s", said.String())
		}
	})
	issuer = "http://" + addresses[0] + "/" + local.Issuer
	eventually(t, 20*time.Second, func(ctx context.Context) error {
		_, err := fetchKeys(ctx, issuer)
		return err
	})
	return &restored{folder, addresses[1]}, issuer
}

// holds checks that the restored ledger is complete and has the tokens of the records.
func holds(t *testing.T, r *restored, since time.Time, records []load.Record) {
	t.Helper()
	a, err := shared.cluster.Admin(&local.Replica{Admin: r.admin})
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Whole bool
		How   string
	}
	if err := a.Call(t.Context(), http.MethodGet, "/ledger/verify", nil, &v); err != nil || !v.Whole {
		t.Errorf("the restored ledger: %+v, %v", v, err)
	}
	found := map[string]bool{}
	if err := a.Tokens(t.Context(), since.Add(-2*time.Second), func(e local.Entry) { found[e.JTI] = true }); err != nil {
		t.Fatal(err)
	}
	for _, record := range records {
		for _, answer := range record.Answers {
			if answer.Kind == load.Granted && !found[answer.JTI] {
				t.Errorf("token %s was issued before the copy was begun and is not in it", answer.JTI)
			}
		}
	}
}
