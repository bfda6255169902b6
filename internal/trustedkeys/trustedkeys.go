// Package trustedkeys reads the keys of trusted issuers from the places that configuration names: a
// JWK set at a URL, a file that is read again when it changes, or the configuration itself.
//
// Nothing of a token decides where keys come from: there is no discovery, and jku is not followed
// (RFC 8725 §3.10). The addresses are the operator's own choice, so private ones are allowed; package
// jwksuri is for addresses that clients choose.
package trustedkeys

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"

	"moneyer/internal/fetch"
	"moneyer/internal/jose"
	"moneyer/internal/registry"
	"moneyer/internal/remotekeys"
	"moneyer/internal/tlsfiles"
)

const (
	fetchLimit = 5 * time.Second
	// A file is read again so often, which is cheap, and for an unknown kid at most once a second.
	fileFresh      = 5 * time.Second
	unknownInFiles = time.Second
)

// Source has the keys of the trusted issuers of one reading of the configuration. It implements
// authority.TrustedKeys.
type Source struct {
	kept map[*registry.TrustedIssuer]*kept
	all  []*kept
}

// kept are the keys of one trusted issuer. Those in the configuration are not kept.
type kept struct {
	place place
	cache *remotekeys.Cache
}

// place is where keys are, and how they are read: with the same place they need not be read again.
type place struct{ issuer, name, uri, ca, file, algs, kind string }

// New returns the source of the keys of all trusted issuers. It keeps what was has read from the same
// places; was may be nil. Call Refresh about once a second.
func New(issuers []*registry.Issuer, was *Source, now func() time.Time) *Source {
	s := &Source{kept: map[*registry.TrustedIssuer]*kept{}}
	for _, issuer := range issuers {
		for _, t := range issuer.Trusted {
			if t.JWKSURI == "" && t.Bundle == "" {
				continue
			}
			k := was.at(placeOf(issuer, t))
			if k == nil {
				k = &kept{place: placeOf(issuer, t), cache: newCache(t, now)}
			}
			s.kept[t] = k
			if !t.Disabled {
				s.all = append(s.all, k)
			}
		}
	}
	return s
}

// Check returns why the authorities of a trusted issuer cannot be read, or nil. Keys that cannot be
// read are no reason not to start.
func Check(issuers []*registry.Issuer) error {
	for _, issuer := range issuers {
		for _, t := range issuer.Trusted {
			if _, err := tlsfiles.Client(t.CA, "", ""); err != nil {
				return fmt.Errorf("issuers.%s.trusted.%s.ca: %w", issuer.Name, t.Name, err)
			}
		}
	}
	return nil
}

func placeOf(issuer *registry.Issuer, t *registry.TrustedIssuer) place {
	return place{issuer.Name, t.Name, t.JWKSURI, t.CA, t.Bundle, strings.Join(t.Algs, " "), string(t.Kind)}
}

// at finds what was read from a place; nil when nothing was.
func (s *Source) at(p place) *kept {
	if s == nil {
		return nil
	}
	for _, k := range s.kept {
		if k.place == p {
			return k
		}
	}
	return nil
}

func newCache(t *registry.TrustedIssuer, now func() time.Time) *remotekeys.Cache {
	r := &reader{from: *t}
	for _, alg := range t.Algs {
		r.rules.Algs = append(r.rules.Algs, jose.Alg(alg))
	}
	r.rules.SPIFFE = t.Kind == registry.TrustedSPIFFE
	return &remotekeys.Cache{Fetch: r.read, Now: now, Limit: fetchLimit, Background: true, MaxWaiting: 32}
}

// Refresh starts to read the keys that will soon be stale. It does not wait.
func (s *Source) Refresh(ctx context.Context) {
	for _, k := range s.all {
		k.cache.Refresh(ctx)
	}
}

// Errors yields for each trusted issuer, by a name for people, why its keys could not be read the
// last time, and which of them are left out, or nil.
func (s *Source) Errors() iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, k := range s.all {
			of := "trusted issuer " + k.place.name + " of issuer " + k.place.issuer
			var left error
			if report := k.cache.Report(); report != "" {
				left = errors.New(report)
			}
			if !yield("read the keys of "+of, k.cache.Err()) || !yield("use all keys of "+of, left) {
				return
			}
		}
	}
}

