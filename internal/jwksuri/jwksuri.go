// Package jwksuri reads the keys that clients publish at a URL of their own
// (RFC 7591 §2, jwks_uri). A client chooses that URL, so each fetch goes through
// a guard: https alone, no redirect, no address of a private or special network
// once the name is resolved, a small body, a short time, a bounded number at once.
//
// It is not for the keys of an issuer: package bearer reads those.
package jwksuri

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/singleflight"

	"moneyer/internal/authority"
	"moneyer/internal/jose"
	"moneyer/internal/overload"
)

const (
	maxBody      = 256 << 10
	fetchTimeout = 1500 * time.Millisecond // within the time of a token request
	// An unknown kid sends for the keys again, but not more often than this.
	minRefetch = time.Minute
	// Keys are good for what Cache-Control says, within these bounds.
	minFresh, maxFresh = 5 * time.Minute, time.Hour
	maxURLs            = 10_000
	atOnce             = 16
)

// Source fetches and keeps clients' keys. It implements authority.KeySource.
type Source struct {
	client  *http.Client
	now     func() time.Time
	fetches *overload.ConcurrencyLimit
	flight  singleflight.Group

	mu   sync.Mutex
	sets map[string]*keySet
}

// keySet is what was found at one URL. It is not changed once it is stored.
type keySet struct {
	keys map[string]*jose.PublicKey
	// fetched is when somebody last asked for it, with or without success.
	fetched, fresh time.Time
}

// New makes a source. Addresses that are not public are refused unless one of
// the networks holds them. trust, when not nil, replaces the system's TLS roots.
func New(networks []netip.Prefix, trust *tls.Config, now func() time.Time) *Source {
	dialer := &net.Dialer{Timeout: fetchTimeout, Control: func(_, address string, _ syscall.RawConn) error {
		return guard(address, networks)
	}}
	return &Source{
		now: now, fetches: overload.NewConcurrencyLimit(atOnce), sets: map[string]*keySet{},
		client: &http.Client{
			Timeout:       fetchTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("it redirects, which is not followed") },
			Transport: &http.Transport{
				Proxy: nil, DialContext: dialer.DialContext, TLSClientConfig: trust, DisableKeepAlives: true,
				TLSHandshakeTimeout: fetchTimeout, ResponseHeaderTimeout: fetchTimeout, MaxResponseHeaderBytes: 16 << 10,
			},
		},
	}
}

// guard judges the address that a name resolved to, at the moment of dialling.
func guard(address string, networks []netip.Prefix) error {
	peer, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("address %q: %w", address, err)
	}
	addr := peer.Addr().Unmap()
	for _, network := range networks {
		if network.Contains(addr) {
			return nil
		}
	}
	if !public(addr) {
		return fmt.Errorf("address %s is not a public one", addr)
	}
	return nil
}

// special networks that netip's own predicates do not know (RFC 6890).
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("100::/64"), netip.MustParsePrefix("2001::/23"),
	netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("fec0::/10"),
}

func public(addr netip.Addr) bool {
	if !addr.IsGlobalUnicast() || addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast() {
		return false
	}
	for _, network := range special {
		if network.Contains(addr) {
			return false
		}
	}
	return true
}

// Key finds a client's published key. An unknown kid sends for the keys again at
// most once a minute, whoever asks; keys that cannot be fetched again are good
// until their time is over, and then nobody is let in by them.
func (s *Source) Key(ctx context.Context, uri, kid string) (*jose.PublicKey, error) {
	now := s.now()
	set := s.kept(uri)
	fresh := set != nil && now.Before(set.fresh)
	if fresh && set.keys[kid] != nil {
		return set.keys[kid], nil
	}
	if set != nil && now.Sub(set.fetched) < minRefetch {
		return nil, fmt.Errorf("kid %.64q at %s: %w", kid, uri, authority.ErrNotFound)
	}
	select {
	case r := <-s.flight.DoChan(uri, func() (any, error) { return s.refresh(uri) }):
		if r.Err != nil {
			return nil, r.Err
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if set = s.kept(uri); set != nil && set.keys[kid] != nil && s.now().Before(set.fresh) {
		return set.keys[kid], nil
	}
	return nil, fmt.Errorf("kid %.64q at %s: %w", kid, uri, authority.ErrNotFound)
}

func (s *Source) kept(uri string) *keySet {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sets[uri]
}

// refresh fetches the keys and keeps them; on failure it keeps the old ones and
// the time of the attempt. What was not attempted for want of room may be so at
// once: other clients' slow servers must not cost this one a minute.
func (s *Source) refresh(uri string) (any, error) {
	if !s.fetches.Acquire() {
		return nil, errors.New("too many key sets are being fetched")
	}
	defer s.fetches.Release()
	now := s.now()
	keys, age, err := s.fetch(uri)
	s.mu.Lock()
	defer s.mu.Unlock()
	next := &keySet{keys: keys, fetched: now, fresh: now.Add(age)}
	if old := s.sets[uri]; err != nil && old != nil {
		next.keys, next.fresh = old.keys, old.fresh
	}
	if _, known := s.sets[uri]; !known && len(s.sets) >= maxURLs {
		for other := range s.sets { // any will do: it is fetched again when asked for
			delete(s.sets, other)
			break
		}
	}
	s.sets[uri] = next
	return nil, err
}

func (s *Source) fetch(uri string) (map[string]*jose.PublicKey, time.Duration, error) {
	if err := authority.CheckJWKSURI(uri); err != nil {
		return nil, 0, err
	}
	// It serves all who wait, so nobody's leaving ends it: the client's own timeout does.
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, uri, nil)
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, 0, fmt.Errorf("fetch keys: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // it was only read
	if resp.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("fetch keys: %s answers %d", uri, resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil || len(body) > maxBody {
		return nil, 0, fmt.Errorf("fetch keys: %s is cut short or over %d octets", uri, maxBody)
	}
	named, err := jose.ParseJWKS(body)
	if err != nil {
		return nil, 0, fmt.Errorf("fetch keys: %w", err)
	}
	keys := make(map[string]*jose.PublicKey, len(named))
	for _, n := range named {
		if n.Kid != "" {
			keys[n.Kid] = n.Key
		}
	}
	return keys, freshness(resp.Header.Get("Cache-Control")), nil
}

// freshness reads max-age within our bounds.
func freshness(cacheControl string) time.Duration {
	for directive := range strings.SplitSeq(cacheControl, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		if seconds, err := strconv.Atoi(value); err == nil && strings.EqualFold(name, "max-age") {
			return min(max(time.Duration(min(seconds, 1<<20))*time.Second, minFresh), maxFresh)
		}
	}
	return minFresh
}
