// Package jwksuri fetches the keys that clients publish at a URL of their own (RFC 7591 section 2,
// jwks_uri). The client chooses that URL, so each fetch is restricted against SSRF: only https, no
// redirect, no private or special-purpose address after name resolution, a small body, a short
// timeout, and a bounded number of concurrent fetches.
//
// It also holds the keys that it fetched to one environment, as the registry does with registered
// keys: see Claim.
//
// It is not for the keys of an issuer: package bearer fetches those.
package jwksuri

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"code.dny.dev/ssrf"
	"golang.org/x/sync/singleflight"

	"moneyer/internal/fetch"
	"moneyer/internal/jose"
	"moneyer/internal/overload"
	"moneyer/internal/registry"
)

const (
	maxBody      = 256 << 10
	fetchTimeout = 1500 * time.Millisecond // less than the timeout of a token request
	// The minimum time between two fetches of the same keys.
	minRefetch = time.Minute
	// The bounds of max-age in Cache-Control.
	minFresh, maxFresh = 5 * time.Minute, time.Hour
	maxURLs            = 10_000
	maxFetches         = 16
)

// Source fetches and caches clients' keys. It implements authority.KeySource.
type Source struct {
	client  *http.Client
	now     func() time.Time
	fetches *overload.ConcurrencyLimit
	flight  singleflight.Group

	registered Registrations

	mu     sync.Mutex // guards what follows
	sets   map[string]*keySet
	claims map[string]claim // by the key's thumbprint
}

// keySet holds the keys of one URL. It is immutable once stored.
type keySet struct {
	keys map[string]*jose.PublicKey
	// certificates are the keys by the SHA-256 of their certificate.
	certificates map[[sha256.Size]byte]*registry.Key
	// fetched is when the last fetch began, whether it succeeded or not; fresh is the end of the
	// time for which the keys may be used.
	fetched, fresh time.Time
}

// New returns a source. It refuses addresses that are not public unless they are in one of the
// networks. trust, if not nil, replaces the system's TLS configuration.
func New(networks []netip.Prefix, trust *tls.Config, registered Registrations, now func() time.Time) *Source {
	dialer := &net.Dialer{Timeout: fetchTimeout, Control: guard(networks)}
	return &Source{
		now: now, fetches: overload.NewConcurrencyLimit(maxFetches), sets: map[string]*keySet{}, registered: registered, claims: map[string]claim{},
		client: &http.Client{Transport: &http.Transport{
			Proxy: nil, DialContext: dialer.DialContext, TLSClientConfig: trust, DisableKeepAlives: true,
			TLSHandshakeTimeout: fetchTimeout, MaxResponseHeaderBytes: 16 << 10,
		}},
	}
}

// guard checks the resolved address when dialing. It refuses the special-purpose networks of the
// IANA registries (RFC 6890). Behind the NAT64 prefix, which is one of them, the address that is
// embedded counts as well (RFC 6052 section 3.1).
func guard(networks []netip.Prefix) func(network, address string, c syscall.RawConn) error {
	guardian := ssrf.New(ssrf.WithAnyPort(), ssrf.WithAllowedV4Prefixes(networks...), ssrf.WithAllowedV6Prefixes(networks...))
	return func(network, address string, c syscall.RawConn) error {
		if err := guardian.Safe(network, address, c); err != nil {
			return fmt.Errorf("address %s is not a public one: %w", address, err)
		}
		to, err := netip.ParseAddrPort(address)
		if err != nil || !ssrf.IPv6NAT64Prefix.Contains(to.Addr()) {
			return err
		}
		full := to.Addr().As16()
		if embedded := netip.AddrFrom4([4]byte(full[12:])); guardian.SafeAddr(embedded) != nil {
			return fmt.Errorf("address %s stands for %s, which is not a public one", address, embedded)
		}
		return nil
	}
}

// Key returns a key that a client publishes. For an unknown kid the keys are fetched again, at most
// once a minute for all callers. If that fails the old keys are used until their max-age ends.
func (s *Source) Key(ctx context.Context, uri, kid string) (*jose.PublicKey, error) {
	set, err := s.find(ctx, uri, func(set *keySet) bool { return set.keys[kid] != nil })
	if err != nil {
		return nil, fmt.Errorf("kid %.64q at %s: %w", kid, uri, err)
	}
	return set.keys[kid], nil
}

