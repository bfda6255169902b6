package tokensource

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"time"

	"moneyer/internal/deadline"
	"moneyer/oauth"
)

const (
	defaultCacheSize = 1000
	renewalLimit     = time.Minute // of an exchange in the background
	minFailurePause  = time.Second // from a failure to the next exchange, at least
	maxFailurePause  = time.Minute // and at most, whatever Retry-After says
	minDiscardPause  = time.Second // between two tokens discarded under one key; doubles
	maxDiscardPause  = time.Minute
)

// entry is the state of the cache for one key. Source.mu guards it.
type entry struct {
	token     *Token    // nil before the first
	renewAt   time.Time // from here on the token is renewed in the background
	flight    *flight   // the exchange in progress, or nil
	err       error     // of the last exchange; nil after a success
	retryAt   time.Time // before this no exchange follows a failure
	used      time.Time
	discarded time.Time     // when Discard last took the token
	pause     time.Duration // before Discard takes another one
}

// flight is one exchange for all callers that wait for it. token and err are set
// before done is closed.
type flight struct {
	done  chan struct{}
	token *Token
	err   error
}

// TokenFor returns a token from the cache, or waits for a new one. The token has
// more than 10 s left, or more than a tenth of a life of less than 100 s.
//
// Times are by the wall clock and by the monotonic one, whichever says later: a token that ended while
// the machine was suspended is not returned.
//
// A token is renewed in the background after 70 to 85 % of its life, at a random
// point so that clients do not renew together. Until then the old one is returned.
//
// There is one exchange at a time for each distinct Request, however many callers
// wait for it. It goes on when the ctx of a caller ends, for a minute at most. When
// it fails, its error is returned for the next second, or for as long as
// Retry-After says, but a minute at most. Errors are those of FetchFor, or that of
// ctx.
//
// When Credential.Certificate returns another certificate, the tokens that were obtained
// with the old one are dropped: they may be bound to it (RFC 8705 §6.3).
func (s *Source) TokenFor(ctx context.Context, r Request) (*Token, error) {
	with, err := s.identify(ctx)
	if err != nil {
		return nil, err
	}
	key := s.key(r)
	now := s.now()
	s.mu.Lock()
	if s.certificate != with.certificate {
		s.entries, s.certificate = nil, with.certificate
	}
	e := s.entry(key, now)
	usable := e.token != nil && e.token.usable(now)
	due := !usable || deadline.Passed(e.renewAt, now)
	if due && e.flight == nil {
		if !deadline.Passed(e.retryAt, now) {
			due = false
		} else {
			s.renew(ctx, key, e, r, with)
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

// Discard removes from the cache a token that an API refused. It reports whether
// the next call of TokenFor can return another one.
//
// It cannot when the token is not from the cache, or when a token for the same
// Request was discarded within the last second: then the token may not be what is
// wrong. That second doubles, up to a minute, each time that a token is discarded
// before it was in use for twice as long.
func (s *Source) Discard(token *Token) bool {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[token.key]
	switch {
	case token.certificate != s.certificate && token.key != "": // it was dropped
		return true
	case e == nil:
		return false
	case e.token != token: // it was discarded or renewed before
		return true
	}
	used := now.Sub(e.discarded)
	if used < e.pause {
		return false
	}
	if used > 2*e.pause {
		e.pause = minDiscardPause
	} else {
		e.pause = min(2*e.pause, maxDiscardPause)
	}
	e.token, e.discarded = nil, now
	return true
}

// key returns the key of a request's entry in the cache.
func (s *Source) key(r Request) string {
	r = s.merge(r)
	key := make(url.Values, len(r.Params)+3)
	for name, values := range r.Params {
		key["param."+name] = values
	}
	key["scope"], key["sub"], key["aud"] = []string{r.Scope.String()}, []string{r.Subject}, []string{r.Audience}
	return key.Encode()
}

// entry returns the entry of a key. It evicts another one where it must make one
// and the cache is full. The caller holds mu.
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

// evict removes the least recently used entry that has no exchange in progress. It
// visits all, which takes little time beside the exchange that follows.
func (s *Source) evict() {
	var oldest string
	for key, e := range s.entries {
		if e.flight == nil && (oldest == "" || e.used.Before(s.entries[oldest].used)) {
			oldest = key
		}
	}
	delete(s.entries, oldest)
}

// renew starts an exchange for e. The caller holds mu.
func (s *Source) renew(ctx context.Context, key string, e *entry, r Request, with *identity) {
	f := &flight{done: make(chan struct{})}
	e.flight = f
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewalLimit)
	go func() {
		defer cancel()
		defer close(f.done)
		f.token, f.err = s.fetch(ctx, r, with)
		s.finish(key, e, f)
		if f.err != nil {
			s.log().Warn("no new access token", "error", f.err)
		}
	}()
}

// finish stores the result of an exchange.
func (s *Source) finish(key string, e *entry, f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.flight = nil
	if f.err != nil {
		e.fail(f.err, s.now())
		return
	}
	f.token.key = key
	e.set(f.token)
}

// set stores a new token and chooses the time of its renewal.
func (e *entry) set(t *Token) {
	life := t.Expiry.Sub(t.obtained)
	e.token, e.err = t, nil
	e.renewAt = t.obtained.Add(time.Duration((0.70 + 0.15*rand.Float64()) * float64(life)))
}

// fail stores the error of an exchange and chooses the time of the next one: after
// a second, or what Retry-After says, or a tenth of the time that the old token has
// left, but a minute at most.
func (e *entry) fail(err error, now time.Time) {
	pause := max(minFailurePause, oauth.AsError(err).RetryAfter)
	if e.token != nil {
		pause = max(pause, deadline.Left(e.token.Expiry, now)/10)
	}
	pause = min(pause, maxFailurePause)
	e.err, e.retryAt = err, now.Add(pause+rand.N(pause/10))
}
