// Package remotekeys keeps the public keys of an issuer that are read from elsewhere: it reads them
// again in time, keeps them through an outage, and says whether an unknown key is unknown or cannot
// be looked up now.
//
// It does not decide where keys are: Fetch of a Cache does, with package fetch or a file. Packages
// bearer, trustedkeys and jwksuri use it.
//
// RFC 7517 §4.5, §5, RFC 9111 §5.2.2, RFC 5861 §4.
package remotekeys

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"moneyer/internal/deadline"
	"moneyer/internal/jose"
)

var (
	// ErrUnknownKey says that the issuer has no key with that kid.
	ErrUnknownKey = errors.New("the issuer has no such key")
	// ErrUnavailable says that nobody can tell whether the issuer has such a key: no keys could be
	// read, or not since the kid was first seen. It is wrapped with the cause.
	ErrUnavailable = errors.New("no keys of the issuer")
	// ErrBusy is what Fetch returns when it had no room to ask the issuer: the next fetch is after the
	// shortest pause, because it says nothing about the issuer.
	ErrBusy = errors.New("too many key sets are being fetched")
)

var errTooMany = fmt.Errorf("%w: too many callers wait for them", ErrUnavailable)

const (
	retryAfter      = time.Second // after a first failure; doubles
	longestRetry    = time.Minute
	defaultMaxStale = 24 * time.Hour
	defaultLimit    = 10 * time.Second
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
	Fetch func(ctx context.Context, past bool) (set jose.KeySet, fresh time.Duration, err error)
	// Now is the clock. Required.
	Now func() time.Time
	// MaxStale is how long after their fetch keys are used while no newer ones can be fetched. 0
	// means 24 hours.
	MaxStale time.Duration
	// Limit bounds the time of one fetch. 0 means 10 seconds.
	Limit time.Duration
	// Background is set where Refresh is called about once a second: then Key waits for a fetch
	// only when it has no key to answer with.
	Background bool
	// MaxWaiting is how many callers may wait for a fetch; others get ErrUnavailable at once. 0 means
	// any number.
	MaxWaiting int
	// Places, if not nil, has a place for each caller that may wait for a fetch of any of the Caches that
	// share it. Without a place a caller gets ErrUnavailable at once.
	Places chan struct{}

	mu      sync.Mutex    // guards what follows
	set     *jose.KeySet  // nil before the first fetch
	fetched time.Time     // when set came
	fresh   time.Time     // until when set is fresh
	asked   time.Time     // when a fetch last began
	retryAt time.Time     // no fetch before this, after a failure
	fails   int           // fetches that failed since the last that did not
	err     error         // of the last fetch; nil after a success
	flight  chan struct{} // closed when the fetch in progress ends; nil without one
	waiting int           // callers that wait for it
}

// Key returns the key for a signature whose header has that kid and alg, as jose.KeySet.Find does. For
// one that is unknown the keys are fetched again unless a fetch that did not fail began within every. The error wraps
// ErrUnknownKey or ErrUnavailable, or is that of ctx.
func (c *Cache) Key(ctx context.Context, kid, alg string, every time.Duration) (*jose.PublicKey, error) {
	var key *jose.PublicKey
	err := c.Find(ctx, every, func(set *jose.KeySet) bool {
		key = set.Find(kid, alg)
		return key != nil
	})
	if errors.Is(err, ErrUnknownKey) {
		err = fmt.Errorf("%w: kid %.64q", err, kid)
	}
	return key, err
}

// Newer is Key after a signature did not verify with the key was: its publisher may have another key
// under the same kid by now. It returns nil where there is none, and where nobody can tell: the key at hand has judged.
func (c *Cache) Newer(ctx context.Context, kid, alg string, every time.Duration, was *jose.PublicKey) *jose.PublicKey {
	var key *jose.PublicKey
	err := c.Find(ctx, every, func(set *jose.KeySet) bool {
		key = set.Find(kid, alg)
		return key != nil && (key.Thumbprint() != was.Thumbprint() || key.Alg() != was.Alg())
	})
	if err != nil {
		return nil
	}
	return key
}

