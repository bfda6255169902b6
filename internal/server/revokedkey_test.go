package server_test

import (
	"slices"
	"testing"
	"time"

	"moneyer/bearer"
	"moneyer/internal/keyring"
	"moneyer/oauth"
)

// TestRevokedSigningKeyRevokesItsTokens: the one step that removes a signing key also
// revokes its tokens: at the server with the next request, and at APIs with the next
// poll of the list, also at those that still have the old key and cannot fetch the new
// ones, and at those that fetched the keys a moment before.
func TestRevokedSigningKeyRevokesItsTokens(t *testing.T) {
	for name, announced := range map[string]bool{"a new key takes over": false, "an announced key takes over": true} {
		t.Run(name, func(t *testing.T) {
			w := platforms[0].open(t)
			issuer := w.setup.issuers[0].Name
			if announced {
				_, err := w.keyring.Announce(t.Context(), issuer, "test", keyring.NewKey{})
				must(t, err)
			}
			stolen := w.mint(t, w.one)
			_, kid := payloadOf(t, stolen)
			_, body := w.do(t, "GET "+w.host()+"/.well-known/jwks.json")
			old, err := bearer.ParseKeys([]byte(body))
			must(t, err)
			w.verifier.Keys, w.verifier.CacheSize = old, 10
			if _, err := w.verifier.Verify(t.Context(), stolen); err != nil {
				t.Fatal(err)
			}
			entries := len(w.entries(t))
			must(t, w.keyring.Revoke(t.Context(), issuer, "test", kid))
			if got := len(w.entries(t)) - entries; got != 1 {
				t.Errorf("the revocation is %d ledger entries, want one", got)
			}
			if w.good(t, stolen) {
				t.Error("the server takes a token of a revoked key")
			}
			if _, l, _ := w.poll(t); !slices.Equal(l.Kids, []string{kid}) {
				t.Errorf("the list has the signing keys %v, want %s", l.Kids, kid)
			}
			w.Advance(10 * time.Second) // RevocationList.Interval
			if _, err := w.verifier.Verify(t.Context(), stolen); err == nil || oauth.AsError(err).Code != oauth.InvalidToken {
				t.Errorf("an API without the new keys says %v of a token of the revoked key", err)
			}
			w.serve(t)
			if _, l, _ := w.poll(t); !slices.Equal(l.Kids, []string{kid}) {
				t.Errorf("after a restart the list has the signing keys %v, want %s", l.Kids, kid)
			}
		})
	}
}

// TestRevokedRetiredKeyIsListedAtOnce: also a key that signs no more is on the list with the next poll,
// which the key that signs goes on to sign.
func TestRevokedRetiredKeyIsListedAtOnce(t *testing.T) {
	w := platforms[0].open(t)
	issuer := w.setup.issuers[0].Name
	stolen := w.mint(t, w.one)
	_, kid := payloadOf(t, stolen)
	next, err := w.keyring.Announce(t.Context(), issuer, "test", keyring.NewKey{})
	must(t, err)
	must(t, w.keyring.ActivateAtOnce(t.Context(), issuer, "test", next.Kid))
	if _, l, _ := w.poll(t); len(l.Kids) != 0 {
		t.Fatalf("the list has the signing keys %v before any is revoked", l.Kids)
	}
	must(t, w.keyring.Revoke(t.Context(), issuer, "test", kid))
	if _, l, _ := w.poll(t); !slices.Equal(l.Kids, []string{kid}) {
		t.Errorf("the list has the signing keys %v, want %s", l.Kids, kid)
	}
}
