package bearer

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"moneyer/internal/strictjson"
)

const (
	retryKeysAfter  = time.Second      // after a first failure; doubles
	unknownKidEvery = time.Minute      // between two fetches for kids that are unknown; also the longest pause after failures
	defaultFresh    = 10 * time.Minute // of keys without Cache-Control
	minFresh        = time.Minute
	maxFresh        = time.Hour
	defaultMaxStale = 24 * time.Hour
	maxDocument     = 256 << 10 // bytes of metadata or of a JWK set
)

const acceptJSON = "application/json, application/jwk-set+json"

// RemoteKeys is a KeySource that fetches an issuer's JWK set (RFC 7517 §5) and
// keeps it. Set the fields before the first use and leave them alone afterwards.
// A RemoteKeys must not be copied.
//
// The set counts as fresh for the max-age of its Cache-Control, no less than a
// minute and no more than an hour; without one, for 10 minutes. After that, or
// for a kid that it lacks, it is fetched again: one fetch at a time, for unknown
// kids one a minute. When the issuer does not answer, the set goes on serving
// until MaxStale, and the issuer is asked again after 1 s, 2 s, and so on up to a
// minute.
type RemoteKeys struct {
	// Issuer is the issuer URL, whose metadata (RFC 8414 §3) name the JWK set. It
	// goes unused when URL is set.
	Issuer string
	// URL of the JWK set. It is https, or http on a loopback host, as Issuer.
	URL string
	// HTTPClient fetches; nil means one on http.DefaultTransport. Redirects are not
	// followed and a fetch ends after 10 s, whatever the client says.
	HTTPClient *http.Client
	// MaxStale is how long after their fetch keys still serve when no newer can be
	// had: from then on no token passes. 0 means 24 hours.
	MaxStale time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	mu      sync.Mutex    // guards what follows
	keys    StaticKeys    // nil before the first fetch
	fetched time.Time     // when keys came
	fresh   time.Time     // until when keys are fresh
	asked   time.Time     // when a fetch last began
	retryAt time.Time     // no fetch before this, after a failure
	fails   int           // fetches that failed since the last that did not
	err     error         // of the last fetch; nil after a success
	flight  chan struct{} // closed when the fetch under way ends; nil without one
}

// Key implements KeySource. An error that does not wrap ErrUnknownKey means that
// there are no keys to judge by, or ctx's own end.
func (r *RemoteKeys) Key(ctx context.Context, kid string) (Key, error) {
	if flight := r.refresh(ctx, kid); flight != nil {
		select {
		case <-flight:
		case <-ctx.Done():
			return Key{}, ctx.Err()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.usable(clock(r.Now)) {
		return Key{}, fmt.Errorf("no keys of the issuer: %w", r.err)
	}
	return r.keys.Key(ctx, kid)
}

// refresh begins a fetch where one is due, and returns what to wait for when the
// answer depends on it: when kid is not at hand, or is but stale, unless the
// issuer is known to be down.
func (r *RemoteKeys) refresh(ctx context.Context, kid string) <-chan struct{} {
	now := clock(r.Now)
	r.mu.Lock()
	defer r.mu.Unlock()
	usable := r.usable(now)
	stale := !usable || !now.Before(r.fresh)
	_, err := r.keys.Key(ctx, kid)
	missing := !usable || err != nil
	due := stale || missing && !now.Before(r.asked.Add(unknownKidEvery))
	if due && !now.Before(r.retryAt) && r.flight == nil {
		r.begin(ctx, now)
	}
	if missing || stale && r.err == nil {
		return r.flight
	}
	return nil
}

// usable tells whether there are keys that may serve. Caller holds mu.
func (r *RemoteKeys) usable(now time.Time) bool {
	return r.keys != nil && now.Before(r.fetched.Add(r.maxStale()))
}

func (r *RemoteKeys) maxStale() time.Duration {
	if r.MaxStale > 0 {
		return r.MaxStale
	}
	return defaultMaxStale
}

// begin starts a fetch that no caller's end can stop. Caller holds mu.
func (r *RemoteKeys) begin(ctx context.Context, now time.Time) {
	r.asked = now
	done := make(chan struct{})
	r.flight = done
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchLimit)
	go func() {
		defer cancel()
		defer close(done)
		keys, fresh, err := r.fetch(ctx)
		now := clock(r.Now)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.flight, r.err = nil, err
		if err != nil {
			r.retryAt = now.Add(min(retryKeysAfter<<min(r.fails, 10), unknownKidEvery))
			r.fails++
			return
		}
		r.keys, r.fetched, r.fresh = keys, now, now.Add(fresh)
		r.fails, r.retryAt = 0, time.Time{}
	}()
}

// fetch gets the JWK set, and how long it is fresh.
func (r *RemoteKeys) fetch(ctx context.Context) (StaticKeys, time.Duration, error) {
	location := r.URL
	if location == "" {
		var err error
		if location, err = r.discover(ctx); err != nil {
			return nil, 0, err
		}
	}
	answer, err := get(ctx, r.HTTPClient, location, acceptJSON, "", maxDocument)
	if err != nil {
		return nil, 0, err
	}
	keys, err := ParseKeys(answer.Body)
	if err != nil {
		return nil, 0, err
	}
	if len(keys) == 0 {
		return nil, 0, fmt.Errorf("bearer: the JWK set at %s has no key to verify with", location)
	}
	return keys, freshness(answer.Header), nil
}

// discover finds the JWK set's URL in the issuer's metadata (RFC 8414 §3). The
// metadata must name the same issuer (§3.3).
func (r *RemoteKeys) discover(ctx context.Context) (string, error) {
	u, err := url.Parse(r.Issuer)
	if err != nil {
		return "", fmt.Errorf("bearer: issuer: %w", err)
	}
	u.Path = "/.well-known/oauth-authorization-server" + strings.TrimSuffix(u.Path, "/")
	answer, err := get(ctx, r.HTTPClient, u.String(), acceptJSON, "", maxDocument)
	if err != nil {
		return "", err
	}
	var issuer, location string
	err = strictjson.Object(answer.Body, strictjson.Limits{Members: 256}, func(name string, v strictjson.Value) (err error) {
		switch name {
		case "issuer":
			issuer, err = v.Text()
		case "jwks_uri":
			location, err = v.Text()
		}
		return err
	})
	switch {
	case err != nil:
		return "", fmt.Errorf("bearer: metadata of %s: %w", r.Issuer, err)
	case issuer != r.Issuer:
		return "", fmt.Errorf("bearer: the metadata of %s name the issuer %.200q", r.Issuer, issuer)
	case location == "":
		return "", fmt.Errorf("bearer: the metadata of %s name no jwks_uri", r.Issuer)
	}
	return location, nil
}

// freshness reads max-age (RFC 9111 §5.2.2.1) within bounds. no-cache and no-store
// ask for the shortest.
func freshness(header http.Header) time.Duration {
	fresh := defaultFresh
	for directive := range strings.SplitSeq(strings.Join(header.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch strings.ToLower(name) {
		case "no-cache", "no-store":
			return minFresh
		case "max-age":
			if seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); err == nil {
				fresh = time.Duration(seconds) * time.Second
			}
		}
	}
	return min(max(fresh, minFresh), maxFresh)
}
