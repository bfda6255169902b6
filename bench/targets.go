package main

import (
	"fmt"
	"strings"

	"moneyer/bench/subject"
	"moneyer/bench/trial"
)

// targets compares the results with the targets for Moneyer.
func targets(r *trial.Report) []trial.Target {
	g := goals{r: r}
	g.rsa()
	g.credentials()
	g.ceilings()
	g.connections()
	g.keycloak()
	g.paced()
	g.overload()
	g.scale()
	return g.all
}

// pictures returns the exchanges that the pictures show.
func pictures() []trial.Picture {
	beside := []string{ownPostgres}
	return []trial.Picture{
		{Server: own, Kind: string(subject.ClientCredentialsES256), Variant: ownPlain, Beside: beside},
		{Server: own, Kind: string(subject.JWTBearerES256), Variant: ownGrant, Beside: beside, Also: []string{string(subject.PrivateKeyJWTES256)}},
		{Server: own, Kind: string(subject.ClientCredentialsRS256), Variant: ownRSA},
	}
}

// many is the number of connections of the second comparison.
const many = 256

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

// rsa compares the tokens of boltpay with those of the library that boltpay itself is built on.
func (g *goals) rsa() {
	const kind = subject.ClientCredentialsRS256
	g.least("client_credentials RS256 (boltpay), of oidc-provider", 1.35, " times",
		times(g.row(own, kind, ownRSA, trial.Compared), g.any("oidc-provider", kind, trial.Compared)))
}

func (g *goals) credentials() {
	const kind = subject.ClientCredentialsES256
	for _, peer := range []string{"zitadel", "dex"} {
		for _, connections := range []int{trial.Compared, many} {
			ours, theirs := g.row(own, kind, ownPlain, connections), g.any(peer, kind, connections)
			what := fmt.Sprintf("%s at %d connections, of %s", kind, connections, peer)
			g.least(what, 1.3, " times", times(ours, theirs))
			g.least(what+", by processor time", 1.45, " times", cheaper(ours, theirs))
		}
	}
}

// ceilings compares processor time with the ceilings', in percent.
func (g *goals) ceilings() {
	for _, c := range []struct {
		what        string
		kind        subject.Kind
		variant     string
		few, atMany float64
	}{
		{"jwt-bearer ES256, of verify + sign + form", subject.JWTBearerES256, ownGrant, 85, 90},
		{"client_credentials ES256, of sign + form", subject.ClientCredentialsES256, ownPlain, 80, 92},
	} {
		what := c.what + ", by processor time at %d connections"
		g.least(fmt.Sprintf(what, trial.Compared), c.few, " %", ofCeiling(g.row(own, c.kind, c.variant, trial.Compared)))
		g.least(fmt.Sprintf(what, many), c.atMany, " %", ofCeiling(g.row(own, c.kind, c.variant, many)))
	}
}

// connections compares a token on a new TLS connection with the same handshake before the ceiling's
// work, with every peer, and with the handshake of Go's default configuration.
func (g *goals) connections() {
	for _, connection := range []subject.Connection{subject.TLSFull, subject.TLSResumed, subject.MutualTLS} {
		for _, kind := range []subject.Kind{subject.JWTBearerES256, subject.ClientCredentialsES256} {
			ours, best := g.over(own, kind, connection), g.cheapestPeer(kind, connection)
			g.least(fmt.Sprintf("%s, %s, of the same handshake and ceiling, by processor time", kind, connection), 93, " %", ofCeiling(ours))
			name := "the best peer"
			if best != nil {
				name = best.Server
			}
			g.least(fmt.Sprintf("%s, %s, of %s, by processor time", kind, connection, name), 1, " times", cheaper(ours, best))
		}
		g.most(fmt.Sprintf("%s, processor time of a handshake, of Go's defaults", connection), 100, " %", g.handshake(connection))
	}
}

// handshake returns our processor time for a handshake in percent of that of an empty handler with
// Go's default configuration: a request on a new connection less the same one on a kept connection.
func (g *goals) handshake(connection subject.Connection) *float64 {
	const kind, nothing = subject.ClientCredentialsES256, subject.Kind(subject.Empty)
	ours, kept := g.over(own, kind, connection), g.row(own, kind, ownPlain, trial.Compared)
	empty, emptyKept := g.over(string(subject.Empty), nothing, connection), g.row(string(subject.Empty), nothing, "", trial.Compared)
	if ours == nil || kept == nil || empty == nil || emptyKept == nil || empty.CPU.Median <= emptyKept.CPU.Median {
		return nil
	}
	return new(100 * (ours.CPU.Median - kept.CPU.Median) / (empty.CPU.Median - emptyKept.CPU.Median))
}

func (g *goals) keycloak() {
	for _, kind := range []subject.Kind{subject.ClientCredentialsES256, subject.JWTBearerES256} {
		g.least(fmt.Sprintf("%s, both on PostgreSQL, of Keycloak", kind), 20, " times",
			times(g.any(ownPostgres, kind, trial.Compared), g.any("keycloak", kind, trial.Compared)))
	}
}

