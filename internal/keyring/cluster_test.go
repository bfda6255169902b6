package keyring_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"moneyer/internal/keyring"
)

// signerAt is the kid with which a process signs, "" for none.
func signerAt(k *keyring.Keyring, at time.Time) string {
	signer, err := k.Signer(issuer, at)
	if err != nil {
		return ""
	}
	return signer.Kid()
}

// publishedAt are the kids that a process publishes.
func publishedAt(t *testing.T, k *keyring.Keyring, at time.Time) []string {
	t.Helper()
	published, err := k.JWKS(issuer, at)
	if err != nil {
		t.Fatal(err)
	}
	return kids(t, published)
}

// TestNeverTwoAtOnce lets a second process do the same between the first one's
// reading and its writing: what is to be done is done once, and both sign and publish
// the same at every instant from then on.
func TestNeverTwoAtOnce(t *testing.T) {
	for name, row := range map[string]struct {
		begin  func(*fixture)
		do     func(*keyring.Keyring, *fixture) error
		is     error // what the slower one is told
		ledger string
		states string
	}{
		"the first key": {func(*fixture) {}, rotate, nil, "activate", "signing"},
		"a rotation":    {func(w *fixture) { w.must(w.Ensure(w.t.Context(), issuer)); w.clock.add(23 * time.Hour) }, rotate, nil, "activate announce", "signing announced"},
		"an emergency":  {func(w *fixture) { w.must(w.Ensure(w.t.Context(), issuer)); w.clock.add(time.Hour) }, revokeFirst, keyring.ErrState, "activate revoke", "revoked signing"},
		"a rotation by hand": {func(w *fixture) {
			w.must(w.Ensure(w.t.Context(), issuer))
			w.clock.add(time.Hour)
			w.announce(keyring.NewKey{})
		}, activateLast, keyring.ErrState, "activate announce activate", "retired signing"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newFixture(t)
			other := w.process()
			row.begin(w)
			w.must(other.Load(t.Context()))
			meanwhile := 0
			w.store.puts = func() {
				w.store.puts = nil
				meanwhile++
				w.must(row.do(other, w))
			}
			if err := row.do(w.Keyring, w); !errors.Is(err, row.is) || meanwhile != 1 {
				t.Errorf("the slower one is told %v, want %v; somebody was faster %d times", err, row.is, meanwhile)
			}
			w.must(w.Refresh(t.Context(), issuer))
			if ledger, states := w.store.actions(), w.states(); ledger != row.ledger || states != row.states {
				t.Errorf("ledger %q, keys %q; want %q, %q", ledger, states, row.ledger, row.states)
			}
			w.wantAlike(w.Keyring, other)
		})
	}
}

// wantAlike compares two processes at every second of the days to come in which
// something changes.
func (w *fixture) wantAlike(a, b *keyring.Keyring) {
	w.t.Helper()
	t, ok := w.t.(*testing.T)
	if !ok {
		w.t.Fatal("not a test")
	}
	now := w.clock.Now()
	for _, day := range []time.Duration{0, 2 * time.Hour, 3 * time.Hour, 5 * time.Hour, 24 * time.Hour, 27 * time.Hour} {
		for s := -3; s <= 3; s++ {
			at := now.Add(day + time.Duration(s)*time.Second)
			if signerAt(a, at) != signerAt(b, at) || !slices.Equal(publishedAt(t, a, at), publishedAt(t, b, at)) {
				t.Errorf("at %v one signs with %q and publishes %q, the other %q and %q", at.Sub(now),
					signerAt(a, at), publishedAt(t, a, at), signerAt(b, at), publishedAt(t, b, at))
			}
		}
	}
	if signerAt(a, now) == "" {
		t.Error("nobody signs")
	}
}

func rotate(k *keyring.Keyring, w *fixture) error { return k.Rotate(w.t.Context()) }

func revokeFirst(k *keyring.Keyring, w *fixture) error {
	return k.Revoke(w.t.Context(), issuer, "alice", w.store.keys[issuer].Keys[0].Kid)
}

func activateLast(k *keyring.Keyring, w *fixture) error {
	keys := w.store.keys[issuer].Keys
	return k.Activate(w.t.Context(), issuer, "alice", keys[len(keys)-1].Kid)
}

// TestStartsDuringRotation: a process that starts at any time of a rotation signs and
// publishes from then on what the others do, and begins no rotation of its own.
func TestStartsDuringRotation(t *testing.T) {
	for _, after := range []time.Duration{0, time.Second, time.Hour, 2*time.Hour - time.Second, 2 * time.Hour, 2*time.Hour + time.Second, 5*time.Hour - time.Second, 5 * time.Hour} {
		w := newSigningWorld(t)
		w.clock.add(22 * time.Hour)
		w.must(w.Rotate(t.Context()))
		w.clock.add(after)
		starts := w.process()
		w.must(starts.Load(t.Context()))
		w.must(starts.Rotate(t.Context()))
		if got := w.store.actions(); got != "activate announce" {
			t.Errorf("%v after it was announced: ledger %q", after, got)
		}
		w.wantAlike(w.Keyring, starts)
	}
}

