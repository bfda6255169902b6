package keyring_test

import (
	"slices"
	"testing"
	"time"

	"moneyer/internal/jose"
	"moneyer/internal/keyring"
	"moneyer/internal/registry"
)

const (
	tokenLifetime = time.Hour
	maxAge        = time.Hour // cache lifetime of the JWK set
	tick          = 5 * time.Minute
)

// verifier caches a JWK set for as long as it may.
type verifier struct {
	process int
	born    time.Time
	kids    []string
	fresh   time.Time // end of the cache lifetime
}

func (v *verifier) knows(t *testing.T, k *keyring.Keyring, kid string, now time.Time) bool {
	t.Helper()
	if !now.Before(v.fresh) {
		published, err := k.JWKS(issuer, now)
		if err != nil {
			t.Fatal(err)
		}
		v.kids, v.fresh = kids(t, published), now.Add(maxAge)
		if !published.Until.IsZero() && published.Until.Before(v.fresh) {
			v.fresh = published.Until
		}
	}
	return slices.Contains(v.kids, kid)
}

// TestTwoRotations runs two processes that reload each other's changes up to a tick late, and
// verifiers that fetch the JWK set from one of them when their cache expires and never otherwise.
// At every minute both processes sign with the same key, and every verifier knows the kid of every
// token that has not expired.
func TestTwoRotations(t *testing.T) {
	w := newSigningFixture(t)
	processes := []*keyring.Keyring{w.Keyring, w.process()}
	w.must(processes[1].Load(t.Context()))
	var verifiers []*verifier
	for i := range 12 {
		verifiers = append(verifiers, &verifier{process: i % 2, born: start.Add(time.Duration(i) * 7 * time.Minute)})
	}
	expires := map[string]time.Time{} // the last token of each kid
	for minute := range 56 * 60 {
		now := w.clock.Now()
		for i, k := range processes {
			if (minute+2*i)%int(tick.Minutes()) == 0 {
				w.must(k.Rotate(t.Context()))
			}
		}
		kid := w.signing()
		if other, err := processes[1].Signer(issuer, now); err != nil || other.Kid() != kid {
			t.Fatalf("minute %d: the processes sign with different keys: %v", minute, err)
		}
		expires[kid] = now.Add(tokenLifetime)
		for kid, exp := range expires {
			for i, v := range verifiers {
				if now.Before(exp) && !now.Before(v.born) && !v.knows(t, processes[v.process], kid, now) {
					t.Fatalf("minute %d: verifier %d does not know %s", minute, i, kid)
				}
			}
		}
		w.clock.add(time.Minute)
	}
	if len(expires) != 3 {
		t.Errorf("%d keys signed, want 3", len(expires))
	}
	if got, want := w.states(), "removed removed signing"; got != want {
		t.Errorf("states %q, want %q", got, want)
	}
	if got, want := w.store.actions(), "activate announce announce"; got != want {
		t.Errorf("ledger %q, want %q", got, want)
	}
}

func TestRotationByTheClock(t *testing.T) {
	w := newSigningFixture(t)
	first := w.signing()

	w.clock.add(22*time.Hour - time.Second)
	w.must(w.Rotate(t.Context()))
	if got := w.states(); got != "signing" {
		t.Errorf("a second too early: %s", got)
	}
	w.clock.add(time.Second)
	w.must(w.Rotate(t.Context()))
	second := w.jwks()[0]
	takeover := start.Add(24 * time.Hour)
	if k := w.key(second); k.State != keyring.Announced || !k.ActiveAt.Equal(takeover) {
		t.Errorf("successor %+v", k)
	}
	if k := w.key(first); k.State != keyring.Signing || !k.RetiredAt.Equal(takeover) || !k.RemovedAt.Equal(takeover.Add(3*time.Hour)) {
		t.Errorf("predecessor %+v", k)
	}

	// Nothing is done from here on: the instants are scheduled.
	for _, at := range []struct {
		time   time.Time
		signer string
		jwks   []string
	}{
		{takeover.Add(-1), first, []string{second, first}},
		{takeover, second, []string{second, first}},
		{takeover.Add(3*time.Hour - 1), second, []string{second, first}},
		{takeover.Add(3 * time.Hour), second, []string{second}},
		{takeover.Add(1000 * time.Hour), second, []string{second}},
	} {
		signer, err := w.Signer(issuer, at.time)
		w.must(err)
		published, err := w.JWKS(issuer, at.time)
		w.must(err)
		if signer.Kid() != at.signer || !slices.Equal(kids(t, published), at.jwks) {
			t.Errorf("%s: %s signs, published are %v", at.time, signer.Kid(), kids(t, published))
		}
	}
}

