package store

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"fmt"
	"runtime"
	"testing"

	"moneyer/internal/jose"
	"moneyer/internal/ledger"
	"moneyer/internal/registry"
)

// TestHeapOfClients: a client in the cache with a P-256 key, a secret and two scopes takes little
// memory: a million of them fit into a gigabyte.
func TestHeapOfClients(t *testing.T) {
	const clients, most = 4096, 980 // bytes
	d := openNew(t)
	bulk := make([]*registry.Client, 0, MaxBulk)
	for n := range clients {
		private, err := ecdsa.GenerateKey(elliptic.P256(), nil)
		if err != nil {
			t.Fatal(err)
		}
		public, err := jose.NewPublicKey(private.Public(), jose.ES256)
		if err != nil {
			t.Fatal(err)
		}
		bulk = append(bulk, &registry.Client{Issuer: "d1", ID: fmt.Sprintf("client-%07d", n), Created: clock(), Scope: []string{"orders:read", "orders:write"},
			Keys:    []registry.Key{{Kid: "2026-11", Public: public, Environment: "production", Created: clock()}},
			Secrets: []registry.Secret{{ID: "first", Kind: registry.ClientSecret, Created: clock()}}})
		if len(bulk) == MaxBulk || n == clients-1 {
			if err := d.PutClients(t.Context(), bulk, &ledger.Entry{Kind: ledger.KindAdmin, Time: clock()}); err != nil {
				t.Fatal(err)
			}
			bulk = bulk[:0]
		}
	}
	bulk = nil
	before := heapInUse()
	for n := range clients {
		if _, err := d.Client(t.Context(), "d1", fmt.Sprintf("client-%07d", n)); err != nil {
			t.Fatal(err)
		}
	}
	if each := (heapInUse() - before) / clients; each > most {
		t.Errorf("%d bytes for each client, at most %d", each, most)
	}
	runtime.KeepAlive(d)
}

// heapInUse returns the bytes of live objects.
func heapInUse() int64 {
	runtime.GC()
	runtime.GC() // what pools keep for one collection is gone after two
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
