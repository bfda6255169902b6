package main

import (
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"moneyer/bench/subject"
	"moneyer/bench/trial"
)

func TestParse(t *testing.T) {
	c, err := parse([]string{"-quick", "-connections", "64,1,64", "-kinds", "jwt-bearer"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.connections, []int{1, 64}) || c.duration != 500*time.Millisecond || c.peers || c.scale {
		t.Errorf("%+v", c)
	}
	if !c.exchange("x", subject.JWTBearerES256, "") || c.exchange("x", subject.ClientCredentialsES256, "oauth2") {
		t.Error("-kinds is ignored")
	}
	if c, err = parse([]string{"-quick", "-duration", "2s", "-peers"}, io.Discard); err != nil || c.duration != 2*time.Second || !c.peers {
		t.Errorf("-quick overrides explicit flags: %+v, %v", c, err)
	}
	if c, err = parse([]string{"-servers", "dex,hydra"}, io.Discard); err != nil || !c.server("Ory Hydra") || c.server("moneyer") {
		t.Errorf("%+v, %v", c, err)
	}
	for _, bad := range []string{"-connections=0", "-connections=", "-connections=x", "-rounds=0", "-duration=1ms", "more", "-no"} {
		if _, err := parse([]string{bad}, io.Discard); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}

func TestCommand(t *testing.T) {
	got := command([]string{"-out", "/home/me/out", "-folder=/tmp/x", "-servers", "a b", "-quick"})
	if want := "go run -C bench . -out out -folder=x -servers 'a b' -quick"; got != want {
		t.Errorf("got %s", got)
	}
}

func TestScrub(t *testing.T) {
	r := &trial.Report{Failed: []string{"open /home/me/x/bench/.cache/y: no; GET https://registry.example.com/z failed; http://127.0.0.1:1/ too"}}
	scrub(r, "/home/me/x")
	if want := "open bench/.cache/y: no; GET (an address) failed; http://127.0.0.1:1/ too"; r.Failed[0] != want {
		t.Errorf("got %s", r.Failed[0])
	}
}

func TestTargets(t *testing.T) {
	row := func(server string, kind subject.Kind, variant string, rate, cpu float64) trial.Row {
		return trial.Row{Server: server, Kind: string(kind), Variant: variant, Connections: 64, Rounds: 3,
			Rate: trial.Spread{Median: rate}, CPU: trial.Spread{Median: cpu}}
	}
	cc, grant, pkj := subject.ClientCredentialsES256, subject.JWTBearerES256, subject.PrivateKeyJWTES256
	r := &trial.Report{
		Servers: []trial.Server{{Name: own, Memory: 50e6}, {Name: "oidc-provider"}, {Name: "dex, memory"}},
		Rows: []trial.Row{row(own, cc, ownPlain, 11000, 80), row(own, grant, ownGrant, 6000, 150), row(own, grant, ownPlain, 5900, 150), row(ownFaster, grant, ownGrant, 7200, 130),
			row("oidc-provider", cc, "", 2200, 400), row("oidc-provider", pkj, "", 1200, 800), row("dex, memory", cc, "", 5000, 190), row(ownMany, grant, ownPlain, 5000, 180)},
		Paced: []trial.Paced{{Server: own, Kind: string(grant), P99: trial.Spread{Median: 4000}}, {Server: "oidc-provider", Kind: string(grant), P99: trial.Spread{Median: 30000}}},
	}
	r.Rows[0].Ratio = &trial.Spread{Median: 0.72}
	var got []string
	for _, target := range targets(r) {
		if target.Got != nil {
			mark := "missed"
			if target.Reached() {
				mark = "reached"
			}
			got = append(got, mark+": "+target.What)
		}
	}
	for _, want := range []string{
		"reached: client_credentials ES256, of sign + form",
		"reached: jwt-bearer with OpenSSL's signatures, of the default build",
		"reached: client_credentials ES256, of oidc-provider",
		"reached: jwt-bearer, of private_key_jwt ES256 of oidc-provider",
		"reached: client_credentials ES256, of dex, memory",
		"reached: p99 of jwt-bearer ES256 at 64 connections and half of capacity",
		"reached: the same, beside oidc-provider at that rate",
		"missed: processor time of jwt-bearer ES256, 1,000,000 clients, of one client and an empty ledger",
		"reached: memory at 64 connections",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, strings.Join(got, "\n"))
		}
	}
}
