// Package jwksuri fetches the keys that clients publish at a URL of their own (RFC 7591 section 2,
// jwks_uri). The client chooses that URL, so each fetch is restricted against SSRF: only https, no
// redirect, no private or special-purpose address after name resolution, a small body, a short
// timeout, and a bounded number of concurrent fetches. Package remotekeys keeps the keys through an
// outage.
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
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"code.dny.dev/ssrf"

	"moneyer/internal/fetch"
	"moneyer/internal/jose"
	"moneyer/internal/registry"
	"moneyer/internal/remotekeys"
)

const (
	maxBody      = jose.MaxJWKS
	fetchTimeout = 1500 * time.Millisecond // less than the timeout of a token request
	// slotTimeout bounds the wait for other fetches and then a fetch, each of which has half of it.
	slotTimeout = 2 * fetchTimeout
	maxURLs     = 10_000
	maxFetches  = 16
	// maxWaiting is how many requests may wait for the keys of one client.
	maxWaiting = 32
	// maxWaitingAll is how many may wait for the keys of any: where many clients publish at one host,
	// its outage must leave room for the others' requests.
	maxWaitingAll = 128
)

// Source fetches and caches clients' keys. It implements authority.KeySource.
type Source struct {
	client  *http.Client
	now     func() time.Time
	log     *slog.Logger
	fetches chan struct{} // has a place for each fetch that goes on
	waiting chan struct{} // has a place for each request that waits for one

	registered Registrations

	mu     sync.Mutex // guards what follows
	sets   map[string]*published
	claims map[string]claim // by the key's thumbprint
}

// published is what is at one URL.
type published struct {
	remotekeys.Cache
	// certificates are the keys by the SHA-256 of their certificate; nil before the first fetch.
	certificates atomic.Pointer[map[[sha256.Size]byte]*registry.Key]
	reported     string // the last report of keys that are left out; only a fetch uses it
}

// New returns a source. It refuses addresses that are not public unless they are in one of the
// networks. trust, if not nil, replaces the system's TLS configuration.
func New(networks []netip.Prefix, trust *tls.Config, registered Registrations, now func() time.Time, log *slog.Logger) *Source {
	dialer := &net.Dialer{Timeout: fetchTimeout, Control: guard(networks)}
	return &Source{
		now: now, log: log, fetches: make(chan struct{}, maxFetches), waiting: make(chan struct{}, maxWaitingAll), sets: map[string]*published{}, registered: registered, claims: map[string]claim{},
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

// Key returns the key that a client publishes for a signature with that kid and alg. For an unknown kid
// the keys are fetched again, at most once a minute for all callers. While that fails the keys of the
// last day are used. What is not published is registry.ErrNotFound; every other error means that
// nobody can tell now.
func (s *Source) Key(ctx context.Context, uri, kid, alg string) (*jose.PublicKey, error) {
	key, err := s.at(uri).Key(ctx, kid, alg, remotekeys.UnknownKidEvery)
	if err != nil {
		return nil, fmt.Errorf("kid %.64q at %s: %w", kid, uri, notFound(err))
	}
	return key, nil
}

// Newer is Key after a signature did not verify with the key was; nil when the client has no other one
// by now.
func (s *Source) Newer(ctx context.Context, uri, kid, alg string, was *jose.PublicKey) *jose.PublicKey {
	return s.at(uri).Newer(ctx, kid, alg, remotekeys.UnknownKidEvery, was)
}

// Certificate returns the key that a client publishes with the certificate of that SHA-256 as the first
// of its x5c (RFC 7517 section 4.7), with its kid, or its thumbprint if it has none. Keys are fetched,
// and errors are, as by Key.
func (s *Source) Certificate(ctx context.Context, uri string, digest [sha256.Size]byte) (*registry.Key, error) {
	var key *registry.Key
	p := s.at(uri)
	err := p.Find(ctx, remotekeys.UnknownKidEvery, func(*jose.KeySet) bool {
		key = (*p.certificates.Load())[digest]
		return key != nil
	})
	if err != nil {
		return nil, fmt.Errorf("certificate at %s: %w", uri, notFound(err))
	}
	return key, nil
}

// notFound gives what is not published the word of the registry.
func notFound(err error) error {
	if errors.Is(err, remotekeys.ErrUnknownKey) {
		return registry.ErrNotFound
	}
	return err
}

// at returns what is kept of a URL.
func (s *Source) at(uri string) *published {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.sets[uri]
	if p != nil {
		return p
	}
	if len(s.sets) >= maxURLs {
		for other := range s.sets { // any entry: it is fetched again when needed
			delete(s.sets, other)
			break
		}
	}
	p = &published{}
	p.Now, p.Limit, p.MaxWaiting, p.Places = s.now, slotTimeout, maxWaiting, s.waiting
	p.Fetch = func(ctx context.Context, past bool) (jose.KeySet, time.Duration, error) {
		set, fresh, err := s.fetch(ctx, p, uri, past)
		if err != nil {
			s.log.WarnContext(ctx, "the keys at a client's jwks_uri could not be fetched", "jwks_uri", uri, "cause", err.Error())
		}
		return set, fresh, err
	}
	s.sets[uri] = p
	return p
}

// fetch reads the keys at a URL. It waits for a place among the fetches: slow servers of other clients
// must not keep this one out.
func (s *Source) fetch(ctx context.Context, p *published, uri string, past bool) (set jose.KeySet, fresh time.Duration, err error) {
	if err := registry.CheckJWKSURI(uri); err != nil {
		return set, 0, err
	}
	place := time.NewTimer(fetchTimeout)
	defer place.Stop()
	select {
	case s.fetches <- struct{}{}:
		defer func() { <-s.fetches }()
	case <-place.C: // the rest of the time would not do for a fetch
		return set, 0, remotekeys.ErrBusy
	}
	answer, err := fetch.Get(ctx, s.client, uri, remotekeys.Header(past), fetch.Limits{Bytes: maxBody, Time: fetchTimeout})
	if err != nil {
		return set, 0, err
	}
	if set, err = jose.ParseKeySet(answer.Body, jose.KeySetRules{}); err != nil {
		return set, 0, err
	}
	certificates := map[[sha256.Size]byte]*registry.Key{}
	for i := range set.Keys {
		n := &set.Keys[i]
		if cert, err := registry.ParseX5C(n.JWK); err == nil {
			certificates[sha256.Sum256(cert.Raw)] = &registry.Key{Kid: cmp.Or(n.Kid, n.Key.Thumbprint()), Public: n.Key}
		}
		n.JWK = nil // which would keep the whole answer
	}
	p.certificates.Store(&certificates)
	if report := set.Report(); report != p.reported {
		p.reported = report
		s.log.WarnContext(ctx, "keys at a client's jwks_uri are left out", "jwks_uri", uri, "keys", report)
	}
	return set, remotekeys.Freshness(answer.Header), nil
}
