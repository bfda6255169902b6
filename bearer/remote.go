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
// caches it. Set the fields before the first use and do not change them afterwards.
// A RemoteKeys must not be copied.
//
// The set is fresh for the max-age of its Cache-Control, but at least a minute and
// at most an hour; without a max-age, for 10 minutes. It is fetched again when it is
// stale, and for an unknown kid at most once a minute (for that of a RevocationList,
// which a caller cannot choose, at most once a second). There is one fetch at a time.
// When a fetch fails, the keys of the last one are used until MaxStale, and the next
// fetch is after 1 s, 2 s, and so on up to a minute.
type RemoteKeys struct {
	// Issuer is the issuer URL; its metadata (RFC 8414 §3) has the URL of the JWK
	// set. It is not used when URL is set.
	Issuer string
	// URL of the JWK set. Issuer and URL are https URLs, or http URLs of a loopback
	// host.
	URL string
	// HTTPClient sends the requests; nil means one with http.DefaultTransport.
	// Redirects are never followed, and a fetch ends after 10 s, whatever the
	// client's own settings.
	HTTPClient *http.Client
	// MaxStale is how long after their fetch keys are used while no newer ones can
	// be fetched. After that no token is accepted. 0 means 24 hours.
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
	flight  chan struct{} // closed when the fetch in progress ends; nil without one
}

// Key implements KeySource. An error that does not wrap ErrUnknownKey means that no
// keys could be fetched, or that ctx ended.
func (r *RemoteKeys) Key(ctx context.Context, kid string) (Key, error) {
	return r.key(ctx, kid, unknownKidEvery)
}

// key is Key with the shortest time between two fetches for kids that are unknown.
func (r *RemoteKeys) key(ctx context.Context, kid string, every time.Duration) (Key, error) {
	if flight := r.refresh(ctx, kid, every); flight != nil {
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

// refresh starts a fetch if one is due. It returns the channel to wait on when the
// key depends on the fetch: when kid is unknown, or when the keys are stale and the
// last fetch did not fail.
func (r *RemoteKeys) refresh(ctx context.Context, kid string, every time.Duration) <-chan struct{} {
	now := clock(r.Now)
	r.mu.Lock()
	defer r.mu.Unlock()
	usable := r.usable(now)
	stale := !usable || !now.Before(r.fresh)
	_, err := r.keys.Key(ctx, kid)
	missing := !usable || err != nil
	due := stale || missing && !now.Before(r.asked.Add(every))
	if due && !now.Before(r.retryAt) && r.flight == nil {
		r.begin(ctx, now, usable && missing)
	}
	if missing || stale && r.err == nil {
		return r.flight
	}
	return nil
}

// usable reports whether there are keys that are not older than MaxStale. The caller
// holds mu.
func (r *RemoteKeys) usable(now time.Time) bool {
	return r.keys != nil && now.Before(r.fetched.Add(r.maxStale()))
}

func (r *RemoteKeys) maxStale() time.Duration {
	if r.MaxStale > 0 {
		return r.MaxStale
	}
	return defaultMaxStale
}

// begin starts a fetch that goes on when the ctx of its caller ends. If the set at
// hand lacks a key, caches are told not to answer with the same one. The caller holds
// mu.
func (r *RemoteKeys) begin(ctx context.Context, now time.Time, lacking bool) {
	r.asked = now
	done := make(chan struct{})
	r.flight = done
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchLimit)
	go func() {
		defer cancel()
		defer close(done)
		keys, fresh, err := r.fetch(ctx, lacking)
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

// fetch returns the JWK set, and how long it is fresh. With past it comes from the
// issuer, past all caches.
func (r *RemoteKeys) fetch(ctx context.Context, past bool) (StaticKeys, time.Duration, error) {
	location := r.URL
	if location == "" {
		var err error
		if location, err = r.discover(ctx); err != nil {
			return nil, 0, err
		}
	}
	header := http.Header{"Accept": {acceptJSON}}
	if past {
		header.Set("Cache-Control", "no-cache") // RFC 9111 §5.2.1.4
	}
	answer, err := get(ctx, r.HTTPClient, location, header, maxDocument)
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
	answer, err := get(ctx, r.HTTPClient, u.String(), http.Header{"Accept": {acceptJSON}}, maxDocument)
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