// TestJWKSChangesWhenAnnounced advances the clock without calling Rotate.
func TestJWKSChangesWhenAnnounced(t *testing.T) {
	w := newSigningFixture(t)
	w.clock.add(time.Hour)
	w.must(w.Revoke(t.Context(), issuer, "alice", w.announce(keyring.NewKey{}))) // not published
	w.clock.add(21 * time.Hour)
	w.must(w.Rotate(t.Context()))
	before, err := w.JWKS(issuer, start)
	w.must(err)
	changes := 0
	for at := start; at.Before(start.Add(40 * time.Hour)); at = at.Add(time.Minute) {
		now, err := w.JWKS(issuer, at)
		w.must(err)
		same := string(now.Body) == string(before.Body)
		if (now.ETag == before.ETag) != same {
			t.Fatalf("%s: ETag %s and %s for %s and %s", at, before.ETag, now.ETag, before.Body, now.Body)
		}
		if !same {
			changes++
		}
		if due := !before.Until.IsZero() && !at.Before(before.Until); due == same {
			t.Fatalf("%s: changed: %t, was announced to change at %s", at, !same, before.Until)
		}
		before = now
	}
	if changes != 2 || !before.Until.IsZero() {
		t.Errorf("%d changes, the next at %s; want 2: one more key, one less", changes, before.Until)
	}
	empty := newFixture(t)
	w.must(empty.Load(t.Context()))
	if p, err := empty.JWKS(issuer, start); err != nil || string(p.Body) != `{"keys":[]}` || p.ETag[0] != '"' {
		t.Errorf("no keys: %s %s, %v", p.Body, p.ETag, err)
	}
}

// TestETagAfterActivation: an activation does not change the JWK set.
func TestETagAfterActivation(t *testing.T) {
	w := newSigningFixture(t)
	kid := w.announce(keyring.NewKey{})
	before, _ := w.JWKS(issuer, w.clock.Now())
	w.must(w.Activate(t.Context(), issuer, "alice", kid))
	w.must(w.Load(t.Context()))
	after, _ := w.JWKS(issuer, w.clock.Now())
	if before.ETag != after.ETag || !before.Until.IsZero() || !after.Until.Equal(start.Add(3*time.Hour)) {
		t.Errorf("before %s until %s, after %s until %s", before.ETag, before.Until, after.ETag, after.Until)
	}
}

func TestRotationAfterAnOutage(t *testing.T) {
	w := newSigningFixture(t)
	first := w.signing()
	w.clock.add(100 * 24 * time.Hour)
	w.must(w.Rotate(t.Context()))
	if w.signing() != first {
		t.Error("a successor signs that no verifier can know")
	}
	w.clock.add(2 * time.Hour)
	if w.signing() == first {
		t.Error("no successor signs")
	}
}

func TestNoRotation(t *testing.T) {
	w := newFixture(t)
	w.set(func(s *keyring.Settings) { s.Rotate = 0 })
	for range 5 {
		w.must(w.Rotate(t.Context()))
		w.clock.add(10000 * time.Hour)
	}
	if got := w.store.actions(); got != "activate" {
		t.Errorf("ledger %q", got)
	}
}

