package store

import (
	"context"

	"moneyer/internal/registry"
)

// FindClient implements authority.Registry.
func (d *DB) FindClient(ctx context.Context, issuer, id string) (c *registry.Client, asked bool, err error) {
	if c, _, ok := d.cache.clients.get(named{issuer, id}); ok && d.cacheIsFresh() {
		return c, false, nil
	}
	c, err = d.Client(ctx, issuer, id)
	return c, true, err
}

// FindClientByDigest implements authority.Registry.
func (d *DB) FindClientByDigest(ctx context.Context, issuer string, digest registry.Digest) (c *registry.Client, asked bool, err error) {
	id, _, ok := d.cache.digests.get(digested{issuer, digest})
	if ok && d.cacheIsFresh() {
		if c, asked, err = d.FindClient(ctx, issuer, id); err == nil && holds(c, digest) == nil {
			return c, asked, nil
		}
	}
	c, err = d.ClientByDigest(ctx, issuer, digest)
	return c, true, err
}

// FindClient implements authority.Registry.
func (l Stale) FindClient(ctx context.Context, issuer, id string) (c *registry.Client, asked bool, err error) {
	c, err = l.Client(ctx, issuer, id)
	return c, false, err
}

// FindClientByDigest implements authority.Registry.
func (l Stale) FindClientByDigest(ctx context.Context, issuer string, digest registry.Digest) (c *registry.Client, asked bool, err error) {
	c, err = l.ClientByDigest(ctx, issuer, digest)
	return c, false, err
}
