package store

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"moneyer/internal/jose"
	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/internal/rowauth/rowauthtest"
)

func TestCacheIsBounded(t *testing.T) {
	c := newCache[int, int](cacheShards * 10)
	for i := range 100_000 {
		_, epoch, _ := c.get(i)
		c.put(i, i, epoch)
	}
	kept := 0
	for i := range c.shards {
		kept += len(c.shards[i].entries)
	}
	if kept != cacheShards*10 {
		t.Errorf("%d entries are kept, want %d", kept, cacheShards*10)
	}
	if _, _, ok := c.get(99_999); !ok {
		t.Error("the last entry made room for an older one")
	}
}

func TestCacheRejectsStalePut(t *testing.T) {
	c := newCache[string, string](100)
	_, before, _ := c.get("k")
	c.drop("k")
	c.put("k", "stale", before)
	if v, _, ok := c.get("k"); ok {
		t.Errorf("the cache took back %q", v)
	}
	_, after, _ := c.get("k")
	c.put("k", "fresh", after)
	if v, _, ok := c.get("k"); !ok || v != "fresh" {
		t.Errorf("the cache kept %q, %t", v, ok)
	}
}

// TestCacheKeepsNoRequest: what a request calls a client by is a part of its text,
// all of which would stay in memory with it.
func TestCacheKeepsNoRequest(t *testing.T) {
	d := openNew(t)
	putBenchClient(t, d, 0)
	asked := strings.Clone("client-0")
	c, err := d.Client(t.Context(), "d1", asked)
	if err != nil {
		t.Fatal(err)
	}
	shard := d.cache.clients.shard(named{"d1", asked})
	for key := range shard.entries {
		if unsafe.StringData(key.id) != unsafe.StringData(c.ID) {
			t.Error("the cache keeps the text of the request")
		}
	}
	if len(shard.entries) != 1 {
		t.Error("the client is not in the cache")
	}
}

func TestCachedReadsDoNotAllocate(t *testing.T) {
	d := openNew(t)
	putBenchClient(t, d, 0)
	if _, err := d.Client(t.Context(), "d1", "client-0"); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = d.Client(t.Context(), "d1", "client-0") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func putBenchClient(tb testing.TB, d *DB, n int) {
	tb.Helper()
	c := &registry.Client{Issuer: "d1", ID: fmt.Sprint("client-", n), Created: clock(), Keys: []registry.Key{testKey(tb)}}
	e := &ledger.Entry{Kind: ledger.KindAdmin, Time: clock()}
	if err := d.PutClient(tb.Context(), c, e); err != nil {
		tb.Fatal(err)
	}
}

func BenchmarkCachedClient(b *testing.B) {
	d, err := Open(b.Context(), "sqlite:"+b.TempDir()+"/moneyer.db", Options{Create: true, RowKey: rowauthtest.Key(), Now: clock})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	const clients = 1000
	ids := make([]string, clients)
	for i := range ids {
		putBenchClient(b, d, i)
		ids[i] = fmt.Sprint("client-", i)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for _, id := range ids {
		if _, err := d.Client(b.Context(), "d1", id); err != nil {
			b.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	ctx := b.Context()
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if _, err := d.Client(ctx, "d1", ids[i%clients]); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/clients, "bytes/client")
}

// BenchmarkUncachedClient reads clients that memory does not hold, for a caller who
// may go.
func BenchmarkUncachedClient(b *testing.B) {
	d, err := Open(b.Context(), "sqlite:"+b.TempDir()+"/moneyer.db", Options{Create: true, RowKey: rowauthtest.Key(), Now: clock, CacheEntries: 1})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	const clients = 10_000
	ids, bulk := make([]string, clients), make([]*registry.Client, MaxBulk)
	for n := range clients {
		ids[n] = fmt.Sprint("client-", n)
		private, err := ecdsa.GenerateKey(elliptic.P256(), nil)
		if err != nil {
			b.Fatal(err)
		}
		public, err := jose.NewPublicKey(private.Public(), jose.ES256)
		if err != nil {
			b.Fatal(err)
		}
		bulk[n%MaxBulk] = &registry.Client{Issuer: "d1", ID: ids[n], Created: clock(),
			Keys:    []registry.Key{{Kid: "k", Public: public, Environment: "prd", Created: clock()}},
			Secrets: []registry.Secret{{ID: "s", Kind: registry.ClientSecret, Created: clock()}}}
		if n%MaxBulk == MaxBulk-1 {
			if err := d.PutClients(b.Context(), bulk, &ledger.Entry{Kind: ledger.KindAdmin, Time: clock()}); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if _, err := d.Client(b.Context(), "d1", ids[n*7919%clients]); err != nil {
			b.Fatal(err)
		}
	}
}

// testKey is a new public key of a client.
func testKey(tb testing.TB) registry.Key {
	tb.Helper()
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		tb.Fatal(err)
	}
	key, err := jose.NewPublicKey(public, jose.EdDSA)
	if err != nil {
		tb.Fatal(err)
	}
	return registry.Key{Kid: "k", Public: key}
}