func TestNewAlgorithm(t *testing.T) {
	w := newSigningFixture(t)
	w.clock.add(time.Minute)
	w.set(func(s *keyring.Settings) { s.Alg, s.Rotate = jose.EdDSA, 0 })
	for range 3 {
		w.must(w.Ensure(t.Context(), issuer))
		w.clock.add(30 * time.Minute)
	}
	if got := w.states(); got != "signing announced" {
		t.Errorf("states %q", got)
	}
	w.clock.add(30 * time.Minute)
	if signer, err := w.Signer(issuer, w.clock.Now()); err != nil || signer.Alg() != jose.EdDSA {
		t.Errorf("signer %v, %v", signer, err)
	}

	// Without an announcement time it takes over in the same second.
	w.set(func(s *keyring.Settings) { s.Alg, s.Announce = jose.ES256, 0 })
	w.must(w.Ensure(t.Context(), issuer))
	if signer, err := w.Signer(issuer, w.clock.Now()); err != nil || signer.Alg() != jose.ES256 {
		t.Errorf("signer %v, %v", signer, err)
	}
}

// TestRotationUsesAnnouncedKey: a key that an operator announced without an activation time is the
// next one.
func TestRotationUsesAnnouncedKey(t *testing.T) {
	w := newSigningFixture(t)
	kid := w.announce(keyring.NewKey{})
	w.clock.add(22 * time.Hour)
	w.must(w.Rotate(t.Context()))
	w.must(w.Rotate(t.Context()))
	w.clock.add(2 * time.Hour)
	if w.signing() != kid {
		t.Error("another key signs")
	}
	if got := w.store.actions(); got != "activate announce schedule" {
		t.Errorf("ledger %q", got)
	}
}

func TestForgetting(t *testing.T) {
	w := newSigningFixture(t)
	bad := w.signing()
	for range 4 {
		w.must(w.Activate(t.Context(), issuer, "alice", w.announce(keyring.NewKey{})))
	}
	w.must(w.Revoke(t.Context(), issuer, "alice", bad))
	w.set(func(s *keyring.Settings) { s.Rotate = 0 })

	gone := 3*time.Hour + 30*24*time.Hour
	w.clock.add(gone - time.Second)
	w.must(w.Rotate(t.Context()))
	if infos, _ := w.Keys(t.Context(), issuer); len(infos) != 5 {
		t.Errorf("%d keys a second before", len(infos))
	}
	w.clock.add(time.Second)
	w.must(w.Rotate(t.Context()))
	if infos, _ := w.Keys(t.Context(), issuer); len(infos) != 2 || w.key(bad).State != keyring.Revoked {
		t.Errorf("left are %+v, want the key that signs and the revoked one", infos)
	}
	for _, e := range w.store.entries[len(w.store.entries)-3:] {
		if e.Action != "signing-key.forget" || e.Actor != "moneyer" || e.Object == "" {
			t.Errorf("entry %+v", e)
		}
	}
}

// TestRotationInALeap: a clock that jumps ahead plans no successor and forgets no key, until the
// time has passed for certain.
func TestRotationInALeap(t *testing.T) {
	w := newSigningFixture(t)
	w.must(w.Activate(t.Context(), issuer, "alice", w.announce(keyring.NewKey{})))
	past := w.clock.Now()
	w.Past = func() time.Time { return past }
	before, err := w.Keys(t.Context(), issuer)
	w.must(err)
	w.clock.add(365 * 24 * time.Hour)
	w.must(w.Rotate(t.Context()))
	if after, err := w.Keys(t.Context(), issuer); err != nil || len(after) != 2 || after[0].Kid != before[0].Kid || after[1].Kid != before[1].Kid {
		t.Errorf("after the leap %+v, %v", after, err)
	}
	past = w.clock.Now()
	w.must(w.Rotate(t.Context()))
	if after, err := w.Keys(t.Context(), issuer); err != nil || len(after) != 2 || after[0].State != keyring.Announced {
		t.Errorf("after a year %+v, %v", after, err)
	}

	first := newFixture(t)
	first.Past = func() time.Time { return start.Add(-time.Hour) }
	first.must(first.Rotate(t.Context()))
	first.signing() // an issuer without a key gets one all the same
}