// Key returns the key of a trusted issuer for a signature with that kid and alg; without a kid its only
// one. What it does not have is registry.ErrNotFound; every other error means that nobody can tell now.
func (s *Source) Key(ctx context.Context, t *registry.TrustedIssuer, kid, alg string) (*jose.PublicKey, error) {
	k := s.kept[t]
	if k == nil {
		if key := t.Keys.Find(kid, alg); key != nil {
			return key, nil
		}
		return nil, notFound(kid)
	}
	key, err := k.cache.Key(ctx, kid, alg, k.every())
	if errors.Is(err, remotekeys.ErrUnknownKey) {
		return nil, notFound(kid)
	}
	return key, err
}

// Newer is Key after a signature did not verify with the key was; nil when the trusted issuer has no
// other one by now.
func (s *Source) Newer(ctx context.Context, t *registry.TrustedIssuer, kid, alg string, was *jose.PublicKey) *jose.PublicKey {
	k := s.kept[t]
	if k == nil {
		return nil
	}
	return k.cache.Newer(ctx, kid, alg, k.every(), was)
}

// every is the time between two readings for what is not among the keys.
func (k *kept) every() time.Duration {
	if k.place.file != "" {
		return unknownInFiles
	}
	return remotekeys.UnknownKidEvery
}

func notFound(kid string) error { return fmt.Errorf("kid %.64q: %w", kid, registry.ErrNotFound) }

// reader reads the keys of one trusted issuer.
type reader struct {
	from  registry.TrustedIssuer
	rules jose.KeySetRules
}

func (r *reader) read(ctx context.Context, past bool) (jose.KeySet, time.Duration, error) {
	if r.from.Bundle != "" {
		return r.readFile()
	}
	return r.fetch(ctx, past)
}

func (r *reader) readFile() (jose.KeySet, time.Duration, error) {
	file, err := os.Open(r.from.Bundle)
	if err != nil {
		return jose.KeySet{}, 0, err
	}
	defer func() { _ = file.Close() }()                           // only read
	data, err := io.ReadAll(io.LimitReader(file, jose.MaxJWKS+1)) // one byte more is refused as too long
	if err != nil {
		return jose.KeySet{}, 0, err
	}
	set, err := r.parse(data)
	return set, fileFresh, err
}

// fetch reads the JWK set. The file of authorities is read each time, so that it may be replaced.
func (r *reader) fetch(ctx context.Context, past bool) (jose.KeySet, time.Duration, error) {
	transport, err := tlsfiles.Transport(r.from.CA, "", "")
	if err != nil {
		return jose.KeySet{}, 0, err
	}
	client := &http.Client{Transport: transport}
	if r.from.CA != "" {
		defer client.CloseIdleConnections()
	}
	answer, err := fetch.Get(ctx, client, r.from.JWKSURI, remotekeys.Header(past), fetch.Limits{Bytes: jose.MaxJWKS, Time: fetchLimit})
	if err != nil {
		return jose.KeySet{}, 0, err
	}
	if kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type")); kind == "text/html" {
		return jose.KeySet{}, 0, fmt.Errorf("%s answered with a web page", r.from.JWKSURI)
	}
	set, err := r.parse(answer.Body)
	fresh := remotekeys.Freshness(answer.Header)
	if set.Refresh > 0 { // SPIFFE Federation §5.2: poll as often as the bundle says
		fresh = remotekeys.Bounded(time.Duration(min(set.Refresh, int64(time.Hour/time.Second))) * time.Second)
	}
	return set, fresh, err
}

func (r *reader) parse(data []byte) (jose.KeySet, error) {
	set, err := jose.ParseKeySet(data, r.rules)
	switch {
	case err != nil:
		return set, err
	case len(set.Keys) == 0 && r.rules.SPIFFE:
		return set, errors.New(`the bundle has no key with a kid and the use "jwt-svid"`)
	case len(set.Keys) == 0:
		return set, errors.New("the JWK set has no key to verify with")
	}
	return set, nil
}
