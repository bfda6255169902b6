package store

import (
	"fmt"
	"path/filepath"
	"runtime"
	"testing"

	"moneyer/internal/ledger"
	"moneyer/internal/registry"
)

// cached counts the clients in memory.
func (d *DB) cached() (n int) {
	for i := range d.cache.clients.shards {
		s := &d.cache.clients.shards[i]
		s.mu.RLock()
		n += len(s.entries)
		s.mu.RUnlock()
	}
	return n
}

// TestWarm: a store that is opened reads all clients, over several pages and
// issuers, before anybody asks.
func TestWarm(t *testing.T) {
	path := filepath.Join(t.TempDir(), "moneyer.db")
	d := openTest(t, path, Options{})
	const clients = 2*warmPage + 10
	for _, issuer := range []string{"a", "b"} {
		var some []*registry.Client
		for i := range clients / 2 {
			some = append(some, &registry.Client{Issuer: issuer, ID: fmt.Sprint("client-", i), Created: clock()})
		}
		if err := d.PutClients(t.Context(), some, &ledger.Entry{Kind: ledger.KindAdmin, Time: clock()}); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = openTest(t, path, Options{})
	for d.cached() < clients { // the test's own time limit ends it
		runtime.Gosched()
	}
	c, err := d.Client(t.Context(), "b", "client-7")
	if err != nil || c.Issuer != "b" || c.ID != "client-7" {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestWarmIsBounded: it fills the cache, and evicts nothing.
func TestWarmIsBounded(t *testing.T) {
	c := newCache[int, int](cacheShards) // room for one in each shard
	epochs := c.epochs()
	for i := range 40 * cacheShards { // each shard is hit
		c.add(i, i, &epochs)
	}
	n := 0
	for i := range c.shards {
		n += len(c.shards[i].entries)
	}
	if n != cacheShards {
		t.Errorf("%d are kept, want %d", n, cacheShards)
	}
}

// TestWarmIsCoherent: what was read before a change does not come into the cache
// after it.
func TestWarmIsCoherent(t *testing.T) {
	c := newCache[int, int](1000)
	epochs := c.epochs()
	c.drop(1)
	if c.add(1, 1, &epochs); len(c.shard(1).entries) != 0 {
		t.Error("a value from before a change is kept")
	}
	epochs = c.epochs()
	c.add(1, 2, &epochs)
	if value, _, ok := c.get(1); !ok || value != 2 {
		t.Errorf("%d, %v", value, ok)
	}
}
