package store_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"moneyer/internal/ledger"
	"moneyer/internal/rowauth/rowauthtest"
	"moneyer/internal/store"
)

func clock() time.Time { return time.Date(2026, 11, 2, 8, 0, 0, 123456789, time.UTC) }

func open(tb testing.TB, path string) *store.DB {
	tb.Helper()
	db, err := store.Open(context.Background(), "sqlite:"+path, store.Options{Create: true, RowKey: rowauthtest.Key(), Now: clock})
	if err != nil {
		tb.Fatal(err)
	}
	return db
}

// BenchmarkAppend measures tokens with consumed values, by concurrent callers.
func BenchmarkAppend(b *testing.B) {
	for _, callers := range []int{1, 32, 256} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "moneyer.db")
			db := open(b, path)
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						if err := db.Append(context.Background(), tokenEntry(), use()); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
			if err := db.Close(); err != nil {
				b.Fatal(err)
			}
			if info, err := os.Stat(path); err == nil {
				b.ReportMetric(float64(info.Size())/float64(b.N), "bytes/token")
			}
		})
	}
}

func tokenEntry() *ledger.Entry {
	now := clock()
	return &ledger.Entry{Kind: ledger.KindToken, Time: now, Issuer: "d1-prd", Client: "bank-of-somewhere",
		Correlation: rand.Text(), JTI: rand.Text(), Credential: "key-2026-11", SigningKid: "IrVbGFoKBqz6wJ3aFVv7FQJY7jZpYkq7sGf0wCkX1aM",
		Subject: "bank-of-somewhere", Scope: "d1/cards:read d1/cards:write", Expires: now.Add(5 * time.Minute)}
}

func use() ledger.Consumed {
	u := ledger.Consumed{Until: clock().Add(5 * time.Minute)}
	_, _ = rand.Read(u.Value[:])
	return u
}
