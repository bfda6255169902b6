package remotekeys

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"moneyer/internal/jose"
)

const maxWaiting = 32

// publisher is where keys are read; each read takes a second.
type publisher struct {
	mu    sync.Mutex
	keys  []jose.NamedKey
	err   error
	reads int
	past  bool // of the last read
}

func (p *publisher) fetch(ctx context.Context, past bool) (jose.KeySet, time.Duration, error) {
	time.Sleep(time.Second)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reads++
	p.past = past
	if ctx.Err() != nil {
		return jose.KeySet{}, 0, ctx.Err()
	}
	return jose.NewKeySet(p.keys...), 10 * time.Minute, p.err
}

// change changes what is published.
func (p *publisher) change(keys []jose.NamedKey, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys, p.err = keys, err
}

// count returns how many reads there were, and whether the last went past caches.
func (p *publisher) count() (reads int, past bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reads, p.past
}

func named(t *testing.T, kid string) jose.NamedKey {
	t.Helper()
	private, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	public, err := jose.NewPublicKey(private.Public(), jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	return jose.NamedKey{Kid: kid, Key: public}
}

// run makes a cache whose Refresh is called each second, as a server does.
func run(t *testing.T, p *publisher) *Cache {
	t.Helper()
	c := &Cache{Fetch: p.fetch, Now: time.Now, Background: true, MaxWaiting: maxWaiting}
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	go func() {
		for ctx.Err() == nil {
			c.Refresh(ctx)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}()
	return c
}

// wait is how long Key waited; the error must be want.
func wait(t *testing.T, c *Cache, kid string, want error) time.Duration {
	t.Helper()
	start := time.Now()
	if _, err := c.Key(t.Context(), kid, "ES256", UnknownKidEvery); !errors.Is(err, want) {
		t.Errorf("key %q after %s: %v, want %v", kid, time.Since(start), err, want)
	}
	return time.Since(start)
}

// TestNobodyWaits: keys are read before they are stale, and in an outage as before; no caller waits
// for a key that is known.
func TestNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := []jose.NamedKey{named(t, "k1")}
		p := &publisher{keys: keys}
		c := run(t, p)
		wait(t, c, "k1", nil)
		for range 3600 {
			if waited := wait(t, c, "k1", nil); waited > 0 {
				t.Fatalf("waited %s", waited)
			}
			time.Sleep(time.Second)
		}
		if reads, past := p.count(); reads < 6 || reads > 9 || past {
			t.Errorf("%d reads in an hour of keys that are fresh for 10 minutes", reads)
		}
		down := errors.New("down")
		p.change(nil, down)
		for range 24*60 - 10 {
			if waited := wait(t, c, "k1", nil); waited > 0 {
				t.Fatalf("waited %s in an outage", waited)
			}
			time.Sleep(time.Minute)
		}
		if c.Err() == nil {
			t.Error("the outage does not show")
		}
		time.Sleep(20 * time.Minute)
		wait(t, c, "k1", ErrUnavailable)
		wait(t, c, "k1", down)
		p.change(keys, nil)
		time.Sleep(2 * time.Minute)
		wait(t, c, "k1", nil)
	})
}

// TestUnknownKid: an unknown kid is looked for once a minute, past caches; while the last read failed
// nobody can tell.
func TestUnknownKid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{keys: []jose.NamedKey{named(t, "k1")}}
		c := run(t, p)
		wait(t, c, "k1", nil)
		both := []jose.NamedKey{p.keys[0], named(t, "k2")}
		p.change(both, nil)
		for range 29 {
			wait(t, c, "k2", ErrUnknownKey)
			time.Sleep(2 * time.Second)
		}
		if reads, _ := p.count(); reads != 1 {
			t.Errorf("%d reads within a minute", reads)
		}
		time.Sleep(2 * time.Second)
		waited := wait(t, c, "k2", nil)
		if reads, past := p.count(); waited != time.Second || reads != 2 || !past {
			t.Errorf("waited %s, %d reads, past caches: %v", waited, reads, past)
		}
		p.change(both, errors.New("down"))
		time.Sleep(2 * time.Minute)
		wait(t, c, "k3", ErrUnavailable)
		wait(t, c, "k1", nil)
	})
}

// TestUnknownKidInAnOutage: while the keys at hand are fresh, a kid that is new is looked for again after 1 s,
// 2 s and so on, not after a minute: one lost connection must not keep a new key out for so long.
func TestUnknownKidInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := named(t, "k1")
		p := &publisher{keys: []jose.NamedKey{old}}
		c := &Cache{Fetch: p.fetch, Now: time.Now}
		wait(t, c, "k1", nil)
		time.Sleep(UnknownKidEvery)
		both := []jose.NamedKey{old, named(t, "k2")}
		p.change(both, errors.New("down"))
		start := time.Now()
		for time.Since(start) < 15*time.Second {
			wait(t, c, "k2", ErrUnavailable)
			wait(t, c, "k1", nil)
			time.Sleep(100 * time.Millisecond)
		}
		if reads, _ := p.count(); reads != 5 { // the first, at 0 s, after 1 s, 2 s, 4 s, each of which takes 1 s
			t.Errorf("%d reads", reads)
		}
		p.change(both, nil)
		time.Sleep(8 * time.Second)
		wait(t, c, "k2", nil)
		wait(t, c, "k3", ErrUnknownKey)
	})
}

