package store

import (
	"encoding/hex"
	"hash/maphash"
	"sync"

	"moneyer/internal/registry"
	"moneyer/internal/store/engine"
)

// named is the key of an object that has an ID within its issuer.
type named struct{ issuer, id string }

// digested is the key of an API key or an identity.
type digested struct {
	issuer string
	digest registry.Digest
}

// registryCache caches objects of the registry. It does not cache that an object does not
// exist.
type registryCache struct {
	clients  *cache[named, *registry.Client]
	digests  *cache[digested, string] // the ID of the client
	accounts *cache[named, *registry.Account]
	items    *cache[named, registry.Item]
}

func newRegistryCache(entries int) *registryCache {
	return &registryCache{
		clients:  newCache[named, *registry.Client](entries),
		digests:  newCache[digested, string](entries),
		accounts: newCache[named, *registry.Account](entries),
		items:    newCache[named, registry.Item](entries),
	}
}

// cacheShards is the number of locks of a cache, to reduce contention.
const cacheShards = 64

// cache is a bounded map that never keeps a value that was read before the last drop of
// its key. A full shard evicts an arbitrary entry.
type cache[K comparable, V any] struct {
	seed   maphash.Seed
	bound  int // of each shard
	shards [cacheShards]cacheShard[K, V]
}

type cacheShard[K comparable, V any] struct {
	mu      sync.RWMutex
	entries map[K]V
	// epoch counts the drops. A value that was read before the last drop may be stale.
	epoch uint64
}

func newCache[K comparable, V any](entries int) *cache[K, V] {
	c := &cache[K, V]{seed: maphash.MakeSeed(), bound: max(1, entries/cacheShards)}
	for i := range c.shards {
		c.shards[i].entries = map[K]V{}
	}
	return c
}

func (c *cache[K, V]) shard(key K) *cacheShard[K, V] {
	return &c.shards[maphash.Comparable(c.seed, key)%cacheShards]
}

// get returns the value of key. If there is none, the caller reads it from the database
// and passes the epoch to put.
func (c *cache[K, V]) get(key K) (value V, epoch uint64, ok bool) {
	s := c.shard(key)
	s.mu.RLock()
	defer s.mu.RUnlock()
	value, ok = s.entries[key]
	return value, s.epoch, ok
}

// put stores value, unless the shard had a drop since get returned epoch.
func (c *cache[K, V]) put(key K, value V, epoch uint64) {
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch != epoch {
		return
	}
	if len(s.entries) >= c.bound {
		for victim := range s.entries {
			delete(s.entries, victim)
			break
		}
	}
	s.entries[key] = value
}

// epochs returns the epochs of all shards. The caller passes them to add with values that
// it reads later.
func (c *cache[K, V]) epochs() (epochs [cacheShards]uint64) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.RLock()
		epochs[i] = s.epoch
		s.mu.RUnlock()
	}
	return epochs
}

// add stores value as put does, but evicts nothing.
func (c *cache[K, V]) add(key K, value V, epochs *[cacheShards]uint64) {
	i := maphash.Comparable(c.seed, key) % cacheShards
	s := &c.shards[i]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch == epochs[i] && len(s.entries) < c.bound {
		s.entries[key] = value
	}
}

// drop removes key, and makes put reject values that are being read now.
func (c *cache[K, V]) drop(key K) {
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch++
	delete(s.entries, key)
}

// clear removes every key.
func (c *cache[K, V]) clear() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.epoch++
		clear(s.entries)
		s.mu.Unlock()
	}
}

// drop removes the changed objects.
func (c *registryCache) drop(changes []engine.Change) {
	for _, change := range changes {
		key := named{change.Issuer, change.ID}
		switch change.Kind {
		case engine.ChangedClient:
			c.clients.drop(key)
		case engine.ChangedAccount:
			c.accounts.drop(key)
		case engine.ChangedItem:
			c.items.drop(key)
		case engine.ChangedDigest:
			if digest, err := hex.DecodeString(change.ID); err == nil && len(digest) == len(registry.Digest{}) {
				c.digests.drop(digested{change.Issuer, registry.Digest(digest)})
			}
		}
	}
}

// clear removes everything.
func (c *registryCache) clear() {
	c.clients.clear()
	c.digests.clear()
	c.accounts.clear()
	c.items.clear()
}
