package bearer

import (
	"crypto/sha256"
	"sync"
)

type digest [sha256.Size]byte

func digestOf(token string) digest { return sha256.Sum256([]byte(token)) }

// cache holds verified tokens in two generations: when the younger is full, it
// replaces the older. A token that is used moves to the younger, so that busy tokens
// stay. The cache does not look at exp; its caller does.
type cache struct {
	mu         sync.Mutex // guards both maps
	generation int        // entries of one generation
	young, old map[digest]*Claims
}

// newCache returns a cache of at most size tokens, or two.
func newCache(size int) *cache {
	return &cache{generation: max(1, size/2), young: map[digest]*Claims{}}
}

// get returns the claims of a token, or nil.
func (c *cache) get(d digest) *Claims {
	c.mu.Lock()
	defer c.mu.Unlock()
	if claims := c.young[d]; claims != nil {
		return claims
	}
	claims := c.old[d]
	if claims != nil {
		c.add(d, claims)
	}
	return claims
}

// put adds a token.
func (c *cache) put(d digest, claims *Claims) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(d, claims)
}

// add adds a token to the younger generation. The caller holds mu.
func (c *cache) add(d digest, claims *Claims) {
	if len(c.young) >= c.generation {
		c.old, c.young = c.young, make(map[digest]*Claims, c.generation)
	}
	c.young[d] = claims
}
