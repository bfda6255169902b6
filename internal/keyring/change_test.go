package keyring_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"moneyer/bearer"
	"moneyer/internal/jose"
	"moneyer/internal/keyring"
	"moneyer/internal/ledger"
	"moneyer/internal/registry"
)

func TestManualRotation(t *testing.T) {
	w := newSigningFixture(t)
	first := w.signing()
	w.clock.add(time.Minute)
	second := w.announce(keyring.NewKey{})
	if w.signing() != first || !slices.Equal(w.jwks(), []string{second, first}) {
		t.Error("an announced key is published and does not sign")
	}
	w.clock.add(time.Minute + 300*time.Millisecond) // an entry has the time, a stored key whole seconds
	w.must(w.Activate(t.Context(), issuer, "bob", second))
	if w.signing() != second || w.states() != "retired signing" {
		t.Errorf("after Activate %s", w.states())
	}
	// A request may have arrived just before.
	if signer, err := w.Signer(issuer, w.clock.Now().Add(-time.Second)); err != nil || signer.Kid() != first {
		t.Errorf("just before %v, %v", signer, err)
	}
	w.clock.add(3 * time.Hour)
	if !slices.Equal(w.jwks(), []string{second}) || w.states() != "removed signing" {
		t.Errorf("after Keep %s", w.states())
	}

	last := w.store.entries[len(w.store.entries)-1]
	if want := (ledger.Entry{Kind: ledger.KindAdmin, Time: start.Add(2*time.Minute + 300*time.Millisecond), Issuer: issuer,
		Actor: "bob", Action: "signing-key.activate", Object: second}); last != want {
		t.Errorf("entry %+v, want %+v", last, want)
	}
}

func TestForbiddenStateChanges(t *testing.T) {
	w := newSigningFixture(t)
	retired := w.signing()
	signing := w.announce(keyring.NewKey{})
	w.must(w.Activate(t.Context(), issuer, "alice", signing))
	revoked := w.announce(keyring.NewKey{})
	w.must(w.Revoke(t.Context(), issuer, "alice", revoked))
	revision := w.store.keys[issuer].Revision

	for name, err := range map[string]error{
		"activate signing": w.Activate(t.Context(), issuer, "alice", signing),
		"activate retired": w.Activate(t.Context(), issuer, "alice", retired),
		"activate revoked": w.Activate(t.Context(), issuer, "alice", revoked),
		"retire signing":   w.Retire(t.Context(), issuer, "alice", signing),
		"retire retired":   w.Retire(t.Context(), issuer, "alice", retired),
		"revoke revoked":   w.Revoke(t.Context(), issuer, "alice", revoked),
	} {
		t.Run(name, func(t *testing.T) { wantIs(t, err, keyring.ErrState) })
	}
	wantIs(t, w.Activate(t.Context(), issuer, "alice", "nobody"), registry.ErrNotFound)
	wantIs(t, w.Retire(t.Context(), issuer, "alice", "nobody"), registry.ErrNotFound)
	wantIs(t, w.Revoke(t.Context(), issuer, "alice", "nobody"), registry.ErrNotFound)
	_, err := w.Announce(t.Context(), issuer, "alice", keyring.NewKey{ActiveAt: start.Add(-time.Second)})
	wantIs(t, err, keyring.ErrState)
	if w.store.keys[issuer].Revision != revision {
		t.Error("a refused change was stored")
	}
}

