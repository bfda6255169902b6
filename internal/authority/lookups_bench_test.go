package authority_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"moneyer/internal/authority"
	"moneyer/internal/ledger"
	"moneyer/internal/overload"
	"moneyer/internal/pgtest"
	"moneyer/internal/rowauth/rowauthtest"
	"moneyer/internal/store"
	"moneyer/oauth"
)

// BenchmarkRefusalOfClient refuses clients that exist and such that do not, with each store:
// the medians of one store should be alike. SECURITY.md says what was measured.
func BenchmarkRefusalOfClient(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) { benchmarkClients(b, "sqlite:"+b.TempDir()+"/moneyer.db") })
	b.Run("postgresql", func(b *testing.B) {
		server, err := pgtest.Start(context.Background(), pgtest.Options{})
		pgtest.Require(b, err)
		b.Cleanup(func() { _ = server.Remove() })
		if err := server.Exec(b.Context(), "CREATE DATABASE bench"); err != nil {
			b.Fatal(err)
		}
		benchmarkClients(b, server.URL("bench"))
	})
}

func benchmarkClients(b *testing.B, url string) {
	db, err := store.Open(b.Context(), url, store.Options{RowKey: rowauthtest.Key(), Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	h := newFixture(b, "oauth2")
	other := h.registry.clients[otherID]
	other.Disabled, other.Keys = true, other.Keys[:1]
	for _, c := range h.registry.clients {
		if err := db.PutClient(b.Context(), c, &ledger.Entry{Kind: ledger.KindAdmin, Time: noon, Actor: "test"}); err != nil {
			b.Fatal(err)
		}
	}
	h.Authority.Registry, h.Ledger, h.Refusals = db, noLedger{}, authority.NewRefusals(noLedger{}, overload.Rate{PerSecond: 0.01})
	var cases []lookup
	var requests []*authority.Request
	for _, c := range lookups() {
		if c.profile == "oauth2" {
			cases, requests = append(cases, c), append(requests, c.request(nil, h))
		}
	}
	took := make([][]time.Duration, len(cases))
	for b.Loop() { // each in turn, so that what else the machine does delays all alike
		for i, req := range requests {
			start := time.Now()
			_, err := h.Exchange(b.Context(), h.issuer, req)
			took[i] = append(took[i], time.Since(start))
			if err == nil || oauth.AsError(err).Code.Retryable() {
				b.Fatal(err)
			}
		}
	}
	for i, c := range cases {
		slices.Sort(took[i])
		b.Logf("median %6.1f us, lower quartile %6.1f us: %s", micros(took[i][len(took[i])/2]), micros(took[i][len(took[i])/4]), c.name)
	}
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }
