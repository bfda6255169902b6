package authority_test

import (
	"errors"
	"flag"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"moneyer/internal/authority"
	"moneyer/internal/ledger"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/internal/rowauth/rowauthtest"
	"moneyer/internal/store"
	"moneyer/oauth"
)

// onStores runs a test on the ledger in memory and on the one in SQLite.
func onStores(t *testing.T, profileName string, test func(*testing.T, *fixture)) {
	t.Helper()
	t.Run("memory", func(t *testing.T) { test(t, newFixture(t, profileName)) })
	t.Run("sqlite", func(t *testing.T) { test(t, newSQLiteFixture(t, profileName)) })
}

// newSQLiteHouse keeps its ledger in SQLite, its registry in memory.
func newSQLiteFixture(t *testing.T, profileName string) *fixture {
	t.Helper()
	h := newFixture(t, profileName)
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "moneyer.db"), store.Options{Create: true, RowKey: rowauthtest.Key(), Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	h.db, h.Ledger, h.Refusals = db, db, authority.NewRefusals(db, unlimited)
	return h
}

func (h *fixture) usedBefore(t *testing.T, req *authority.Request) {
	t.Helper()
	token, err := h.exchange(req)
	e, refusal := refusalOf(t, token, err)
	want, tell := oauth.InvalidGrant, "the assertion was used before"
	if shown(req).Assertion != "" {
		want, tell = oauth.InvalidClient, "client authentication failed" // RFC 7523 §3.2
	}
	if e.Code != want || refusal.Rule != "one use" || e.Description != tell || e.RetryAfter != 0 {
		t.Errorf("%s by rule %q: %q, want %s: %s", e.Code, refusal.Rule, e.Description, want, tell)
	}
}

func (h *fixture) gets(t *testing.T, req *authority.Request) *authority.AccessToken {
	t.Helper()
	token, err := h.exchange(req)
	if err != nil {
		t.Fatalf("refused: %v", err)
	}
	return token
}

var oneUseRounds = flag.Int("one-use-rounds", 1, "how many dozens of assertions TestInvariant3OneTokenFromOneAssertion sends 64 times each")

func TestInvariant3OneTokenFromOneAssertion(t *testing.T) {
	onStores(t, "thales-d1", func(t *testing.T, h *fixture) {
		const assertions, callers = 12, 64
		for range *oneUseRounds {
			h.race(t, assertions, callers)
		}
		if n := len(h.tokens(t)); n != *oneUseRounds*assertions {
			t.Errorf("%d tokens are recorded, want %d", n, *oneUseRounds*assertions)
		}
	})
}

// race sends each of some assertions from many callers at once: one must win.
func (h *fixture) race(t *testing.T, assertions, callers int) {
	t.Helper()
	compacts := make([]string, assertions)
	for i := range compacts {
		compacts[i] = h.assertion()
	}
	var mu sync.Mutex
	won, lost := map[string]int{}, map[string]int{}
	start := make(chan struct{})
	var wg sync.WaitGroup
	for _, compact := range compacts {
		for range callers {
			wg.Go(func() {
				<-start
				_, err := h.exchange(grantRequest(compact))
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					won[compact]++
				case oauth.AsError(err).Code == oauth.InvalidGrant:
					lost[compact]++
				default:
					t.Errorf("a loser is told %v", err)
				}
			})
		}
	}
	close(start)
	wg.Wait()
	for _, compact := range compacts {
		if won[compact] != 1 || lost[compact] != callers-1 {
			t.Errorf("%d uses succeeded and %d were refused, want 1 and %d", won[compact], lost[compact], callers-1)
		}
	}
}