// TestConcurrentRotate lets processes rotate concurrently, with changes of others between read and
// write.
func TestConcurrentRotate(t *testing.T) {
	w := newSigningFixture(t)
	first := w.signing()
	processes := []*keyring.Keyring{w.Keyring}
	for range 3 {
		processes = append(processes, w.process())
	}
	for _, k := range processes {
		k.Log = nil
		w.must(k.Load(t.Context()))
	}
	w.clock.add(23 * time.Hour)
	takeover := w.clock.Now().Add(2 * time.Hour)
	all := make(chan error)
	for range 5 {
		for _, k := range processes {
			go func() { all <- k.Rotate(t.Context()) }()
		}
	}
	for range 5 * len(processes) {
		w.must(<-all)
	}
	for _, k := range processes {
		w.must(k.Rotate(t.Context()))
	}
	if got := w.store.actions(); got != "activate announce" {
		t.Errorf("ledger %q", got)
	}
	successor := w.jwks()[0]
	if successor == first {
		successor = w.jwks()[1]
	}
	for i, k := range processes {
		before, err1 := k.Signer(issuer, takeover.Add(-1))
		after, err2 := k.Signer(issuer, takeover)
		if err1 != nil || err2 != nil || before.Kid() != first || after.Kid() != successor {
			t.Errorf("process %d: %v, %v", i, err1, err2)
		}
	}
}

func TestOtherProcessIsReloaded(t *testing.T) {
	w := newSigningFixture(t)
	other := w.process()
	w.must(other.Rotate(t.Context())) // loads, too
	w.must(w.Revoke(t.Context(), issuer, "alice", w.signing()))
	w.must(other.Rotate(t.Context()))
	if signer, err := other.Signer(issuer, start); err != nil || signer.Kid() != w.signing() {
		t.Errorf("the other process signs with another key: %v", err)
	}
}

// TestUnopenedKeyDoesNotBlockReload: a process that cannot open one key still loads the others, and
// tries again.
func TestUnopenedKeyDoesNotBlockReload(t *testing.T) {
	w := newSigningFixture(t)
	other, compromised := w.process(), w.signing()
	w.must(other.Load(t.Context()))
	w.announce(keyring.NewKey{})
	var uri string
	w.store.edit(issuer, func(keys []registry.SigningKey) []registry.SigningKey {
		uri, keys[1].URI = keys[1].URI, "file:/not-here-yet"
		return keys
	})
	if w.Revoke(t.Context(), issuer, "alice", compromised) == nil {
		t.Error("no error for the key that cannot be opened")
	}
	for range 2 {
		wantText(t, other.Rotate(t.Context()), "not-here-yet")
		_, err := other.Signer(issuer, start)
		wantIs(t, err, keyring.ErrNoSigningKey)
	}
	w.store.mu.Lock()
	w.store.keys[issuer].Keys[1].URI = uri // the same revision
	w.store.mu.Unlock()
	w.must(other.Rotate(t.Context()))
	if _, err := other.Signer(issuer, start); err != nil {
		t.Error(err)
	}
}

// TestNoKeyUnderOtherMaster: a process with the wrong master key makes no key that the others could
// not open.
func TestNoKeyUnderOtherMaster(t *testing.T) {
	w := newSigningFixture(t)
	w.clock.add(23 * time.Hour)
	w.Master = newMaster(t)
	wantIs(t, w.Rotate(t.Context()), keyring.ErrOtherMaster)
	w.Master = nil
	wantText(t, w.Rotate(t.Context()), "needs a master key")
	if got := w.states(); got != "signing" {
		t.Errorf("states %q", got)
	}
	empty := newFixture(t)
	empty.Master = nil
	wantText(t, empty.Rotate(t.Context()), "needs a master key")
}