// Certificate returns the key that a client publishes with the certificate of that SHA-256 as the first
// of its x5c (RFC 7517 section 4.7), with its kid, or its thumbprint if it has none. Keys are fetched as
// by Key.
func (s *Source) Certificate(ctx context.Context, uri string, digest [sha256.Size]byte) (*registry.Key, error) {
	set, err := s.find(ctx, uri, func(set *keySet) bool { return set.certificates[digest] != nil })
	if err != nil {
		return nil, fmt.Errorf("certificate at %s: %w", uri, err)
	}
	return set.certificates[digest], nil
}

// find returns the keys of a URL that have what is looked for, which may take a fetch.
func (s *Source) find(ctx context.Context, uri string, has func(*keySet) bool) (*keySet, error) {
	now := s.now()
	set := s.kept(uri)
	if set != nil && now.Before(set.fresh) && has(set) {
		return set, nil
	}
	if set != nil && now.Sub(set.fetched) < minRefetch {
		return nil, registry.ErrNotFound
	}
	select {
	case r := <-s.flight.DoChan(uri, func() (any, error) { return s.refresh(uri) }):
		if r.Err != nil {
			return nil, r.Err
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if set = s.kept(uri); set != nil && has(set) && s.now().Before(set.fresh) {
		return set, nil
	}
	return nil, registry.ErrNotFound
}

func (s *Source) kept(uri string) *keySet {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sets[uri]
}

// refresh fetches the keys and stores them. On an error it stores the old ones with the time of the
// attempt. If too many fetches are in progress there is no attempt, and the next one may follow at
// once: slow servers of other clients must not delay this one by a minute.
func (s *Source) refresh(uri string) (any, error) {
	if !s.fetches.Acquire() {
		return nil, errors.New("too many key sets are being fetched")
	}
	defer s.fetches.Release()
	now := s.now()
	next, age, err := s.fetch(uri)
	s.mu.Lock()
	defer s.mu.Unlock()
	next.fetched, next.fresh = now, now.Add(age)
	if old := s.sets[uri]; err != nil && old != nil {
		next.keys, next.certificates, next.fresh = old.keys, old.certificates, old.fresh
	}
	if _, known := s.sets[uri]; !known && len(s.sets) >= maxURLs {
		for other := range s.sets { // any entry: it is fetched again when needed
			delete(s.sets, other)
			break
		}
	}
	s.sets[uri] = next
	return nil, err
}

func (s *Source) fetch(uri string) (*keySet, time.Duration, error) {
	set := &keySet{keys: map[string]*jose.PublicKey{}, certificates: map[[sha256.Size]byte]*registry.Key{}}
	if err := registry.CheckJWKSURI(uri); err != nil {
		return set, 0, err
	}
	// The result is shared by all waiting callers, so the fetch does not end with the context of
	// one of them.
	header := http.Header{"Accept": {"application/jwk-set+json, application/json"}}
	answer, err := fetch.Get(context.Background(), s.client, uri, header, fetch.Limits{Bytes: maxBody, Time: fetchTimeout})
	if err != nil {
		return set, 0, fmt.Errorf("fetch keys: %w", err)
	}
	named, err := jose.ParseJWKS(answer.Body)
	if err != nil {
		return set, 0, fmt.Errorf("fetch keys: %w", err)
	}
	for _, n := range named {
		if n.Kid != "" {
			set.keys[n.Kid] = n.Key
		}
		if cert, err := registry.ParseX5C(n.JWK); err == nil {
			set.certificates[sha256.Sum256(cert.Raw)] = &registry.Key{Kid: cmp.Or(n.Kid, n.Key.Thumbprint()), Public: n.Key}
		}
	}
	return set, freshness(answer.Header.Get("Cache-Control")), nil
}

// freshness returns the max-age of Cache-Control, clamped to the bounds.
func freshness(cacheControl string) time.Duration {
	for directive := range strings.SplitSeq(cacheControl, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		if seconds, err := strconv.Atoi(value); err == nil && strings.EqualFold(name, "max-age") {
			return min(max(time.Duration(min(seconds, 1<<20))*time.Second, minFresh), maxFresh)
		}
	}
	return minFresh
}