func TestKeyFromAFile(t *testing.T) {
	w := newSigningFixture(t)
	path, _ := keyFile(t, jose.ES256)
	kid := w.announce(keyring.NewKey{URI: "file:" + path, ActiveAt: start.Add(time.Hour)})
	signer, err := w.Signer(issuer, start.Add(time.Hour))
	w.must(err)
	if signer.Kid() != kid || w.key(kid).URI != "file:"+path {
		t.Errorf("%s signs", signer.Kid())
	}
	_, err = w.Announce(t.Context(), issuer, "alice", keyring.NewKey{URI: "file:" + path})
	wantIs(t, err, keyring.ErrState)
	_, err = w.Announce(t.Context(), issuer, "alice", keyring.NewKey{URI: "https://example.com/key"})
	wantText(t, err, "known are: file")
	other, _ := keyFile(t, jose.EdDSA)
	_, err = w.Announce(t.Context(), issuer, "alice", keyring.NewKey{URI: "file:" + other})
	wantIs(t, err, jose.ErrWrongKeyType)

	// A retired key does not need its file, and a revoked key cannot be announced again.
	w.clock.add(time.Hour)
	w.must(w.Activate(t.Context(), issuer, "alice", w.announce(keyring.NewKey{})))
	w.clock.add(time.Minute)
	w.must(os.Rename(path, path+".old"))
	w.must(w.Load(t.Context()))
	if !slices.Contains(w.jwks(), kid) {
		t.Error("a retired key is no longer published")
	}
	w.must(w.Revoke(t.Context(), issuer, "alice", kid))
	if slices.Contains(w.jwks(), kid) {
		t.Error("a revoked key is published")
	}
	_, err = w.Announce(t.Context(), issuer, "alice", keyring.NewKey{URI: "file:" + path + ".old"})
	wantIs(t, err, keyring.ErrState)
}

// TestRevokedKeysAreListed: a revoked key is among the revoked ones of every process and of
// every instant until well after any verifier has dropped it, whatever state it was in.
func TestRevokedKeysAreListed(t *testing.T) {
	w := newSigningFixture(t)
	first := w.signing()
	announced := w.announce(keyring.NewKey{})
	replica := w.process()
	w.must(replica.Load(t.Context()))
	if got := w.Revoked(issuer, start); got != nil {
		t.Errorf("revoked are %v, want none", got)
	}
	w.must(w.Revoke(t.Context(), issuer, "alice", first))
	w.must(w.Revoke(t.Context(), issuer, "alice", announced))
	both := []string{first, announced}
	slices.Sort(both)
	for at, want := range map[time.Time][]string{
		start.Add(-time.Hour): both, start: both, start.Add(30*24*time.Hour - time.Second): both, start.Add(30 * 24 * time.Hour): nil,
	} {
		if got := w.Revoked(issuer, at); !slices.Equal(got, want) {
			t.Errorf("revoked at %s are %v, want %v", at, got, want)
		}
	}
	w.must(w.Load(t.Context()))
	if got := w.Revoked(issuer, start); !slices.Equal(got, both) {
		t.Errorf("after another start revoked are %v, want %v", got, both)
	}
	w.must(replica.Refresh(t.Context(), issuer))
	if got := replica.Revoked(issuer, start); !slices.Equal(got, both) {
		t.Errorf("at a replica that learned of the change revoked are %v, want %v", got, both)
	}
}

// TestRevokedKeysOutliveAnAlteredRow: whoever alters the keys in the store makes no revoked
// key good again in a process that knows it.
func TestRevokedKeysOutliveAnAlteredRow(t *testing.T) {
	w := newSigningFixture(t)
	first := w.signing()
	w.must(w.Revoke(t.Context(), issuer, "alice", first))
	w.Store = alteredStore{w.store}
	if err := w.Refresh(t.Context(), issuer); err == nil || !slices.Equal(w.Unverified(), []string{issuer}) {
		t.Fatalf("altered keys are loaded: %v", err)
	}
	if got := w.Revoked(issuer, start); !slices.Equal(got, []string{first}) {
		t.Errorf("revoked are %v, want %s", got, first)
	}
}

// alteredStore has keys that do not verify.
type alteredStore struct{ keyring.Store }

func (alteredStore) SigningKeys(context.Context, string) (registry.SigningKeys, error) {
	return registry.SigningKeys{}, &registry.UnverifiedError{}
}