// TestNewerIsGuarded: 64 callers with a signature that does not verify cause one fetch a minute between them,
// and none while the key at hand is younger than that.
func TestNewerIsGuarded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		was, is := named(t, "k1"), named(t, "k1")
		p := &publisher{keys: []jose.NamedKey{was}}
		c := &Cache{Fetch: p.fetch, Now: time.Now, MaxWaiting: 64}
		wait(t, c, "k1", nil)
		flood := func(want *jose.PublicKey, reads int) {
			t.Helper()
			var callers sync.WaitGroup
			for range 64 {
				callers.Go(func() {
					if key := c.Newer(t.Context(), "k1", "ES256", UnknownKidEvery, was.Key); key != want {
						t.Errorf("another key: %v, want %v", key, want)
					}
				})
			}
			callers.Wait()
			if n, _ := p.count(); n != reads {
				t.Errorf("%d reads, want %d", n, reads)
			}
		}
		flood(nil, 1)
		time.Sleep(UnknownKidEvery)
		flood(nil, 2) // still the same key
		p.change([]jose.NamedKey{is}, nil)
		flood(nil, 2)
		time.Sleep(UnknownKidEvery)
		flood(is.Key, 3)
		flood(is.Key, 3) // it is at hand now
	})
}

// TestBusy: a fetch for which there was no room says nothing about the issuer, so that the next one is after
// a second, however many there were.
func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{keys: []jose.NamedKey{named(t, "k1")}, err: ErrBusy}
		c := &Cache{Fetch: p.fetch, Now: time.Now}
		for range 10 {
			wait(t, c, "k1", ErrBusy)
			time.Sleep(time.Second)
		}
		p.change(p.keys, nil)
		wait(t, c, "k1", nil)
		if reads, _ := p.count(); reads != 11 {
			t.Errorf("%d reads", reads)
		}
	})
}

// TestPlacesAreShared: callers that wait for one slow publisher, or for many, have only so many places
// together.
func TestPlacesAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		places := make(chan struct{}, 10)
		var callers sync.WaitGroup
		var waited atomic.Int64
		for range 50 {
			c := &Cache{Fetch: (&publisher{err: errors.New("down")}).fetch, Now: time.Now, MaxWaiting: 4, Places: places}
			for range 4 {
				callers.Go(func() {
					if wait(t, c, "k1", ErrUnavailable) > 0 {
						waited.Add(1)
					}
				})
			}
		}
		callers.Wait()
		if waited.Load() != 10 || len(places) != 0 {
			t.Errorf("%d waited, %d places are taken", waited.Load(), len(places))
		}
	})
}

// TestFewWait: while there are keys, a flood of unknown kids does not fill the server with callers that
// wait; whose key is known is answered at once.
func TestFewWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{keys: []jose.NamedKey{named(t, "k1")}}
		c := run(t, p)
		wait(t, c, "k1", nil)
		time.Sleep(UnknownKidEvery)
		var callers sync.WaitGroup
		var atOnce, waited atomic.Int64
		for range 1000 {
			callers.Go(func() {
				start := time.Now()
				if _, err := c.Key(t.Context(), "k2", "ES256", UnknownKidEvery); time.Since(start) > 0 && errors.Is(err, ErrUnknownKey) {
					waited.Add(1)
				} else if errors.Is(err, ErrUnavailable) {
					atOnce.Add(1)
				}
				if took := wait(t, c, "k1", nil); took > 0 {
					t.Errorf("waited %s for a known key", took)
				}
			})
		}
		callers.Wait()
		if waited.Load() != maxWaiting || atOnce.Load() != 1000-maxWaiting {
			t.Errorf("%d waited, %d were answered at once", waited.Load(), atOnce.Load())
		}
	})
}

// TestFewWaitForTheFirst: nor does a flood while there are no keys and the issuer answers slowly.
func TestFewWaitForTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Cache{Fetch: (&publisher{err: errors.New("down")}).fetch, Now: time.Now, Background: true, MaxWaiting: maxWaiting}
		var callers sync.WaitGroup
		var waited atomic.Int64
		for range 1000 {
			callers.Go(func() {
				if wait(t, c, "k1", ErrUnavailable) > 0 {
					waited.Add(1)
				}
			})
		}
		callers.Wait()
		if waited.Load() != maxWaiting {
			t.Errorf("%d waited", waited.Load())
		}
	})
}

// TestDeadline: a caller that cannot wait for a fetch gets the error of its context.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{keys: []jose.NamedKey{named(t, "")}}
		c := &Cache{Fetch: p.fetch, Now: time.Now}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := c.Key(ctx, "", "ES256", UnknownKidEvery); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		wait(t, c, p.keys[0].Key.Thumbprint(), nil)
		wait(t, c, "", nil)
		if reads, _ := p.count(); reads != 1 {
			t.Errorf("%d reads", reads)
		}
	})
}

func TestFreshness(t *testing.T) {
	for text, want := range map[string]time.Duration{"": 10 * time.Minute, "public, max-age=300": 5 * time.Minute, "max-age=1": time.Minute,
		"max-age=99999": time.Hour, "no-store, max-age=300": time.Minute, "max-age=x": 10 * time.Minute} {
		if got := Freshness(http.Header{"Cache-Control": {text}}); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
