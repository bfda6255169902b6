package bearer

import (
	"crypto/sha256"
	"sync"
	"time"
)

type digest [sha256.Size]byte

func digestOf(token string) digest { return sha256.Sum256([]byte(token)) }

// cached is a verified token.
type cached struct {
	claims *Claims
	// end is when the token is no longer accepted. It has the monotonic reading of the clock at
	// verification, so that a wall clock which is set back does not lengthen the token's life.
	end time.Time
}

// cache holds verified tokens in two generations: when the younger is full, it
// replaces the older. A token that is used moves to the younger, so that busy tokens
// stay. The cache does not look at the end of a token; its caller does.
type cache struct {
	mu         sync.Mutex // guards both maps
	generation int        // entries of one generation
	young, old map[digest]*cached
}

// newCache returns a cache of at most size tokens, or two.
func newCache(size int) *cache {
	return &cache{generation: max(1, size/2), young: map[digest]*cached{}}
}

// get returns a token, or nil.
func (c *cache) get(d digest) *cached {
	c.mu.Lock()
	defer c.mu.Unlock()
	if token := c.young[d]; token != nil {
		return token
	}
	token := c.old[d]
	if token != nil {
		c.add(d, token)
	}
	return token
}

// put adds a token.
func (c *cache) put(d digest, token *cached) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(d, token)
}

// add adds a token to the younger generation. The caller holds mu.
func (c *cache) add(d digest, token *cached) {
	if len(c.young) >= c.generation {
		c.old, c.young = c.young, make(map[digest]*cached, c.generation)
	}
	c.young[d] = token
}
