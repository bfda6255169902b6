package main

import (
	"io"
	"maps"
	"slices"
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
	if c, err = parse(nil, io.Discard); err != nil || !c.exchange(own, subject.PrivateKeyJWTES256, ownPlain) ||
		c.exchange(ownStatic, subject.PrivateKeyJWTES256, ownPlain) || !c.exchange(ownStatic, subject.ClientCredentialsES256, ownPlain) {
		t.Errorf("exchanges of the static build: %v", err)
	}
	for server, want := range map[string]bool{own: false, own + ", TLS": false, "dex": false, ownStatic: true, ownMany: true, ownPostgres: true, "Ory Hydra": true, "Keycloak": true} {
		if got := sparse(server, subject.ClientCredentialsES256, ownPlain); got != want {
			t.Errorf("%s is measured with few numbers of connections: %v", server, got)
		}
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

// results is a run with a row for every target.
func results() *trial.Report {
	row := func(server string, kind subject.Kind, variant string, connections int, rate, cpu float64) trial.Row {
		return trial.Row{Server: server, Kind: string(kind), Variant: variant, Connections: connections, Rounds: 3,
			Rate: trial.Spread{Median: rate}, CPU: trial.Spread{Median: cpu}}
	}
	bounded := func(r trial.Row, byCPU float64) trial.Row {
		r.CPURatio = &trial.Spread{Median: byCPU}
		return r
	}
	cc, grant, pkj, rsa := subject.ClientCredentialsES256, subject.JWTBearerES256, subject.PrivateKeyJWTES256, subject.ClientCredentialsRS256
	over := func(server string, kind subject.Kind, connection subject.Connection, cpu float64) trial.Row {
		r := row(server, kind, "", trial.Together, 1e6/cpu, cpu)
		r.Connection, r.Reference = connection, kind == subject.Kind(subject.Empty)
		return r
	}
	const empty, full = string(subject.Empty), subject.TLSFull
	return &trial.Report{
		Machine: trial.Machine{Pinned: true},
		Ceiling: []trial.Operation{{Name: trial.Flush, PerSecond: trial.Spread{Median: 2000}}},
		Servers: []trial.Server{{Name: own}, {Name: ownMany, Heap: 800e6}},
		Rows: []trial.Row{
			row(own, rsa, ownRSA, 64, 2100, 400), row("oidc-provider", rsa, "", 64, 1500, 600),
			bounded(row(own, cc, ownPlain, 64, 12000, 80), 0.79), bounded(row(own, cc, ownPlain, 256, 12000, 80), 0.93),
			row("zitadel/oidc", cc, "", 64, 10000, 120), row("zitadel/oidc", cc, "", 256, 9000, 110),
			row("dex", cc, "", 64, 9000, 120), {Server: "dex", Kind: string(cc), Connections: 256, Error: "broken"},
			bounded(row(own, grant, ownGrant, 64, 6000, 150), 0.86), bounded(row(own, grant, ownGrant, 256, 6000, 150), 0.89),
			row(own, grant, ownPlain, 64, 6000, 150), row(ownMany, grant, ownPlain, 64, 5000, 180), row(ownMany, cc, ownPlain, 64, 5000, 84),
			over(own, grant, subject.TLSClassic, 1), bounded(over(own, grant, full, 450), 0.94), bounded(over(own, cc, full, 400), 0.9),
			over("dex", cc, full, 420), over("zitadel/oidc", cc, full, 440),
			row(empty, subject.Kind(empty), "", 64, 50000, 20), over(empty, subject.Kind(empty), full, 334),
			row(ownPostgres, cc, ownPlain, 64, 9000, 90), row("Keycloak", cc, "", 64, 300, 3000),
		},
		Paced: []trial.Paced{{Server: own, Kind: string(grant), P99: trial.Spread{Median: 8000}}, {Server: "oidc-provider", Kind: string(pkj), P99: trial.Spread{Median: 9000}},
			{Server: "zitadel/oidc", Kind: string(grant), P99: trial.Spread{Median: 7000}}, {Server: "dex", Kind: string(cc), Error: "reaches nothing"}},
		OverloadTLS: &trial.Overload{Goodput: 920, Left: 1000},
		Noisy:       &trial.Noisy{OthersGot: 0.985},
	}
}

// Every line of the table of targets has its figure; what was not measured is said to be so.
func TestTargets(t *testing.T) {
	got := map[string]trial.Verdict{}
	r := results()
	r.Judge(targets(r))
	for _, target := range r.Targets {
		if _, twice := got[target.What]; twice {
			t.Errorf("%q twice", target.What)
		}
		got[target.What] = target.Verdict
	}
	want := map[string]trial.Verdict{
		"client_credentials RS256 (boltpay), of oidc-provider": trial.Reached,

		"client_credentials ES256 at 64 connections, of zitadel":                     trial.Missed,
		"client_credentials ES256 at 64 connections, of zitadel, by processor time":  trial.Reached,
		"client_credentials ES256 at 256 connections, of zitadel":                    trial.Reached,
		"client_credentials ES256 at 256 connections, of zitadel, by processor time": trial.Missed,
		"client_credentials ES256 at 64 connections, of dex":                         trial.Reached,
		"client_credentials ES256 at 64 connections, of dex, by processor time":      trial.Reached,
		"client_credentials ES256 at 256 connections, of dex":                        trial.NotMeasured,
		"client_credentials ES256 at 256 connections, of dex, by processor time":     trial.NotMeasured,

		"jwt-bearer ES256, of verify + sign + form, by processor time at 64 connections":  trial.Reached,
		"jwt-bearer ES256, of verify + sign + form, by processor time at 256 connections": trial.Missed,
		"client_credentials ES256, of sign + form, by processor time at 64 connections":   trial.Missed,
		"client_credentials ES256, of sign + form, by processor time at 256 connections":  trial.Reached,

		"jwt-bearer ES256, tls full, of the same handshake and ceiling, by processor time":            trial.Reached,
		"jwt-bearer ES256, tls full, of the best peer, by processor time":                             trial.NotMeasured,
		"client_credentials ES256, tls full, of the same handshake and ceiling, by processor time":    trial.Missed,
		"client_credentials ES256, tls full, of dex, by processor time":                               trial.Reached,
		"tls full, processor time of a handshake, of Go's defaults":                                   trial.Missed,
		"jwt-bearer ES256, tls resumed, of the same handshake and ceiling, by processor time":         trial.NotMeasured,
		"jwt-bearer ES256, tls resumed, of the best peer, by processor time":                          trial.NotMeasured,
		"client_credentials ES256, tls resumed, of the same handshake and ceiling, by processor time": trial.NotMeasured,
		"client_credentials ES256, tls resumed, of the best peer, by processor time":                  trial.NotMeasured,
		"tls resumed, processor time of a handshake, of Go's defaults":                                trial.NotMeasured,
		"jwt-bearer ES256, mtls, of the same handshake and ceiling, by processor time":                trial.NotMeasured,
		"jwt-bearer ES256, mtls, of the best peer, by processor time":                                 trial.NotMeasured,
		"client_credentials ES256, mtls, of the same handshake and ceiling, by processor time":        trial.NotMeasured,
		"client_credentials ES256, mtls, of the best peer, by processor time":                         trial.NotMeasured,
		"mtls, processor time of a handshake, of Go's defaults":                                       trial.NotMeasured,

		"client_credentials ES256, both on PostgreSQL, of Keycloak": trial.Reached,
		"jwt-bearer ES256, both on PostgreSQL, of Keycloak":         trial.NotMeasured,

		"p99 of jwt-bearer ES256 at half of capacity, of zitadel/oidc's (7.0 ms) plus one flush of the disk (0.5 ms)": trial.Missed,
		"p99 of client_credentials ES256 at half of capacity, of the best peer's plus one flush of the disk":          trial.NotMeasured,

		"granted at 3 times capacity over TLS, of what empty refusals would leave": trial.Reached,

		"granted to the others beside a noisy client, of their requests": trial.Reached,

		"processor time of jwt-bearer ES256 with 1,000,000 clients, of one client":         trial.Missed,
		"processor time of client_credentials ES256 with 1,000,000 clients, of one client": trial.Reached,
		"live heap with 1,000,000 clients":                                                 trial.Reached,
	}
	for what := range maps.Keys(want) {
		if got[what] != want[what] {
			t.Errorf("%s: %q, want %q", what, got[what], want[what])
		}
	}
	for what := range maps.Keys(got) {
		if _, known := want[what]; !known {
			t.Errorf("unknown: %s: %s", what, got[what])
		}
	}
}

// Without results every target stays in the report.
func TestTargetsOfNothing(t *testing.T) {
	r := &trial.Report{Machine: trial.Machine{Pinned: true}}
	r.Judge(targets(r))
	if len(r.Targets) < 30 || slices.ContainsFunc(r.Targets, func(t trial.Target) bool { return t.Verdict != trial.NotMeasured }) {
		t.Errorf("%+v", r.Targets)
	}
}
