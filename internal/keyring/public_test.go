package keyring_test

import (
	"testing"
	"time"

	"moneyer/internal/keyring"
	"moneyer/internal/registry"
)

// TestPublic: Public returns a key exactly while it is published, which begins a minute before the
// announcement to allow for clock skew.
func TestPublic(t *testing.T) {
	w := newSigningFixture(t)
	kid := w.jwks()[0]
	public, err := w.Public(issuer, kid, start.Add(-time.Minute))
	w.must(err)
	if public.Thumbprint() != kid {
		t.Errorf("got key %s for %s", public.Thumbprint(), kid)
	}
	_, err = w.Public(issuer, kid, start.Add(-time.Minute-time.Second))
	wantIs(t, err, registry.ErrNotFound)
	_, err = w.Public(issuer, "unknown", start)
	wantIs(t, err, registry.ErrNotFound)
	_, err = w.Public("other", kid, start)
	wantIs(t, err, registry.ErrNotFound)
	next := w.announce(keyring.NewKey{})
	_, err = w.Public(issuer, next, w.clock.Now())
	w.must(err)
	w.must(w.Revoke(t.Context(), issuer, "alice", kid))
	_, err = w.Public(issuer, kid, w.clock.Now())
	wantIs(t, err, registry.ErrNotFound)
}