func TestRevokeSigningKey(t *testing.T) {
	w := newSigningFixture(t)
	first := w.signing()
	w.clock.add(time.Minute)
	older := w.announce(keyring.NewKey{ActiveAt: start.Add(5 * time.Hour)})
	w.clock.add(time.Minute)
	newer := w.announce(keyring.NewKey{})

	w.must(w.Revoke(t.Context(), issuer, "alice", first))
	if w.signing() != newer || !slices.Equal(w.jwks(), []string{newer, older}) {
		t.Errorf("%s signs, published are %v", w.signing(), w.jwks())
	}
	if signer, err := w.Signer(issuer, start.Add(5*time.Hour)); err != nil || signer.Kid() != older {
		t.Error("the scheduled key does not take over any more")
	}

	w.must(w.Revoke(t.Context(), issuer, "alice", older))
	w.must(w.Revoke(t.Context(), issuer, "alice", newer))
	made := w.signing()
	if made == newer || !slices.Equal(w.jwks(), []string{made}) {
		t.Errorf("%s signs, published are %v", made, w.jwks())
	}
	if got := w.store.actions(); got != "activate announce announce revoke revoke revoke" {
		t.Errorf("ledger %q: a revocation and the takeover are one change", got)
	}
	for _, key := range w.store.keys[issuer].Keys {
		if revoked := !key.RevokedAt.IsZero(); revoked != (key.Sealed == nil) {
			t.Errorf("revoked %t, with a private half %t", revoked, key.Sealed != nil)
		}
	}
	// A process whose clock is slow does not sign with a revoked key either.
	_, err := w.Signer(issuer, start)
	wantIs(t, err, keyring.ErrNoSigningKey)
}

// TestSuccessorWithdrawn: when the successor is withdrawn, the current key goes on signing.
func TestSuccessorWithdrawn(t *testing.T) {
	for name, takeBack := range map[string]func(w *fixture, kid string) error{
		"retired": func(w *fixture, kid string) error { return w.Retire(w.t.Context(), issuer, "alice", kid) },
		"revoked": func(w *fixture, kid string) error { return w.Revoke(w.t.Context(), issuer, "alice", kid) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newSigningFixture(t)
			first := w.signing()
			second := w.announce(keyring.NewKey{ActiveAt: start.Add(time.Hour)})
			if w.key(first).RetiredAt.IsZero() {
				t.Fatal("the first key does not retire")
			}
			w.must(takeBack(w, second))
			if k := w.key(first); !k.RetiredAt.IsZero() || !k.RemovedAt.IsZero() {
				t.Errorf("the first key still retires: %+v", k)
			}
			w.clock.add(2 * time.Hour)
			if w.signing() != first {
				t.Error("the first key does not sign any more")
			}
			if published := slices.Contains(w.jwks(), second); published != (name == "retired") {
				t.Errorf("the second key is published: %t", published)
			}
		})
	}
}

// TestFirstKeyAnnounced: an issuer without a signing key activates the key that its operator
// announced.
func TestFirstKeyAnnounced(t *testing.T) {
	w := newFixture(t)
	path, _ := keyFile(t, jose.ES256)
	kid := w.announce(keyring.NewKey{URI: "file:" + path})
	_, err := w.Signer(issuer, w.clock.Now())
	wantIs(t, err, keyring.ErrNoSigningKey)
	w.must(w.Ensure(t.Context(), issuer))
	if w.signing() != kid || len(w.jwks()) != 1 {
		t.Error("another key signs")
	}
}

func TestNewestActiveSigns(t *testing.T) {
	w := newSigningFixture(t)
	older := w.signing()
	w.clock.add(time.Minute)
	newer := w.announce(keyring.NewKey{ActiveAt: start.Add(time.Hour)})
	w.store.edit(issuer, func(keys []registry.SigningKey) []registry.SigningKey {
		keys[0].RetiredAt, keys[0].RemovedAt = time.Time{}, time.Time{} // not by this package
		return keys
	})
	w.clock.add(time.Hour)
	w.must(w.Load(t.Context()))
	if w.signing() != newer {
		t.Error("the older key signs")
	}
	w.must(w.Retire(t.Context(), issuer, "alice", older))
	if got := w.states(); got != "retired signing" {
		t.Errorf("states %q", got)
	}
}

// TestTwoActivationsInOneSecond: of two activations in one second the later one counts.
func TestTwoActivationsInOneSecond(t *testing.T) {
	w := newSigningFixture(t)
	second := w.announce(keyring.NewKey{})
	third := w.announce(keyring.NewKey{})
	w.must(w.Activate(t.Context(), issuer, "alice", third))
	w.must(w.Activate(t.Context(), issuer, "alice", second))
	if w.signing() != second || len(w.jwks()) != 3 {
		t.Errorf("%s signs, published are %v", w.signing(), w.jwks())
	}
}

