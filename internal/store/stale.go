package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"moneyer/internal/registry"
)

// Stale returns a registry that reads only the cache, as of [DB.KnownUntil], for callers
// that prefer a stale answer to none. An object that is not cached is an error other than
// registry.ErrNotFound.
func (d *DB) Stale() Stale { return Stale{d} }

// Stale is a registry that reads only the cache.
type Stale struct{ d *DB }

var errNotCached = errors.New("the database is unavailable, and it is not cached")

// Client implements authority.Registry.
func (l Stale) Client(_ context.Context, issuer, id string) (*registry.Client, error) {
	if c, _, ok := l.d.cache.clients.get(named{issuer, id}); ok {
		return c, nil
	}
	return nil, fmt.Errorf("client %q: %w", id, errNotCached)
}

// ClientByDigest implements authority.Registry.
func (l Stale) ClientByDigest(ctx context.Context, issuer string, digest registry.Digest) (*registry.Client, error) {
	id, _, ok := l.d.cache.digests.get(digested{issuer, digest})
	if !ok {
		return nil, fmt.Errorf("API key or identity of issuer %q: %w", issuer, errNotCached)
	}
	c, err := l.Client(ctx, issuer, id)
	if err != nil {
		return nil, err
	}
	if err := holds(c, digest); err != nil {
		return nil, err
	}
	return c, nil
}

// Account implements authority.Registry.
func (l Stale) Account(_ context.Context, issuer, id string) (*registry.Account, error) {
	if a, _, ok := l.d.cache.accounts.get(named{issuer, id}); ok {
		return a, nil
	}
	return nil, fmt.Errorf("account %q: %w", id, errNotCached)
}

// Items implements authority.Registry.
func (l Stale) Items(_ context.Context, issuer string, ids []string) ([]registry.Item, error) {
	found := make([]registry.Item, len(ids))
	for i, id := range ids {
		var ok bool
		if found[i], _, ok = l.d.cache.items.get(named{issuer, id}); !ok {
			return nil, fmt.Errorf("item %q: %w", id, errNotCached)
		}
	}
	return found, nil
}

// Touch implements authority.Registry.
func (l Stale) Touch(issuer, client, id string, at time.Time) { l.d.Touch(issuer, client, id, at) }

// holds returns registry.ErrNotFound unless the client has an API key or an identity.
func holds(c *registry.Client, digest registry.Digest) error {
	is := func(s registry.Secret) bool { return s.Kind == registry.APIKey && s.Digest.Equal(digest) }
	names := func(i registry.Identity) bool { return i.Digest.Equal(digest) }
	if !slices.ContainsFunc(c.Secrets, is) && !slices.ContainsFunc(c.Identities, names) {
		return fmt.Errorf("API key or identity of issuer %q: %w", c.Issuer, registry.ErrNotFound)
	}
	return nil
}
