// Package remotekeys keeps the public keys of an issuer that are read from elsewhere: it reads them
// again in time, keeps them through an outage, and says whether an unknown key is unknown or cannot
// be looked up now.
//
// It does not decide where keys are: Fetch of a Cache does, with package fetch or a file. Package
// jwksuri is for the keys that clients publish at an address of their own choice.
//
// RFC 7517 §5, RFC 9111 §5.2.2, RFC 5861 §4.
package remotekeys

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"moneyer/internal/jose"
)

var (
	// ErrUnknownKey says that the issuer has no key with that kid.
	ErrUnknownKey = errors.New("the issuer has no such key")
	// ErrUnavailable says that nobody can tell whether the issuer has such a key: no keys could be
	// read, or not since the kid was first seen. It is wrapped with the cause.
	ErrUnavailable = errors.New("no keys of the issuer")
)

const (
	retryAfter      = time.Second // after a first failure; doubles
	longestRetry    = time.Minute
	defaultMaxStale = 24 * time.Hour
	defaultLimit    = 10 * time.Second
	maxWaiting      = 32 // callers, of a Cache that is read in the background
)

// UnknownKidEvery is the usual time between two fetches for kids that are unknown.
const UnknownKidEvery = time.Minute

// Cache holds the keys of one issuer. Set the exported fields before the first use and do not change
// them afterwards. A Cache must not be copied, and is safe for concurrent use.
//
// There is one fetch at a time. When it fails the keys of the last one are used until MaxStale, and
// the next fetch is after 1 s, 2 s, and so on up to a minute.
type Cache struct {
	// Fetch reads the keys, and says how long they are fresh. With past it goes past all caches of
	// others. Required.
	Fetch func(ctx context.Context, past bool) (keys []jose.NamedKey, fresh time.Duration, err error)
	// Now is the clock. Required.
	Now func() time.Time
	// MaxStale is how long after their fetch keys are used while no newer ones can be fetched. 0
	// means 24 hours.
	MaxStale time.Duration
	// Limit bounds the time of one fetch. 0 means 10 seconds.
	Limit time.Duration
	// Background is set where Refresh is called about once a second: then Key waits for a fetch
	// only when it has no key to answer with, and only a few callers do.
	Background bool

	mu      sync.Mutex                 // guards what follows
	keys    map[string]*jose.PublicKey // by kid; nil before the first fetch
	fetched time.Time                  // when keys came
	fresh   time.Time                  // until when keys are fresh
	asked   time.Time                  // when a fetch last began
	retryAt time.Time                  // no fetch before this, after a failure
	fails   int                        // fetches that failed since the last that did not
	err     error                      // of the last fetch; nil after a success
	flight  chan struct{}              // closed when the fetch in progress ends; nil without one
	waiting int                        // callers that wait for it
}

// Key returns the issuer's key with that kid, or without a kid its only key. For an unknown kid the
// keys are fetched again unless a fetch began within every. The error wraps ErrUnknownKey or
// ErrUnavailable, or is that of ctx.
func (c *Cache) Key(ctx context.Context, kid string, every time.Duration) (*jose.PublicKey, error) {
	if flight := c.prepare(ctx, kid, every); flight != nil {
		if err := c.wait(ctx, flight); err != nil {
			return nil, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.usable(c.Now()) {
		return nil, c.unavailable()
	}
	if key := c.find(kid); key != nil {
		return key, nil
	}
	if c.err != nil {
		return nil, c.unavailable() // it may have been published since
	}
	return nil, fmt.Errorf("%w: kid %.64q", ErrUnknownKey, kid)
}

// wait waits for a fetch. Where keys are read in the background, most callers that wait name a kid
// which nobody has, or an issuer that answers nobody: they must not hold all that the caller has room
// for.
func (c *Cache) wait(ctx context.Context, flight <-chan struct{}) error {
	c.mu.Lock()
	full := c.Background && c.waiting >= maxWaiting
	if !full {
		c.waiting++
	}
	c.mu.Unlock()
	if full {
		return fmt.Errorf("%w: too many callers wait for them", ErrUnavailable)
	}
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.waiting--
	}()
	select {
	case <-flight:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Refresh starts a fetch if the keys will soon be stale, or are. It does not wait for the fetch,
// which goes on when ctx ends.
func (c *Cache) Refresh(ctx context.Context) {
	now := c.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	soon := c.fresh.Add(-c.fresh.Sub(c.fetched) / 5)
	if !c.usable(now) || !now.Before(soon) {
		c.begin(ctx, now, false)
	}
}

// Err returns why the last fetch failed; nil when it did not.
func (c *Cache) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// unavailable is the error while nobody can tell. The caller holds mu.
func (c *Cache) unavailable() error { return fmt.Errorf("%w: %w", ErrUnavailable, c.err) }

// find finds a key; nil when there is none. The caller holds mu.
func (c *Cache) find(kid string) *jose.PublicKey {
	if kid == "" && len(c.keys) == 1 {
		for _, key := range c.keys {
			return key
		}
	}
	return c.keys[kid]
}

// prepare starts a fetch if one is due. It returns the channel to wait on when the answer depends on
// the fetch: when kid is unknown, or when the keys are stale and the last fetch did not fail.
func (c *Cache) prepare(ctx context.Context, kid string, every time.Duration) <-chan struct{} {
	now := c.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	usable := c.usable(now)
	stale := !usable || !now.Before(c.fresh)
	missing := !usable || c.find(kid) == nil
	if stale || missing && !now.Before(c.asked.Add(every)) {
		c.begin(ctx, now, usable && missing)
	}
	if missing || stale && c.err == nil && !c.Background {
		return c.flight
	}
	return nil
}

// usable reports whether there are keys that are not older than MaxStale. The caller holds mu.
func (c *Cache) usable(now time.Time) bool {
	most := c.MaxStale
	if most <= 0 {
		most = defaultMaxStale
	}
	return c.keys != nil && now.Before(c.fetched.Add(most))
}

// begin starts a fetch, unless one is in progress or the last one failed a moment ago. It goes on
// when the ctx of its caller ends. If the keys at hand lack one, caches of others are told not to
// answer with the same ones. The caller holds mu.
func (c *Cache) begin(ctx context.Context, now time.Time, lacking bool) {
	if c.flight != nil || now.Before(c.retryAt) {
		return
	}
	c.asked = now
	done := make(chan struct{})
	c.flight = done
	limit := c.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	go func() {
		defer cancel()
		defer close(done)
		named, fresh, err := c.Fetch(ctx, lacking)
		c.end(named, fresh, err)
	}()
}

// end keeps what a fetch brought.
func (c *Cache) end(named []jose.NamedKey, fresh time.Duration, err error) {
	now := c.Now()
	keys := make(map[string]*jose.PublicKey, len(named))
	for _, n := range named {
		kid := n.Kid
		if kid == "" {
			kid = n.Key.Thumbprint()
		}
		keys[kid] = n.Key
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flight, c.err = nil, err
	if err != nil {
		c.retryAt = now.Add(min(retryAfter<<min(c.fails, 10), longestRetry))
		c.fails++
		return
	}
	c.keys, c.fetched, c.fresh = keys, now, now.Add(fresh)
	c.fails, c.retryAt = 0, time.Time{}
}
