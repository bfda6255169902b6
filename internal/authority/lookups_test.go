package authority_test

import (
	"context"
	"errors"
	"testing"

	"moneyer/internal/authority"
	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/internal/store"
	"moneyer/oauth"
)

// askedStore is a store that counts the questions to its database, and may lose it.
type askedStore struct {
	*store.DB
	asked int
	down  bool
}

func (s *askedStore) count(c *registry.Client, asked bool, err error) (*registry.Client, bool, error) {
	if asked {
		s.asked++
	}
	if asked && s.down {
		return nil, true, errors.New("down")
	}
	return c, asked, err
}

func (s *askedStore) FindClient(ctx context.Context, issuer, id string) (*registry.Client, bool, error) {
	return s.count(s.DB.FindClient(ctx, issuer, id))
}

func (s *askedStore) FindClientByDigest(ctx context.Context, issuer string, key registry.Digest) (*registry.Client, bool, error) {
	return s.count(s.DB.FindClientByDigest(ctx, issuer, key))
}

// newAskedFixture has its registry in SQLite, with a client of each kind: known, disabled,
// and nobody.
func newAskedFixture(t *testing.T, profileName string) (*fixture, *askedStore) {
	t.Helper()
	h := newSQLiteFixture(t, profileName)
	s := &askedStore{DB: h.db}
	other := h.registry.clients[otherID]
	other.Disabled, other.Keys = true, other.Keys[:1] // the spare key is that of both
	for _, c := range h.registry.clients {
		if err := h.db.PutClient(t.Context(), c, &ledger.Entry{Kind: ledger.KindAdmin, Time: noon, Actor: "test"}); err != nil {
			t.Fatal(err)
		}
	}
	h.Authority.Registry = s
	return h, s
}

// lookup is a request that is refused before its client is proven.
type lookup struct {
	name, profile string
	request       func(*testing.T, *fixture) *authority.Request
}

func ofAssertion(name string, isGrant bool, edit func(*spec)) lookup {
	use := map[bool]string{true: "grant: ", false: "client authentication: "}[isGrant]
	return lookup{use + name, "oauth2", func(_ *testing.T, h *fixture) *authority.Request {
		s := h.spec()
		edit(s)
		req := clientAuthRequest(s.String())
		if isGrant {
			req = grantRequest(s.String())
		}
		req.ClientID = s.clientID
		return req
	}}
}

func wrongSecret(name, id string) lookup {
	return lookup{name, "oauth2", func(*testing.T, *fixture) *authority.Request { return as(secretRequest("mns_guess"), id) }}
}

func lookups() []lookup {
	list := []lookup{
		wrongSecret("secret of a known client", clientID), wrongSecret("secret of an unknown client", "NOBODY0000"), wrongSecret("secret of a disabled client", otherID),
		{"an unknown API key", "thales-etp", func(*testing.T, *fixture) *authority.Request { return apiKeyRequest("mnk_guess") }},
	}
	for _, isGrant := range []bool{true, false} {
		list = append(list,
			ofAssertion("unknown client", isGrant, all(claim("iss", "NOBODY0000"), claim("sub", "NOBODY0000"))),
			ofAssertion("unknown client and kid", isGrant, all(claim("iss", "NOBODY0000"), claim("sub", "NOBODY0000"), header("kid", "none"))),
			ofAssertion("known client, unknown kid", isGrant, header("kid", "none")),
			ofAssertion("known client and kid, wrong signature", isGrant, func(s *spec) { s.key = strangerKey }),
			ofAssertion("known client, another alg", isGrant, header("alg", "RS256")),
			ofAssertion("known client, another client_id", isGrant, func(s *spec) { s.clientID = "NOBODY0000" }),
			ofAssertion("disabled client", isGrant, all(claim("iss", otherID), claim("sub", otherID), header("kid", "key-2"))),
			ofAssertion("expired", isGrant, at("exp", -maxLifetime)))
	}
	return list
}

// TestOneLookupForAnyClient: however a caller names a client, known, unknown or disabled,
// its refusal takes one question to the database, at each endpoint, whether the client is
// in memory or not.
func TestOneLookupForAnyClient(t *testing.T) {
	for _, c := range lookups() {
		t.Run(c.name, func(t *testing.T) {
			h, s := newAskedFixture(t, c.profile)
			ask := map[string]func(*authority.Request) error{
				"token": func(req *authority.Request) error { _, err := h.exchange(req); return err },
			}
			if shown(c.request(t, h)).Method != "" {
				ask["introspection"] = func(req *authority.Request) error { _, err := h.introspect(req, "x"); return err }
				ask["revocation"] = func(req *authority.Request) error { return h.Revoke(t.Context(), h.issuer, req, "x") }
			}
			for endpoint, send := range ask {
				for _, memory := range []string{"first", "later", "again"} {
					s.asked = 0
					if e, _ := refusalOf(t, nil, send(c.request(t, h))); e.Code != oauth.InvalidClient && e.Code != oauth.InvalidGrant {
						t.Fatalf("%s: %v", endpoint, e)
					}
					if s.asked != 1 {
						t.Errorf("%s, %s: %d questions to the database, want 1", endpoint, memory, s.asked)
					}
				}
			}
			s.down = true
			for endpoint, send := range ask {
				if e, _ := refusalOf(t, nil, send(c.request(t, h))); e.Code != oauth.TemporarilyUnavailable {
					t.Errorf("%s without the database: %v, want %s as for any client", endpoint, e, oauth.TemporarilyUnavailable)
				}
			}
		})
	}
}

// TestAKnownClientIsNotAskedFor: what is granted takes no question once the client is in
// memory.
func TestAKnownClientIsNotAskedFor(t *testing.T) {
	h, s := newAskedFixture(t, "oauth2")
	h.gets(t, grantRequest(h.assertion()))
	s.asked = 0
	h.gets(t, grantRequest(h.assertion()))
	h.gets(t, clientAuthRequest(h.assertion()))
	req := grantRequest(h.assertion())
	req.Scope = "no:such:scope"
	_, err := h.exchange(req) // refused, but proven
	refusalOf(t, nil, err)
	if s.asked != 0 {
		t.Errorf("%d questions to the database", s.asked)
	}
}
