package tokensource

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"time"

	"moneyer/oauth"
)

const (
	defaultCacheSize = 1000
	renewalLimit     = time.Minute // of an exchange that nobody may be waiting for
	failureHeld      = time.Second // that a failure answers for, at least
	failureHeldMost  = time.Minute // and at most, when Retry-After asks for more
	discardPause     = time.Second // between two tokens discarded under one key; doubles
	discardPauseMost = time.Minute // the longest
)

// entry is what is known under one key. Source.mu guards it.
type entry struct {
	token     *Token    // nil before the first
	renewAt   time.Time // from here on the token is renewed in the background
	flight    *flight   // the exchange under way, or nil
	err       error     // of the last exchange; nil after a success
	retryAt   time.Time // before this no exchange follows a failure
	used      time.Time
	discarded time.Time     // when Discard last took the token
	pause     time.Duration // before it takes another one
}

// flight is one exchange for all who wait. What it brings is set before done is
// closed.
type flight struct {
	done  chan struct{}
	token *Token
	err   error
}

// TokenFor returns a kept token, or waits for a new one. What it returns has
// more than 10 s left, or more than a tenth of a life of less than 100 s.
//
// A token is renewed in the background once 70 to 85 % of its life have gone, a
// random point so that clients spread; until the new one is there, the old one
// serves. However many callers wait, one exchange is under way for each distinct
// Request; it goes on when a caller's ctx ends, for a minute at most. A failure
// answers for all callers of the next second, or as long as Retry-After asks for,
// a minute at most. Errors are those of FetchFor, or ctx's own.
func (s *Source) TokenFor(ctx context.Context, r Request) (*Token, error) {
	key := s.key(r)
	now := s.now()
	s.mu.Lock()
	e := s.entry(key, now)
	usable := e.token != nil && e.token.left(now)
	due := !usable || !now.Before(e.renewAt)
	if due && e.flight == nil {
		if now.Before(e.retryAt) {
			due = false
		} else {
			s.renew(ctx, key, e, r)
		}
	}
	token, err, waiting := e.token, e.err, e.flight
	s.mu.Unlock()
	switch {
	case usable:
		return token, nil
	case !due:
		return nil, err
	}
	select {
	case <-waiting.done:
		return waiting.token, waiting.err
	case <-ctx.Done():
		return nil, fmt.Errorf("tokensource: waiting for a token: %w", ctx.Err())
	}
}

// Discard gives up a kept token that an API refused, and tells whether the next
// call can bring another one. It cannot when the Source never kept the token,
// nor when one was discarded for the same Request within the last second: then the
// token may not be what is wrong. That time doubles, up to a minute, each time that
// a token is discarded before it has served for twice as long.
func (s *Source) Discard(token *Token) bool {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[token.key]
	switch {
	case e == nil:
		return false
	case e.token != token: // somebody else was faster
		return true
	}
	served := now.Sub(e.discarded)
	if served < e.pause {
		return false
	}
	if served > 2*e.pause {
		e.pause = discardPause
	} else {
		e.pause = min(2*e.pause, discardPauseMost)
	}
	e.token, e.discarded = nil, now
	return true
}

// key names the cache's entry of a request.
func (s *Source) key(r Request) string {
	r = s.merge(r)
	key := make(url.Values, len(r.Params)+3)
	for name, values := range r.Params {
		key["param."+name] = values
	}
	key["scope"], key["sub"], key["aud"] = []string{r.Scope.String()}, []string{r.Subject}, []string{r.Audience}
	return key.Encode()
}

// entry finds or makes an entry, and makes room for it. Caller holds mu.
func (s *Source) entry(key string, now time.Time) *entry {
	e := s.entries[key]
	if e == nil {
		if s.entries == nil {
			s.entries = map[string]*entry{}
		}
		if len(s.entries) >= cmp.Or(s.CacheSize, defaultCacheSize) {
			s.evict()
		}
		e = new(entry)
		s.entries[key] = e
	}
	e.used = now
	return e
}

// evict removes the entry that was not asked for the longest and has no exchange
// under way. A walk over all is nothing beside the exchange that follows.
func (s *Source) evict() {
	var oldest string
	for key, e := range s.entries {
		if e.flight == nil && (oldest == "" || e.used.Before(s.entries[oldest].used)) {
			oldest = key
		}
	}
	delete(s.entries, oldest)
}

// renew starts an exchange for e. Caller holds mu.
func (s *Source) renew(ctx context.Context, key string, e *entry, r Request) {
	f := &flight{done: make(chan struct{})}
	e.flight = f
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewalLimit)
	go func() {
		defer cancel()
		defer close(f.done)
		f.token, f.err = s.FetchFor(ctx, r)
		s.land(key, e, f)
		if f.err != nil {
			s.log().Warn("no new access token", "error", f.err)
		}
	}()
}

// land notes what an exchange brought.
func (s *Source) land(key string, e *entry, f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.flight = nil
	if f.err != nil {
		e.fail(f.err, s.now())
		return
	}
	f.token.key = key
	e.keep(f.token)
}

// keep takes a new token and picks the point of its renewal.
func (e *entry) keep(t *Token) {
	life := t.Expiry.Sub(t.obtained)
	e.token, e.err = t, nil
	e.renewAt = t.obtained.Add(time.Duration((0.70 + 0.15*rand.Float64()) * float64(life)))
}

// fail takes the error of an exchange and picks the time of the next: after a
// second, or what Retry-After asks for, or a tenth of what the old token has
// left, but a minute at most.
func (e *entry) fail(err error, now time.Time) {
	held := max(failureHeld, oauth.AsError(err).RetryAfter)
	if e.token != nil {
		held = max(held, e.token.Expiry.Sub(now)/10)
	}
	held = min(held, failureHeldMost)
	e.err, e.retryAt = err, now.Add(held+rand.N(held/10))
}