// paced compares the latency at half of capacity with the best peer's and one flush of the disk.
func (g *goals) paced() {
	flush := 0.0
	for _, o := range g.r.Ceiling {
		if o.Name == trial.Flush && o.PerSecond.Median > 0 {
			flush = 1000 / o.PerSecond.Median
		}
	}
	for _, kind := range []subject.Kind{subject.JWTBearerES256, subject.ClientCredentialsES256} {
		what, of := fmt.Sprintf("p99 of %s at half of capacity", kind), ", of the best peer's plus one flush of the disk"
		ours, best := g.pacedRows(kind)
		if best == nil {
			g.most(what+of, 100, " %", nil)
			continue
		}
		var got *float64
		if ours != nil && flush > 0 {
			got = new(100 * ours.P99.Median / (best.P99.Median + 1000*flush))
		}
		of = fmt.Sprintf(", of %s's (%.1f ms) plus one flush of the disk (%.1f ms)", best.Server, best.P99.Median/1000, flush)
		g.most(what+of, 100, " %", got)
	}
}

// pacedRows returns our row and that of the peer with the least p99.
func (g *goals) pacedRows(kind subject.Kind) (ours, best *trial.Paced) {
	for i := range g.r.Paced {
		p := &g.r.Paced[i]
		switch {
		case p.Error != "":
		case p.Server == own && p.Kind == string(kind):
			ours = p
		case !isOurs(p.Server) && similar(p.Kind, kind) && (best == nil || p.P99.Median < best.P99.Median):
			best = p
		}
	}
	return ours, best
}

// similar reports whether a peer's exchange compares with one of ours: some have private_key_jwt
// in place of the grant.
func similar(theirs string, ours subject.Kind) bool {
	return theirs == string(ours) || ours == subject.JWTBearerES256 && theirs == string(subject.PrivateKeyJWTES256)
}

func (g *goals) overload() {
	var granted, others *float64
	if o := g.r.OverloadTLS; o != nil && o.Left > 0 {
		granted = new(100 * o.Goodput / o.Left)
	}
	g.least("granted at 3 times capacity over TLS, of what empty refusals would leave", 90, " %", granted)
	if n := g.r.Noisy; n != nil {
		others = new(100 * n.OthersGot)
	}
	g.least("granted to the others beside a noisy client, of their requests", 98, " %", others)
}

// scale compares the cost of a request with that for one client, and the live heap with the number
// of clients.
func (g *goals) scale() {
	for _, kind := range []subject.Kind{subject.JWTBearerES256, subject.ClientCredentialsES256} {
		one, many := g.row(own, kind, ownPlain, trial.Compared), g.row(ownMany, kind, ownPlain, trial.Compared)
		var got *float64
		if ratio := cheaper(one, many); ratio != nil {
			got = new(100 * *ratio)
		}
		g.most(fmt.Sprintf("processor time of %s with 1,000,000 clients, of one client", kind), 110, " %", got)
	}
	var heap *float64
	for i := range g.r.Servers {
		if s := &g.r.Servers[i]; s.Name == ownMany && s.Heap > 0 {
			heap = new(float64(s.Heap) / manyClients)
		}
	}
	g.most("live heap with 1,000,000 clients", 1000, " bytes a client", heap)
}

func (g *goals) row(server string, kind subject.Kind, variant string, connections int) *trial.Row {
	return g.r.Row(server, string(kind), variant, connections)
}

// any returns the first row of a kind of a server, given by a part of its name, whatever its variant.
func (g *goals) any(server string, kind subject.Kind, connections int) *trial.Row {
	for i := range g.r.Rows {
		row := &g.r.Rows[i]
		if row.Error == "" && row.Rounds > 0 && row.Connection == subject.Kept && row.Connections == connections && row.Kind == string(kind) && strings.Contains(strings.ToLower(row.Server), strings.ToLower(server)) {
			return row
		}
	}
	return nil
}

// over returns the row of a server on new connections of one kind.
func (g *goals) over(server string, kind subject.Kind, connection subject.Connection) *trial.Row {
	for i := range g.r.Rows {
		row := &g.r.Rows[i]
		if row.Server == server && onNew(row, kind, connection) {
			return row
		}
	}
	return nil
}

// cheapestPeer returns the row of the peer that takes the least processor time on such connections.
func (g *goals) cheapestPeer(kind subject.Kind, connection subject.Connection) (best *trial.Row) {
	for i := range g.r.Rows {
		row := &g.r.Rows[i]
		if !row.Reference && !isOurs(row.Server) && onNew(row, kind, connection) && (best == nil || row.CPU.Median < best.CPU.Median) {
			best = row
		}
	}
	return best
}

func onNew(row *trial.Row, kind subject.Kind, connection subject.Connection) bool {
	return row.Connection == connection && row.Kind == string(kind) && row.Error == "" && row.Rounds > 0
}

func isOurs(server string) bool { return strings.HasPrefix(server, own) }

// times returns the ratio of the rates of two rows.
func times(a, b *trial.Row) *float64 {
	if a == nil || b == nil || b.Rate.Median == 0 {
		return nil
	}
	return new(a.Rate.Median / b.Rate.Median)
}

// cheaper returns how many times the processor time of a is in that of b.
func cheaper(a, b *trial.Row) *float64 {
	if a == nil || b == nil || a.CPU.Median == 0 {
		return nil
	}
	return new(b.CPU.Median / a.CPU.Median)
}

// ofCeiling returns the processor time of the ceiling in percent of that of the row.
func ofCeiling(row *trial.Row) *float64 {
	if row == nil || row.CPURatio == nil {
		return nil
	}
	return new(100 * row.CPURatio.Median)
}
