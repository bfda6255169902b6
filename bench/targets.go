package main

import (
	"strings"

	"moneyer/bench/subject"
	"moneyer/bench/trial"
)

// targets compares the results with the targets for Moneyer.
func targets(r *trial.Report) []trial.Target {
	g := goals{r: r}
	g.ceilings()
	g.faster()
	g.peers()
	g.paced()
	g.scale()
	g.resources()
	g.overload()
	return g.all
}

type goals struct {
	r   *trial.Report
	all []trial.Target
}

// least adds a target with a lower bound; got is nil if it was not measured.
func (g *goals) least(what string, want float64, unit string, got *float64) {
	g.all = append(g.all, trial.Target{What: what, Want: want, Unit: unit, Got: got})
}

func (g *goals) most(what string, want float64, unit string, got *float64) {
	g.all = append(g.all, trial.Target{What: what, Want: want, Unit: unit, Got: got, AtMost: true})
}

func (g *goals) row(server string, kind subject.Kind, variant string) *trial.Row {
	return g.r.Row(server, string(kind), variant, trial.Compared)
}

// ceilings compares with the ceilings, by the medians of the ratios, in percent.
func (g *goals) ceilings() {
	for _, c := range []struct {
		what    string
		kind    subject.Kind
		variant string
		want    float64
	}{
		{"jwt-bearer, ES256 in and out, of verify + sign + form", subject.JWTBearerES256, ownGrant, 75},
		{"client_credentials ES256, of sign + form", subject.ClientCredentialsES256, ownPlain, 70},
		{"client_credentials RS256 (boltpay), of Go's RSA signature", subject.ClientCredentialsRS256, ownRSA, 95},
	} {
		var got *float64
		if row := g.row(own, c.kind, c.variant); row != nil && row.Ratio != nil {
			got = new(100 * row.Ratio.Median)
		}
		g.least(c.what, c.want, " %", got)
	}
}

// times returns the ratio of the rates of two rows.
func times(a, b *trial.Row) *float64 {
	if a == nil || b == nil || b.Rate.Median == 0 {
		return nil
	}
	return new(a.Rate.Median / b.Rate.Median)
}

func (g *goals) faster() {
	rsa, grant := subject.ClientCredentialsRS256, subject.JWTBearerES256
	g.least("RS256 with OpenSSL's signatures, of the default build", 3, " times", times(g.row(ownFaster, rsa, ownRSA), g.row(own, rsa, ownRSA)))
	g.least("jwt-bearer with OpenSSL's signatures, of the default build", 1.15, " times", times(g.row(ownFaster, grant, ownGrant), g.row(own, grant, ownGrant)))
}

// rival is a server that Moneyer should be faster than, and by how much.
type rival struct {
	word                           string // part of the server's name
	credentials, grant             float64
	fasterCredentials, fasterGrant float64
	grantKinds                     []subject.Kind // the kinds to compare with our jwt-bearer; the first available one counts
}

func (g *goals) peers() {
	grants := []subject.Kind{subject.JWTBearerES256, subject.PrivateKeyJWTES256}
	for _, rival := range []rival{
		{word: "oidc-provider", credentials: 5, grant: 4, grantKinds: grants},
		{word: "dex", credentials: 1.5, fasterCredentials: 2},
		{word: "zitadel", credentials: 1.5, grant: 1.4, fasterCredentials: 2, fasterGrant: 1.7, grantKinds: grants},
		{word: "hydra", credentials: 15, grant: 15, grantKinds: grants},
		{word: "fosite", credentials: 15, grant: 15, grantKinds: grants},
	} {
		for _, server := range g.r.Servers {
			if !server.Reference && strings.Contains(strings.ToLower(server.Name), rival.word) {
				g.against(server.Name, &rival)
			}
		}
	}
}