// TestHeardLate: a process that hears of a new key late goes on with the old one,
// which all others still publish, and then signs with the new one, which they have
// published for MaxAge by then.
func TestHeardLate(t *testing.T) {
	const maxAge = time.Hour
	for _, late := range []time.Duration{time.Second, time.Minute, time.Hour, 2*time.Hour - time.Second, 2 * time.Hour, 3 * time.Hour, 5*time.Hour - time.Minute} {
		w := newFixture(t)
		w.set(func(s *keyring.Settings) { s.MaxAge = maxAge })
		w.must(w.Ensure(t.Context(), issuer))
		other := w.process()
		w.must(other.Load(t.Context()))
		old := w.signing()
		w.clock.add(22 * time.Hour)
		announced := w.clock.Now()
		w.must(w.Rotate(t.Context()))
		heard := announced.Add(late)
		used := map[string]bool{}
		for ; w.clock.Now().Before(announced.Add(5 * time.Hour)); w.clock.add(time.Minute) {
			now := w.clock.Now()
			if !now.Before(heard) {
				w.must(other.Refresh(t.Context(), issuer))
			}
			kid := signerAt(other, now)
			if !slices.Contains(publishedAt(t, w.Keyring, now), kid) {
				t.Fatalf("heard after %v: after %v it signs with %q, which the others do not publish", late, now.Sub(announced), kid)
			}
			if kid != old && now.Before(announced.Add(maxAge)) {
				t.Fatalf("heard after %v: after %v it signs with a key that not everybody knows", late, now.Sub(announced))
			}
			if !now.Before(heard) && kid != w.signing() {
				t.Fatalf("heard after %v: after %v it signs with another key than the others", late, now.Sub(announced))
			}
			used[kid] = true
		}
		if len(used) != 2 {
			t.Errorf("heard after %v: it signed with %d keys", late, len(used))
		}
	}
}

// TestClocksApart: processes whose clocks are a little apart make one first key, and
// each publishes what any of them signs with.
func TestClocksApart(t *testing.T) {
	for _, behind := range []time.Duration{-2 * time.Second, 2 * time.Second} {
		w := newFixture(t)
		other := w.process()
		other.Now = func() time.Time { return w.clock.Now().Add(-behind) }
		w.must(w.Ensure(t.Context(), issuer))
		w.must(other.Ensure(t.Context(), issuer))
		w.must(w.Refresh(t.Context(), issuer))
		if n := len(w.store.keys[issuer].Keys); n != 1 {
			t.Errorf("behind by %v: %d first keys", behind, n)
		}
		w.clock.add(22 * time.Hour)
		w.must(w.Rotate(t.Context()))
		w.must(other.Rotate(t.Context()))
		if n := len(w.store.keys[issuer].Keys); n != 2 {
			t.Errorf("behind by %v: %d keys after a rotation", behind, n)
		}
		for range 3 * 60 {
			for _, signs := range []*keyring.Keyring{w.Keyring, other} {
				kid := signerAt(signs, signs.Now())
				for _, publishes := range []*keyring.Keyring{w.Keyring, other} {
					if !slices.Contains(publishedAt(t, publishes, publishes.Now()), kid) {
						t.Fatalf("behind by %v: %q signs, and is not published", behind, kid)
					}
				}
			}
			w.clock.add(time.Minute)
		}
	}
}

// TestLoadingHoldsUpNobody: while the store hangs for one who loads the keys, others
// wait for as long as they have, and signing goes on.
func TestLoadingHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSigningWorld(t)
		hangs := make(chan struct{})
		w.store.reads = func() { <-hangs }
		first := make(chan error)
		go func() { first <- w.Refresh(context.Background(), issuer) }()
		synctest.Wait()
		for name, do := range map[string]func(context.Context) error{
			"Refresh": func(ctx context.Context) error { return w.Refresh(ctx, issuer) }, "Load": w.Load,
		} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			wantIs(t, do(ctx), context.DeadlineExceeded)
			if ctx.Err() == nil {
				t.Errorf("%s did not wait", name)
			}
			cancel()
		}
		w.signing()
		close(hangs)
		w.must(<-first)
		w.must(w.Refresh(t.Context(), issuer))
	})
}

// TestRefreshKeepsTheLater: what was read before a change does not come over what
// the change left.
func TestRefreshKeepsTheLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSigningWorld(t)
		compromised := w.signing()
		read, goOn := make(chan struct{}), make(chan struct{})
		w.store.reads = func() {
			w.store.reads = nil
			close(read)
			<-goOn
		}
		early, late := make(chan error), make(chan error)
		go func() { early <- w.Refresh(context.Background(), issuer) }()
		<-read // the compromised key is in what was read
		go func() { late <- w.Revoke(context.Background(), issuer, "alice", compromised) }()
		synctest.Wait()
		close(goOn)
		for _, done := range []chan error{early, late} {
			w.must(<-done)
		}
		if w.signing() == compromised || slices.Contains(w.jwks(), compromised) {
			t.Error("the revoked key came back")
		}
	})
}
