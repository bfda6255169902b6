package authority_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"moneyer/internal/authority"
	"moneyer/internal/ledger"
	"moneyer/internal/overload"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

var (
	strangersAddress = netip.MustParseAddr("192.0.2.66")
	ownersAddress    = netip.MustParseAddr("198.51.100.7")
)

// attempts is how often a stranger repeats a request: more than the owner's rate.
const attempts = 5

// limit gives each client one request a second, with no burst above it.
func (h *fixture) limit() {
	h.ClientRate = overload.NewLimiter[authority.ClientName](overload.Rate{PerSecond: 1, Burst: 1}, 64)
	h.Penalty = overload.NewPenalty[authority.ClientAt](64)
	h.Replayed = overload.NewPenalty[[32]byte](64)
}

// keep returns a function that puts back what an edit changes.
func (h *fixture) keep() (restore func()) {
	issuer, clients := *h.issuer, map[string]registry.Client{}
	for id, c := range h.registry.clients {
		kept := *c
		kept.Keys, kept.Secrets = slices.Clone(c.Keys), slices.Clone(c.Secrets)
		clients[id] = kept
	}
	return func() {
		*h.issuer = issuer
		for id, c := range clients {
			*h.registry.clients[id] = c
		}
	}
}

// ownerPasses asks once as the client itself.
func (h *fixture) ownerPasses(t *testing.T, req *authority.Request) {
	t.Helper()
	req.Address = ownersAddress
	if _, err := h.exchange(req); err != nil {
		t.Errorf("the owner is refused: %v", err)
	}
}

// TestNoBadAssertionSpendsItsClientsRate has a stranger repeat each assertion that a rule
// refuses; the request of the client that it names passes.
func TestNoBadAssertionSpendsItsClientsRate(t *testing.T) {
	for _, u := range uses {
		for _, c := range ruleCases() {
			if c.want(u) == ok {
				continue
			}
			t.Run(u.name+"/"+c.name, func(t *testing.T) {
				h := newFixture(t, u.profile)
				h.limit()
				restore := h.keep()
				s := h.spec()
				c.edit(s)
				req := u.request(s.String())
				req.ClientID, req.Address = s.clientID, strangersAddress
				for range attempts {
					token, err := h.exchange(req)
					if e, _ := refusalOf(t, token, err); e.Code.Retryable() {
						t.Fatalf("refused by %v, want the rule %s", err, c.want(u))
					}
				}
				restore()
				h.ownerPasses(t, u.request(h.assertion()))
			})
		}
	}
}

// stolen is a way to use what a stranger has of a client.
type stolen struct {
	name, profile string
	// steal returns what the stranger repeats; the refusals are by the rule, or any
	// where it is empty.
	steal func(*testing.T, *fixture) func() error
	rule  string
}

func (h *fixture) asStranger(req *authority.Request) func() error {
	req.Address = strangersAddress
	return func() error { _, err := h.exchange(req); return err }
}

var stolenCases = []stolen{
	{"a used assertion", "thales-d1", func(t *testing.T, h *fixture) func() error {
		req := grantRequest(h.assertion())
		h.gets(t, req)
		return h.asStranger(req)
	}, "one use"},
	{"a used assertion of client authentication", "oauth2", func(t *testing.T, h *fixture) func() error {
		req := clientAuthRequest(h.assertion())
		h.gets(t, req)
		return h.asStranger(req)
	}, "one use"},
	{"a used assertion, to introspect", "oauth2", func(t *testing.T, h *fixture) func() error {
		req := clientAuthRequest(h.assertion())
		h.gets(t, req)
		return func() error { _, err := h.introspect(req, "x"); return err }
	}, "one use"},
	{"a used assertion, to revoke", "oauth2", func(t *testing.T, h *fixture) func() error {
		req := clientAuthRequest(h.assertion())
		h.gets(t, req)
		return func() error { return h.Revoke(t.Context(), h.issuer, req, "x") }
	}, "one use"},
	{"an assertion that was used to introspect", "oauth2", func(t *testing.T, h *fixture) func() error {
		req := clientAuthRequest(h.assertion())
		if _, err := h.introspect(req, "x"); err != nil {
			t.Fatal(err)
		}
		return h.asStranger(req)
	}, "one use"},
	{"an unused assertion with a scope that is refused", "thales-d1", func(_ *testing.T, h *fixture) func() error {
		req := grantRequest(h.assertion())
		req.Scope = "no:such:scope"
		return h.asStranger(req)
	}, "scope"},
	{"an unused assertion with a malformed scope", "oauth2", func(_ *testing.T, h *fixture) func() error {
		req := clientAuthRequest(h.assertion())
		req.Scope = "\x01"
		return h.asStranger(req)
	}, "scope"},
	{"a used assertion whose sender hangs up", "thales-d1", func(t *testing.T, h *fixture) func() error {
		req := grantRequest(h.assertion())
		h.gets(t, req)
		h.Authority.Ledger = hungUp{h.ledger}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		return func() error { _, err := h.Exchange(ctx, h.issuer, req); return err }
	}, ""},
	{"the client's id with a wrong secret", "oauth2", func(_ *testing.T, h *fixture) func() error {
		return h.asStranger(secretRequest("mns_guess"))
	}, "secret"},
	{"the client's id without anything", "oauth2", func(_ *testing.T, h *fixture) func() error {
		return h.asStranger(&authority.Request{GrantType: oauth.ClientCredentials, ClientID: clientID})
	}, "client authentication"},
	{"the client's id with a secret, to introspect", "oauth2", func(_ *testing.T, h *fixture) func() error {
		req := secretRequest("mns_guess")
		return func() error { _, err := h.introspect(req, "x"); return err }
	}, "secret"},
	{"an API key that is none", "thales-etp", func(_ *testing.T, h *fixture) func() error {
		return h.asStranger(apiKeyRequest("mnk_guess"))
	}, "API key"},
}