// Find looks for something in the keys. found reports whether it is there; it is called without any lock held, up
// to twice. Keys are fetched again, and errors are, as for Key.
func (c *Cache) Find(ctx context.Context, every time.Duration, found func(*jose.KeySet) bool) error {
	if flight := c.prepare(ctx, found, every); flight != nil {
		if err := c.wait(ctx, flight); err != nil {
			return err
		}
	}
	c.mu.Lock()
	set, err := c.set, c.err
	usable := c.usable(c.Now())
	c.mu.Unlock()
	switch {
	case usable && found(set):
		return nil
	case err != nil: // it may have been published since
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	case !usable:
		return fmt.Errorf("%w: those at hand are too old", ErrUnavailable)
	}
	return ErrUnknownKey
}

// wait waits for a fetch. Most callers that wait may name a kid which nobody has, or an issuer that
// answers nobody: they must not hold all that the caller has room for.
func (c *Cache) wait(ctx context.Context, flight <-chan struct{}) error {
	c.mu.Lock()
	full := c.MaxWaiting > 0 && c.waiting >= c.MaxWaiting
	if !full {
		c.waiting++
	}
	c.mu.Unlock()
	if full {
		return errTooMany
	}
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.waiting--
	}()
	if c.Places != nil {
		select {
		case c.Places <- struct{}{}:
			defer func() { <-c.Places }()
		default:
			return errTooMany
		}
	}
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
	if !c.usable(now) || deadline.Passed(soon, now) {
		c.begin(ctx, now, false)
	}
}

// Err returns why the last fetch failed; nil when it did not.
func (c *Cache) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Report says which of the keys at hand are left out, and why; it is empty when none is.
func (c *Cache) Report() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.set == nil {
		return ""
	}
	return c.set.Report()
}

// prepare starts a fetch if one is due. It returns the channel to wait on when the answer depends on
// the fetch: when what is looked for is not there, or when the keys are stale and the last fetch did not fail.
func (c *Cache) prepare(ctx context.Context, found func(*jose.KeySet) bool, every time.Duration) <-chan struct{} {
	now := c.Now()
	c.mu.Lock()
	set, usable := c.set, c.usable(now)
	c.mu.Unlock()
	missing := !usable || !found(set)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.set != set {
		return nil // a fetch has ended meanwhile
	}
	stale := !usable || deadline.Passed(c.fresh, now)
	// After a failure nobody knows what is missing: begin lets the back-off pass, which is shorter than every.
	if stale || missing && (c.err != nil || deadline.Passed(c.asked.Add(every), now)) {
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
	return c.set != nil && !deadline.Passed(c.fetched.Add(most), now)
}

// begin starts a fetch, unless one is in progress or the last one failed a moment ago. It goes on
// when the ctx of its caller ends. If the keys at hand lack one, caches of others are told not to
// answer with the same ones. The caller holds mu.
func (c *Cache) begin(ctx context.Context, now time.Time, lacking bool) {
	if c.flight != nil || !deadline.Passed(c.retryAt, now) {
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
		set, fresh, err := c.Fetch(ctx, lacking)
		c.end(&set, fresh, err)
	}()
}

// end keeps what a fetch brought.
func (c *Cache) end(set *jose.KeySet, fresh time.Duration, err error) {
	now := c.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flight, c.err = nil, err
	if err != nil {
		c.retryAt = now.Add(retryAfter)
		if !errors.Is(err, ErrBusy) {
			c.retryAt = now.Add(min(retryAfter<<min(c.fails, 10), longestRetry))
			c.fails++
		}
		return
	}
	c.set, c.fetched, c.fresh = set, now, now.Add(fresh)
	c.fails, c.retryAt = 0, time.Time{}
}
