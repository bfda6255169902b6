package keyring_test

import (
	"testing"
	"time"

	"moneyer/internal/keyring"
	"moneyer/internal/registry"
)

// TestPublic: a key can be had for exactly as long as it is published, which begins a
// minute before it was announced, for clocks that differ.
func TestPublic(t *testing.T) {
	w := newSigningWorld(t)
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