// hungUp is a ledger that does not wait for callers that are gone.
type hungUp struct{ *memoryLedger }

func (l hungUp) Append(ctx context.Context, e *ledger.Entry, consumed ...ledger.Consumed) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return l.memoryLedger.Append(ctx, e, consumed...)
}

// TestNobodySpendsTheRateOfAnother is the same for what only the ledger or the rules after
// authentication refuse: the owner of an assertion is not kept out by who has seen it.
func TestNobodySpendsTheRateOfAnother(t *testing.T) {
	for _, c := range stolenCases {
		t.Run(c.name, func(t *testing.T) {
			h := newFixture(t, c.profile)
			var own *authority.Request
			switch c.profile {
			case "thales-etp":
				h.addAccount()
				own = apiKeyRequest(h.newSecret(t, registry.APIKey))
			case "oauth2":
				own = clientAuthRequest(h.assertion())
			default:
				own = grantRequest(h.assertion())
			}
			repeat := c.steal(t, h)
			h.limit()
			for range attempts {
				_, refusal := refusalOf(t, nil, repeat())
				if c.rule != "" && refusal.Rule != c.rule {
					t.Fatalf("refused by the rule %q, want %q", refusal.Rule, c.rule)
				}
			}
			h.ownerPasses(t, own)
		})
	}
}

// TestARepeatedReplayCostsNothing: the ledger is asked once about a repeated assertion, so
// that not even repeats in flight hold the client's rate.
func TestARepeatedReplayCostsNothing(t *testing.T) {
	h := newFixture(t, "thales-d1")
	req := grantRequest(h.assertion())
	h.gets(t, req)
	h.limit()
	h.usedBefore(t, req)
	h.ledger.err = errors.New("disk full")
	h.gets503(t, grantRequest(h.assertion()))
	h.usedBefore(t, req)
	h.ledger.err = nil
	h.now = h.now.Add(time.Second)
	h.gets(t, grantRequest(h.assertion())) // takes the rate
	h.usedBefore(t, req)                   // and not a 429
}

func (h *fixture) gets503(t *testing.T, req *authority.Request) {
	t.Helper()
	token, err := h.exchange(req)
	if e, _ := refusalOf(t, token, err); e.Code != oauth.TemporarilyUnavailable {
		t.Errorf("%v, want %s", err, oauth.TemporarilyUnavailable)
	}
}

// TestTheSameTokenAgainSpendsTheRate: where the repeat is granted, it is a request like
// any other.
func TestTheSameTokenAgainSpendsTheRate(t *testing.T) {
	h := newFixture(t, "thales-d1")
	h.issuer.Replay = platform.ReplaySameToken
	req := grantRequest(h.assertion())
	first := h.gets(t, req)
	h.limit()
	if again := h.gets(t, req); again.Token != first.Token {
		t.Error("another token")
	}
	token, err := h.exchange(req)
	if e, _ := refusalOf(t, token, err); e.Code != oauth.RateLimited {
		t.Errorf("%v, want %s", err, oauth.RateLimited)
	}
}

// TestAReplayProvesNothing: the refusal of a consumed assertion names its client, but spends
// nothing of what is recorded of clients: others may have seen the assertion.
func TestAReplayProvesNothing(t *testing.T) {
	h := newFixture(t, "thales-d1")
	h.limit()
	h.ClientRate = overload.NewLimiter[authority.ClientName](unlimited, 64)
	req := grantRequest(h.assertion())
	client := h.gets(t, req).Client
	for _, found := range []string{"the ledger", "memory"} {
		token, err := h.exchange(req)
		if _, refusal := refusalOf(t, token, err); refusal.Client != client || refusal.ProvenClient() != "" {
			t.Errorf("a replay that %s knows: client %q, proven %q", found, refusal.Client, refusal.ProvenClient())
		}
	}
	fresh := grantRequest(h.assertion())
	fresh.Scope = "not-registered"
	token, err := h.exchange(fresh)
	if _, refusal := refusalOf(t, token, err); refusal.ProvenClient() != client {
		t.Errorf("a client that asks for too much: proven %q", refusal.ProvenClient())
	}
}
