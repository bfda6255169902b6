package bearer_test

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"moneyer/internal/jose"
)

// TestReplacedUnderItsKid: a token that does not verify with the key at hand has the keys fetched again, once a
// minute for all callers, and is judged by the key that replaced it.
func TestReplacedUnderItsKid(t *testing.T) {
	was, is := newMint(t, jose.ES256, "k1", "at+jwt"), newMint(t, jose.ES256, "k1", "at+jwt")
	synctest.Test(t, func(t *testing.T) {
		set := jwks(was)
		p := publishes(func() string { return set })
		v := was.verifier(t)
		v.Keys = p.keys()
		flood := func(m *mint, ok bool, fetches int) {
			t.Helper()
			token := m.token(t, nil)
			var callers sync.WaitGroup
			for range 64 {
				callers.Go(func() {
					if _, err := v.Verify(t.Context(), token); ok != (err == nil) || err != nil && !strings.Contains(err.Error(), "invalid_token") {
						t.Errorf("%v", err)
					}
				})
			}
			callers.Wait()
			if p.count() != fetches {
				t.Errorf("%d fetches, want %d", p.count(), fetches)
			}
		}
		flood(was, true, 1)
		set = jwks(is)
		flood(is, false, 1)
		time.Sleep(time.Minute)
		flood(was, true, 1)
		flood(is, true, 2)
		flood(was, false, 2)
	})
}

// TestKidForTwoAlgs: keys of one kid are told apart by the alg of the header.
func TestKidForTwoAlgs(t *testing.T) {
	one, two := newMint(t, jose.ES256, "k1", "at+jwt"), newMint(t, jose.EdDSA, "k1", "at+jwt")
	synctest.Test(t, func(t *testing.T) {
		v := one.verifier(t)
		v.Keys = publishes(func() string { return jwks(one, two) }).keys()
		for _, m := range []*mint{one, two} {
			if _, err := v.Verify(t.Context(), m.token(t, nil)); err != nil {
				t.Error(err)
			}
		}
		v.Algs = []string{"ES256"}
		if _, err := v.Verify(t.Context(), two.token(t, nil)); err == nil {
			t.Error("an algorithm that is not accepted")
		}
	})
}