// TestConcurrentChange lets another process change the keys first.
func TestConcurrentChange(t *testing.T) {
	w := newSigningFixture(t)
	first := w.signing()
	second := w.announce(keyring.NewKey{})
	other := w.process()
	w.store.puts = func() {
		w.store.puts = nil
		w.must(other.Activate(t.Context(), issuer, "bob", second))
	}
	wantIs(t, w.Activate(t.Context(), issuer, "alice", second), keyring.ErrState) // decided again
	w.store.puts = func() {
		w.store.puts = nil
		_, err := other.Announce(t.Context(), issuer, "bob", keyring.NewKey{})
		w.must(err)
	}
	w.must(w.Revoke(t.Context(), issuer, "alice", second))
	if len(w.jwks()) != 2 || slices.Contains(w.jwks(), second) || !slices.Contains(w.jwks(), first) {
		t.Errorf("published are %v: the key that was announced concurrently should sign", w.jwks())
	}

	w.store.writeErr = registry.ErrConflict
	wantIs(t, w.Revoke(t.Context(), issuer, "alice", first), registry.ErrConflict)
}

// TestVerifiersKnowSigningKey: no verifier that caches the set for MaxAge meets an unknown kid,
// except after ActivateAtOnce or Revoke.
func TestVerifiersKnowSigningKey(t *testing.T) {
	w := newSigningFixture(t)
	w.set(func(s *keyring.Settings) { s.MaxAge = 5 * time.Minute })
	first := w.signing()
	second := w.announce(keyring.NewKey{})
	known := start.Add(5*time.Minute + 5*time.Second)
	wantEarly := func(what string, err error, kid string) {
		t.Helper()
		var early *keyring.EarlyError
		if !errors.As(err, &early) || !early.KnownAt.Equal(known) || kid != "" && early.Kid != kid {
			t.Errorf("%s: %v", what, err)
		}
	}
	wantEarly("at once", w.Activate(t.Context(), issuer, "alice", second), second)
	_, err := w.Announce(t.Context(), issuer, "alice", keyring.NewKey{ActiveAt: known.Add(-time.Second)})
	wantEarly("scheduled too early", err, "")
	third := w.announce(keyring.NewKey{ActiveAt: known})
	w.clock.add(5*time.Minute + 4*time.Second)
	wantEarly("a second too early", w.Activate(t.Context(), issuer, "alice", second), second)
	if got := w.store.actions(); w.signing() != first || got != "activate announce announce" {
		t.Errorf("a refused change was made: %s", got)
	}

	w.clock.add(time.Second)
	if w.signing() != third {
		t.Error("the scheduled key does not sign")
	}
	w.must(w.Activate(t.Context(), issuer, "alice", second))
	fourth := w.announce(keyring.NewKey{})
	w.must(w.ActivateAtOnce(t.Context(), issuer, "alice", fourth))
	if w.signing() != fourth {
		t.Error("the key does not sign at once")
	}
	w.must(w.Revoke(t.Context(), issuer, "alice", fourth)) // an emergency does not wait for verifiers
	if w.signing() == fourth {
		t.Error("the revoked key signs")
	}
}

// TestFirstKeyActivatesAtOnce: while no key signs, verifiers have no token that they could refuse.
func TestFirstKeyActivatesAtOnce(t *testing.T) {
	w := newFixture(t)
	w.set(func(s *keyring.Settings) { s.MaxAge = 5 * time.Minute })
	w.must(w.Activate(t.Context(), issuer, "alice", w.announce(keyring.NewKey{})))
}

// TestFullSet: no more keys are published than verifiers accept, and a key of a full set can still
// be replaced in an emergency.
func TestFullSet(t *testing.T) {
	w := newSigningFixture(t)
	kid := w.signing()
	for range 99 {
		w.announce(keyring.NewKey{})
	}
	_, err := w.Announce(t.Context(), issuer, "test", keyring.NewKey{})
	wantIs(t, err, keyring.ErrState)
	set, err := w.JWKS(issuer, w.Now())
	w.must(err)
	if _, err := bearer.ParseKeys(set.Body); err != nil {
		t.Errorf("a full set: %v", err)
	}
	w.must(w.Revoke(t.Context(), issuer, "test", kid))
	if next := w.signing(); next == kid || next == "" {
		t.Errorf("after the emergency %q signs", next)
	}
}