// against compares Moneyer with one server.
func (g *goals) against(server string, rival *rival) {
	theirs := g.any(server, subject.ClientCredentialsES256)
	g.least("client_credentials ES256, of "+server, rival.credentials, " times", times(g.row(own, subject.ClientCredentialsES256, ownPlain), theirs))
	if rival.fasterCredentials > 0 {
		g.least("the same with OpenSSL's signatures", rival.fasterCredentials, " times", times(g.row(ownFaster, subject.ClientCredentialsES256, ownPlain), theirs))
	}
	theirs = nil
	for _, kind := range rival.grantKinds {
		if theirs == nil {
			theirs = g.any(server, kind)
		}
	}
	if theirs == nil {
		return // it has no such grant
	}
	g.least("jwt-bearer, of "+theirs.Kind+" of "+server, rival.grant, " times", times(g.row(own, subject.JWTBearerES256, ownGrant), theirs))
	if rival.fasterGrant > 0 {
		g.least("the same with OpenSSL's signatures", rival.fasterGrant, " times", times(g.row(ownFaster, subject.JWTBearerES256, ownGrant), theirs))
	}
}

// any returns a row of a server and kind, whatever its variant.
func (g *goals) any(server string, kind subject.Kind) *trial.Row {
	for i := range g.r.Rows {
		row := &g.r.Rows[i]
		if row.Server == server && row.Kind == string(kind) && row.Connections == trial.Compared && row.Error == "" {
			return row
		}
	}
	return nil
}

// paced compares the latency at half of capacity with a limit and with every other server's.
func (g *goals) paced() {
	for _, kind := range []subject.Kind{subject.JWTBearerES256, subject.ClientCredentialsES256} {
		var ours *float64
		best := ""
		least := 0.0
		for i := range g.r.Paced {
			p := &g.r.Paced[i]
			if p.Error != "" || p.Kind != string(kind) {
				continue
			}
			switch {
			case p.Server == own:
				ours = new(p.P99.Median / 1000)
			case !strings.HasPrefix(p.Server, own) && (best == "" || p.P99.Median < least):
				best, least = p.Server, p.P99.Median
			}
		}
		g.most("p99 of "+string(kind)+" at 64 connections and half of capacity", 5, " ms", ours)
		if best != "" {
			g.most("the same, beside "+best+" at that rate", least/1000, " ms", ours)
		}
	}
}

// scale compares the cost of a request with that for one client and an empty ledger.
func (g *goals) scale() {
	for _, server := range []string{ownMany, ownLong} {
		if g.any(server, subject.JWTBearerES256) == nil {
			continue
		}
		for _, kind := range []subject.Kind{subject.JWTBearerES256, subject.ClientCredentialsES256} {
			many, one := g.row(server, kind, ownPlain), g.row(own, kind, ownPlain)
			if many == nil || one == nil || one.CPU.Median == 0 {
				continue
			}
			g.most("processor time of "+string(kind)+", "+strings.TrimPrefix(server, own+", ")+", of one client and an empty ledger",
				110, " %", new(100*many.CPU.Median/one.CPU.Median))
		}
	}
}

func (g *goals) resources() {
	for _, server := range g.r.Servers {
		if server.Name == own && server.Memory > 0 {
			g.most("memory at 64 connections", 100, " MB", new(float64(server.Memory)/1e6))
		}
	}
	for _, l := range g.r.Ledger {
		g.most("ledger on disk, "+l.Kind, 250, " bytes per token", new(l.Bytes))
	}
	if p := g.r.Prune; p != nil {
		g.most("longest request while old entries are removed", 10, " ms", new(p.During))
	}
}

func (g *goals) overload() {
	if o := g.r.Overload; o != nil {
		g.least("granted at 3 times capacity, of capacity", 80, " %", new(100*o.Goodput/o.Capacity))
		g.most("p99 of granted requests then", 500, " ms", new(o.P99))
		g.least("refusals with Retry-After", 100, " %", new(100*o.RetryAfter))
		g.least("granted 5 s later at half of capacity", 100, " %", new(100*o.After))
	}
	if n := g.r.Noisy; n != nil {
		g.most("granted to a noisy client, of its share", 110, " %", new(100*n.Got/n.Limit))
		g.least("granted to the other clients, of their requests", 99, " %", new(100*n.OthersGot))
	}
}
