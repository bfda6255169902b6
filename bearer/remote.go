package bearer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"moneyer/internal/discovery"
	"moneyer/internal/jose"
	"moneyer/internal/remotekeys"
)

const (
	retryKeysAfter = time.Second
	maxDocument    = 256 << 10 // bytes of a JWK set
)

// RemoteKeys is a KeySource that fetches an issuer's JWK set (RFC 7517 §5) and
// caches it. Set the fields before the first use and do not change them afterwards.
// A RemoteKeys must not be copied.
//
// The set is fresh for the max-age of its Cache-Control, but at least a minute and
// at most an hour; without a max-age, for 10 minutes. It is fetched again when it is
// stale, and for an unknown kid at most once a minute (for that of a RevocationList,
// which a caller cannot choose, at most once a second). A Verifier has it fetched within the same
// bounds when a signature does not verify, because the issuer may have replaced the key under its
// kid. There is one fetch at a time. Keys of the set that cannot be used are left out.
// When a fetch fails, the keys of the last one are used until MaxStale, and the next
// fetch is after 1 s, 2 s, and so on up to a minute. Until one succeeds nobody can tell
// whether the issuer has a key that is not among them.
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

	begun sync.Once // sets the fields of cache
	cache remotekeys.Cache
}

// Key implements KeySource. An error that does not wrap ErrUnknownKey means that keys
// could not be fetched, or that ctx ended.
func (r *RemoteKeys) Key(ctx context.Context, kid string) (Key, error) {
	return r.key(ctx, kid, "", remotekeys.UnknownKidEvery)
}

// begin sets up the cache.
func (r *RemoteKeys) begin() {
	r.begun.Do(func() {
		r.cache.Fetch, r.cache.MaxStale, r.cache.Limit = r.fetch, r.MaxStale, fetchLimit
		r.cache.Now = func() time.Time { return clock(r.Now) }
	})
}

// keyOf returns the key that signed a JWS by its header. Keys of one kid are told apart by alg where keys
// can do that (RFC 7517 §4.5). A RemoteKeys fetches again at most once in every.
func keyOf(ctx context.Context, keys KeySource, h *jose.Header, every time.Duration) (Key, error) {
	if remote, ok := keys.(*RemoteKeys); ok {
		return remote.key(ctx, h.Kid, h.Alg, every)
	}
	return keys.Key(ctx, h.Kid)
}

// newerKey is keyOf after a signature did not verify with the key was; the zero Key when there is no other
// one by now.
func newerKey(ctx context.Context, keys KeySource, h *jose.Header, every time.Duration, was Key) Key {
	remote, ok := keys.(*RemoteKeys)
	if !ok {
		return Key{}
	}
	remote.begin()
	return Key{public: remote.cache.Newer(ctx, h.Kid, h.Alg, every, was.public)}
}

// key is Key for a signature with that alg, or any for "", with the shortest time between two fetches for
// what is unknown.
func (r *RemoteKeys) key(ctx context.Context, kid, alg string, every time.Duration) (Key, error) {
	r.begin()
	key, err := r.cache.Key(ctx, kid, alg, every)
	switch {
	case err == nil:
		return Key{public: key}, nil
	case errors.Is(err, remotekeys.ErrUnknownKey):
		return Key{}, fmt.Errorf("%w: kid %.64q", ErrUnknownKey, kid)
	default:
		return Key{}, err
	}
}

// fetch returns the JWK set, and how long it is fresh. With past it comes from the
// issuer, past all caches.
func (r *RemoteKeys) fetch(ctx context.Context, past bool) (jose.KeySet, time.Duration, error) {
	location := r.URL
	if location == "" {
		var err error
		if location, err = r.discover(ctx); err != nil {
			return jose.KeySet{}, 0, err
		}
	}
	answer, err := get(ctx, r.HTTPClient, location, remotekeys.Header(past), maxDocument)
	if err != nil {
		return jose.KeySet{}, 0, err
	}
	set, err := jose.ParseKeySet(answer.Body, jose.KeySetRules{})
	if err != nil {
		return jose.KeySet{}, 0, fmt.Errorf("bearer: %w", err)
	}
	if len(set.Keys) == 0 {
		return jose.KeySet{}, 0, fmt.Errorf("bearer: the JWK set at %s has no key to verify with (%s)", location, cmp.Or(set.Report(), "it is empty"))
	}
	return set, remotekeys.Freshness(answer.Header), nil
}

// discover finds the JWK set's URL in the issuer's metadata (RFC 8414 §3). The
// metadata must name the same issuer (§3.3).
func (r *RemoteKeys) discover(ctx context.Context) (string, error) {
	m, err := discovery.Get(ctx, r.HTTPClient, r.Issuer)
	switch {
	case err != nil:
		return "", fmt.Errorf("bearer: %w", err)
	case m.JWKSURI == "":
		return "", fmt.Errorf("bearer: the metadata of %s name no jwks_uri", r.Issuer)
	}
	return m.JWKSURI, nil
}