// tokens are the recorded tokens.
func (h *fixture) tokens(t testing.TB) []ledger.Entry {
	t.Helper()
	if h.db == nil {
		return h.ledger.of(ledger.KindToken)
	}
	var entries []ledger.Entry
	err := h.db.Entries(t.Context(), ledger.Query{Kind: ledger.KindToken}, func(r *ledger.Record) error {
		e, err := r.Entry()
		entries = append(entries, *e)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func TestReplayKeys(t *testing.T) {
	withJTI := func(jti string) func(*spec) { return claim("jti", jti) }
	later := at("exp", 6*time.Minute)
	for _, c := range []struct {
		name          string
		first, second func(*spec)
		same          bool
	}{
		{"the same claims signed twice, without jti", all(), all(), false},
		{"empty jti names nothing", withJTI(""), all(withJTI(""), later), false},
		{"one jti, other claims", withJTI("a"), all(withJTI("a"), later), true},
		{"other jti, same claims", withJTI("a"), withJTI("b"), false},
		{"jti in other case", withJTI("a"), withJTI("A"), false},
		{"one jti, another key of the client", withJTI("a"), all(withJTI("a"), func(s *spec) {
			s.header["kid"], s.key = "key-3", strangerKey
			c := s.client()
			c.Keys = append(c.Keys, registry.Key{Kid: "key-3", Public: publicOf(strangerKey)})
		}), true},
		{"one jti, another client", withJTI("a"), all(withJTI("a"), claim("iss", otherID), claim("sub", otherID), func(s *spec) {
			s.header["kid"], s.key = "key-2", secondKey
		}), false},
		{"one jti, another issuer", withJTI("a"), all(withJTI("a"), func(s *spec) {
			s.issuer.Name = "d2"
			s.client().Issuer = "d2"
		}), false},
		{"jti and signature apart", withJTI("signature"), all(), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newFixture(t, "oauth2")
			first, second := h.spec(), h.spec()
			c.first(first)
			h.gets(t, grantRequest(first.String()))
			c.second(second)
			if c.same {
				h.usedBefore(t, grantRequest(second.String()))
			} else {
				h.gets(t, grantRequest(second.String()))
			}
		})
	}
}

// Anybody can turn (r, s) into (r, n-s) without the key. It stays one use.
func TestMalleatedSignatureIsTheSameUse(t *testing.T) {
	onStores(t, "thales-d1", func(t *testing.T, h *fixture) {
		compact := h.spec().String()
		twin := resigned(compact, malleate)
		if twin == compact {
			t.Fatal("nothing was changed")
		}
		h.gets(t, grantRequest(twin))
		h.usedBefore(t, grantRequest(compact))
		h.usedBefore(t, grantRequest(twin))
	})
}

// resigned changes the signature of a finished assertion.
func resigned(compact string, change func([]byte) []byte) string {
	cut := strings.LastIndexByte(compact, '.')
	return compact[:cut+1] + encode(string(change([]byte(decode(compact[cut+1:])))))
}

// An assertion cannot be a grant and then authenticate a client, or the reverse.
func TestOneUseAcrossGrantAndClientAuthentication(t *testing.T) {
	for _, replay := range []platform.Replay{platform.ReplayOnce, platform.ReplaySameToken} {
		h := newFixture(t, "oauth2")
		h.issuer.Replay = replay
		compact := h.assertion()
		h.gets(t, grantRequest(compact))
		h.usedBefore(t, clientAuthRequest(compact))
		compact = h.assertion()
		h.gets(t, clientAuthRequest(compact))
		h.usedBefore(t, grantRequest(compact))
	}
}

// Client authentication is one use whatever the issuer says of grants.
func TestClientAuthenticationIsAlwaysOneUse(t *testing.T) {
	for _, replay := range []platform.Replay{platform.ReplayOnce, platform.ReplayUntilExp, platform.ReplaySameToken} {
		h := newFixture(t, "oauth2")
		h.issuer.Replay = replay
		compact := h.assertion()
		h.gets(t, clientAuthRequest(compact))
		h.usedBefore(t, clientAuthRequest(compact))
	}
}

func TestUntilExp(t *testing.T) {
	onStores(t, "thales-d1", func(t *testing.T, h *fixture) {
		h.issuer.Replay = platform.ReplayUntilExp
		compact := h.assertion()
		first, second := h.gets(t, grantRequest(compact)), h.gets(t, grantRequest(compact))
		if first.JTI == second.JTI || len(h.tokens(t)) != 2 {
			t.Error("the second token is not one of its own")
		}
		h.now = noon.Add(5*time.Minute + leeway)
		token, err := h.exchange(grantRequest(compact))
		if _, refusal := refusalOf(t, token, err); refusal.Rule != "exp not past" {
			t.Errorf("refused by %q once it is over", refusal.Rule)
		}
	})
}

func TestSameToken(t *testing.T) {
	onStores(t, "thales-d1", func(t *testing.T, h *fixture) {
		h.issuer.Replay = platform.ReplaySameToken
		s := h.spec()
		s.claims["jti"] = "one"
		compact := s.String()
		first := h.gets(t, grantRequest(compact))
		h.now = noon.Add(3*time.Minute + time.Second/2)
		for _, again := range []string{compact, resigned(compact, malleate)} {
			got := h.gets(t, grantRequest(again))
			if got.Token != first.Token || got.JTI != first.JTI || got.Client != clientID || !got.Expires.Equal(first.Expires) || got.Scope.String() != "pay read" {
				t.Errorf("another token came back: %+v, want %+v", got, first)
			}
			if got.ExpiresIn != 12*60-1 {
				t.Errorf("expires_in %d, want 719, the whole seconds that are left", got.ExpiresIn)
			}
		}
		if n := len(h.tokens(t)); n != 1 {
			t.Errorf("%d tokens are recorded, want 1", n)
		}
		h.usedBefore(t, grantRequest(s.String())) // the same claims under another signature
	})
}

// The same assertion gives its token again as long as the token is good for
// something, even if the assertion outlives it.
func TestSameTokenUntilItExpires(t *testing.T) {
	h := newFixture(t, "thales-d1")
	h.issuer.Replay, h.issuer.TokenLifetime = platform.ReplaySameToken, 10*time.Second
	compact := h.assertion()
	h.gets(t, grantRequest(compact))
	h.now = noon.Add(9 * time.Second)
	if left := h.gets(t, grantRequest(compact)).ExpiresIn; left != 1 {
		t.Errorf("expires_in %d, want 1", left)
	}
	h.now = noon.Add(9*time.Second + time.Nanosecond)
	h.usedBefore(t, grantRequest(compact))
}

// Who reads the store cannot read a token from it.
func TestSealedTokenIsNotReadable(t *testing.T) {
	h := newFixture(t, "thales-d1")
	h.issuer.Replay = platform.ReplaySameToken
	token := h.gets(t, grantRequest(h.assertion()))
	for _, use := range h.ledger.used {
		sealed := string(use.Sealed)
		if len(sealed) < len(token.Token) || strings.Contains(sealed, token.Token[:20]) || strings.Contains(sealed, token.JTI) {
			t.Errorf("the store holds %q", sealed)
		}
	}
}

func TestChangedSealIsARefusal(t *testing.T) {
	h := newFixture(t, "thales-d1")
	h.issuer.Replay = platform.ReplaySameToken
	compact := h.assertion()
	h.gets(t, grantRequest(compact))
	for _, use := range h.ledger.used {
		use.Sealed[len(use.Sealed)-1] ^= 1
	}
	h.usedBefore(t, grantRequest(compact))
	for _, use := range h.ledger.used {
		use.Sealed = nil // as the issuer left it while its mode was another
	}
	h.usedBefore(t, grantRequest(compact))
}

// The key is kept until the assertion is refused for its age, whatever the clock
// does meanwhile.
func TestUsedUpUntilItIsTooOld(t *testing.T) {
	h := newFixture(t, "thales-d1")
	compact := h.assertion()
	h.gets(t, grantRequest(compact))
	end := noon.Add(5*time.Minute + leeway)
	for _, use := range h.ledger.used {
		if !use.Until.Equal(end) {
			t.Errorf("kept until %s, want %s", use.Until, end)
		}
	}
	for _, now := range []time.Time{end.Add(-time.Nanosecond), noon.Add(-9 * time.Minute)} {
		h.now = now
		h.usedBefore(t, grantRequest(compact))
	}
	h.now = end
	token, err := h.exchange(grantRequest(compact))
	if _, refusal := refusalOf(t, token, err); refusal.Rule != "exp not past" {
		t.Errorf("refused by %q at the end of its time", refusal.Rule)
	}
}

// A ledger that forgets at that instant opens no gap.
func TestForgettingOpensNoGap(t *testing.T) {
	h := newSQLiteFixture(t, "thales-d1")
	compact := h.assertion()
	h.gets(t, grantRequest(compact))
	end := noon.Add(5*time.Minute + leeway)
	for _, now := range []time.Time{end.Add(-time.Millisecond), end} {
		h.now = now
		if _, err := h.db.Forget(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		token, err := h.exchange(grantRequest(compact))
		refusalOf(t, token, err)
	}
}

// When the ledger cannot tell, nothing is handed out, and the caller may come
// again with the same assertion.
func TestLedgerTroubleCostsNoAssertion(t *testing.T) {
	h := newFixture(t, "thales-d1")
	compact := h.assertion()
	h.ledger.err = errors.New("disk full")
	token, err := h.exchange(grantRequest(compact))
	if e, _ := refusalOf(t, token, err); e.Code != oauth.TemporarilyUnavailable || e.RetryAfter <= 0 {
		t.Errorf("%s after %s", e.Code, e.RetryAfter)
	}
	h.ledger.err = nil
	h.gets(t, grantRequest(compact))
}
