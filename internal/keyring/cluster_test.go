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

// signerAt returns the kid with which a process signs, or "".
func signerAt(k *keyring.Keyring, at time.Time) string {
	signer, err := k.Signer(issuer, at)
	if err != nil {
		return ""
	}
	return signer.Kid()
}

// publishedAt returns the kids that a process publishes.
func publishedAt(t *testing.T, k *keyring.Keyring, at time.Time) []string {
	t.Helper()
	published, err := k.JWKS(issuer, at)
	if err != nil {
		t.Fatal(err)
	}
	return kids(t, published)
}

// TestConcurrentProcesses lets a second process make the same change between the first one's read
// and write: the change is made once, and both processes sign and publish the same at every instant
// from then on.
func TestConcurrentProcesses(t *testing.T) {
	for name, row := range map[string]struct {
		begin  func(*fixture)
		do     func(*keyring.Keyring, *fixture) error
		is     error // the error of the slower process
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
				t.Errorf("the slower process got %v, want %v; the other was faster %d times", err, row.is, meanwhile)
			}
			w.must(w.Refresh(t.Context(), issuer))
			if ledger, states := w.store.actions(), w.states(); ledger != row.ledger || states != row.states {
				t.Errorf("ledger %q, keys %q; want %q, %q", ledger, states, row.ledger, row.states)
			}
			w.wantAlike(w.Keyring, other)
		})
	}
}

// wantAlike compares two processes around every instant of the coming days at which something
// changes.
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
		t.Error("no process signs")
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

// TestStartDuringRotation: a process that starts at any time of a rotation signs and publishes what
// the others do, and begins no rotation of its own.
func TestStartDuringRotation(t *testing.T) {
	for _, after := range []time.Duration{0, time.Second, time.Hour, 2*time.Hour - time.Second, 2 * time.Hour, 2*time.Hour + time.Second, 5*time.Hour - time.Second, 5 * time.Hour} {
		w := newSigningFixture(t)
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

// TestLateReload: a process that reloads late goes on with the old key, which all others still
// publish, and then signs with the new key, which they have published for MaxAge by then.
func TestLateReload(t *testing.T) {
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
		reloaded := announced.Add(late)
		used := map[string]bool{}
		for ; w.clock.Now().Before(announced.Add(5 * time.Hour)); w.clock.add(time.Minute) {
			now := w.clock.Now()
			if !now.Before(reloaded) {
				w.must(other.Refresh(t.Context(), issuer))
			}
			kid := signerAt(other, now)
			if !slices.Contains(publishedAt(t, w.Keyring, now), kid) {
				t.Fatalf("reload after %v: after %v it signs with %q, which the others do not publish", late, now.Sub(announced), kid)
			}
			if kid != old && now.Before(announced.Add(maxAge)) {
				t.Fatalf("reload after %v: after %v it signs with a key that not every verifier knows", late, now.Sub(announced))
			}
			if !now.Before(reloaded) && kid != w.signing() {
				t.Fatalf("reload after %v: after %v it signs with another key than the others", late, now.Sub(announced))
			}
			used[kid] = true
		}
		if len(used) != 2 {
			t.Errorf("reload after %v: it signed with %d keys", late, len(used))
		}
	}
}

// TestClockSkew: processes whose clocks differ a little make one first key, and each publishes
// every key that any of them signs with.
func TestClockSkew(t *testing.T) {
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

// TestHangingLoad: while the store hangs for one caller that loads the keys, others wait no longer
// than their deadline, and signing goes on.
func TestHangingLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSigningFixture(t)
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

// TestLaterRefreshWins: keys that were read before a change do not replace those read after it.
func TestLaterRefreshWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSigningFixture(t)
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
