package authority_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"moneyer/internal/authority"
	"moneyer/internal/ledger"
	"moneyer/internal/overload"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/internal/revocation"
	"moneyer/oauth"
)

// cutOff is a fixture whose registry and ledger cannot be asked, and what it knew last.
type cutOff struct {
	*fixture
	last  *memoryRegistry
	since time.Time
	fresh bool
}

// cut takes the store away. What was known last is what the registry has now.
func (h *fixture) cut() *cutOff {
	c := &cutOff{fixture: h, since: h.now.Add(-10 * time.Second),
		last: &memoryRegistry{clients: maps.Clone(h.registry.clients), accounts: maps.Clone(h.registry.accounts)}}
	h.Stale = c.last
	h.Staleness = func() (time.Time, bool) { return c.since, c.fresh }
	h.registry.err, h.ledger.err = errors.New("down"), errors.New("down")
	return c
}

// TestStaleIfError: while the store is away, each way of asking that changes nothing is
// answered by what was known last, and says so. What is a change has to wait.
func TestStaleIfError(t *testing.T) {
	eachWay(t, func(t *testing.T, h *fixture, req *authority.Request, token *authority.AccessToken) {
		c := h.cut()
		found, err := h.IntrospectFor(t.Context(), h.issuer, req, token.Token)
		if shown(req).Method == oauth.AuthPrivateKeyJWT {
			if e, _ := refusalOf(t, nil, err); e.Code != oauth.TemporarilyUnavailable || e.RetryAfter == 0 {
				t.Errorf("who has to use up an assertion is told %v", err)
			}
		} else if err != nil || found.Token == nil || found.Token.Client != clientID || !found.AsOf.Equal(c.since) || !found.Token.AsOf.Equal(c.since) {
			t.Errorf("%+v, %v", found, err)
		}
		minting := req
		switch h.issuer.Profile.Name {
		case "thales-d1":
			minting = grantRequest(h.assertion())
		case "thales-etp":
			minting = apiKeyRequest(secretOf(req))
		}
		h.ledger.err = nil // the registry alone is away
		for name, err := range map[string]error{
			"giving back": h.Revoke(t.Context(), h.issuer, req, token.Token),
			"a token":     second(h.exchange(minting)),
		} {
			if e, _ := refusalOf(t, nil, err); e.Code != oauth.TemporarilyUnavailable || e.RetryAfter == 0 {
				t.Errorf("%s: %v", name, err)
			}
		}
		if withdrawn, err := h.Revoked(t.Context(), h.issuer, "signing-1", []byte(`{"client_id":"`+clientID+`"}`)); err == nil || withdrawn {
			t.Errorf("a token for the admin API: %v, %v", withdrawn, err)
		}
		h.registry.err = nil // but nothing is heard
		if withdrawn, err := h.Revoked(t.Context(), h.issuer, "signing-1", []byte(`{}`)); err == nil && !withdrawn {
			t.Error("a token for the admin API is judged by revocations that are not all known")
		}
	})
}

func second[T any](_ T, err error) error { return err }

// TestIntrospectStale checks what introspection answers while the store is unavailable.
func TestIntrospectStale(t *testing.T) {
	const active, inactive, unknown = "active", "inactive", "cannot tell"
	for name, row := range map[string]struct {
		profile string
		change  func(*cutOff)
		want    string
		asOf    time.Duration // before now; 0 means as of now
	}{
		"good":                       {"oauth2", func(*cutOff) {}, active, 10 * time.Second},
		"good, of an account":        {"thales-etp", func(*cutOff) {}, active, 10 * time.Second},
		"a client that was disabled": {"oauth2", func(c *cutOff) { c.last.clients = disabled(c.last.clients) }, inactive, 10 * time.Second},
		"a client that was not":      {"oauth2", func(c *cutOff) { delete(c.last.clients, clientID) }, inactive, 10 * time.Second},
		"an account that was not":    {"thales-etp", func(c *cutOff) { c.last.accounts = nil }, inactive, 10 * time.Second},
		"nothing in memory":          {"oauth2", func(c *cutOff) { c.last.err = errors.New("not in memory") }, unknown, 0},
		"no memory":                  {"oauth2", func(c *cutOff) { c.Stale = nil }, unknown, 0},
		"at the edge":                {"oauth2", func(c *cutOff) { c.since = noon.Add(-authority.MaxStale) }, active, authority.MaxStale},
		"too old":                    {"oauth2", func(c *cutOff) { c.since = noon.Add(-authority.MaxStale - 1) }, unknown, 0},
		"just lost":                  {"oauth2", func(c *cutOff) { c.fresh, c.since = true, noon.Add(-time.Second) }, active, time.Second},
		"not heard, but asked":       {"oauth2", func(c *cutOff) { c.registry.err = nil }, active, 10 * time.Second},
		"not heard for too long":     {"oauth2", func(c *cutOff) { c.registry.err, c.since = nil, noon.Add(-authority.MaxStale-1) }, unknown, 0},
		"heard, and asked":           {"oauth2", func(c *cutOff) { c.registry.err, c.fresh = nil, true }, active, 0},
		"a client that is gone by now": {"oauth2", func(c *cutOff) {
			c.registry.err = nil
			delete(c.registry.clients, clientID)
		}, inactive, 10 * time.Second},
		"revoked": {"oauth2", func(c *cutOff) {
			c.ledger.err = nil
			_ = c.Revocations.Add(context.Background(), &revocation.Revocation{Issuer: "d1", All: true, Before: noon.Add(time.Hour), Until: noon.Add(time.Hour)}, &ledger.Entry{Kind: ledger.KindAdmin, Time: noon})
		}, inactive, 10 * time.Second},
	} {
		h := newFixture(t, row.profile)
		h.addAccount()
		api := &registry.Client{Issuer: "d1", ID: "api-1", Introspects: true}
		kind, auth, id := registry.ClientSecret, oauth.AuthPost, "api-1"
		if row.profile == "thales-etp" {
			kind, auth, id = registry.APIKey, oauth.AuthAPIKey, ""
		}
		_, text, err := api.NewSecret(h.issuer, h.Pepper, kind, time.Time{}, noon)
		req := &authority.Request{ClientID: id, Credentials: []authority.Credential{{Method: auth, ID: id, Secret: text, APIKey: text}}}
		if err != nil {
			t.Fatal(err)
		}
		h.registry.add(api)
		token := h.signed(map[string]any{"iss": h.issuer.URL, "client_id": clientID, "sub": "shop-1", "jti": "j", "iat": noon.Unix() - 1, "exp": h.at(time.Hour)})
		c := h.cut()
		row.change(c)
		wantAsOf := time.Time{}
		if row.asOf > 0 {
			wantAsOf = noon.Add(-row.asOf)
		}
		found, err := h.IntrospectFor(t.Context(), h.issuer, req, token)
		got := inactive
		switch {
		case err != nil && oauth.AsError(err).Code == oauth.TemporarilyUnavailable:
			got = unknown
		case err != nil:
			t.Errorf("%s: %v", name, err)
			continue
		case found.Token != nil:
			got = active
		}
		if got != row.want || got != unknown && !found.AsOf.Equal(wantAsOf) {
			t.Errorf("%s: introspection: %s, %+v, %v", name, got, found, err)
		}
		checked, err := h.Introspect(t.Context(), h.issuer, token, h.now)
		switch e := oauth.AsError(err); {
		case e == nil:
			if row.want != active || !checked.AsOf.Equal(wantAsOf) {
				t.Errorf("%s: check: %+v", name, checked)
			}
		case e.Code == oauth.InvalidToken && row.want != inactive, e.Code == oauth.TemporarilyUnavailable && row.want != unknown:
			t.Errorf("%s: check: %v", name, err)
		}
	}
}

func disabled(clients map[string]*registry.Client) map[string]*registry.Client {
	c := *clients[clientID]
	c.Disabled = true
	clients = maps.Clone(clients)
	clients[clientID] = &c
	return clients
}

// TestSecretStale: a wrong secret is refused by stale knowledge, and not
// by what is too old.
func TestSecretStale(t *testing.T) {
	c := newFixture(t, "oauth2").cut()
	for age, code := range map[time.Duration]oauth.Code{time.Second: oauth.InvalidClient, authority.MaxStale + 1: oauth.TemporarilyUnavailable} {
		c.since = noon.Add(-age)
		_, err := c.IntrospectFor(t.Context(), c.issuer, secretRequest("wrong"), "x")
		if e, _ := refusalOf(t, nil, err); e.Code != code {
			t.Errorf("after %v: %v", age, err)
		}
	}
}

// TestStaleWithoutStaleness: without Staleness a stale answer is as of now.
func TestStaleWithoutStaleness(t *testing.T) {
	h := newFixture(t, "oauth2")
	token := must(h.exchange(grantRequest(h.assertion())))
	h.cut().Staleness = nil
	found, err := h.Introspect(t.Context(), h.issuer, token.Token, h.now)
	if err != nil || !found.AsOf.Equal(h.now) {
		t.Errorf("%+v, %v", found, err)
	}
	if until, err := h.KnownUntil(h.now); err != nil || !until.Equal(h.now) {
		t.Errorf("known until %v, %v", until, err)
	}
}

// TestKnownUntil bounds what is published as what is in force.
func TestKnownUntil(t *testing.T) {
	c := newFixture(t, "oauth2").cut()
	for _, row := range []struct {
		age   time.Duration
		fresh bool
		good  bool
	}{{time.Second, true, true}, {time.Hour, true, true}, {time.Second, false, true}, {authority.MaxStale, false, true}, {authority.MaxStale + 1, false, false}} {
		c.since, c.fresh = noon.Add(-row.age), row.fresh
		if until, err := c.KnownUntil(noon); (err == nil) != row.good || row.good && !until.Equal(c.since) {
			t.Errorf("%+v: %v, %v", row, until, err)
		}
	}
}

// TestMintingByKeysThatAreKnown: nothing is minted by a key of which it is not known
// whether the others have forgotten it.
func TestMintingByKeysThatAreKnown(t *testing.T) {
	c := newFixture(t, "oauth2").cut()
	c.registry.err, c.ledger.err = nil, nil
	req := secretRequest(c.newSecret(t, registry.ClientSecret))
	for age, good := range map[time.Duration]bool{time.Second: true, authority.MaxStale: true, authority.MaxStale + 1: false} {
		c.since = noon.Add(-age)
		_, err := c.exchange(req)
		if (err == nil) != good || !good && oauth.AsError(err).Code != oauth.TemporarilyUnavailable {
			t.Errorf("known until %v ago: %v", age, err)
		}
	}
}

// TestSameTokenNotStale: stale knowledge does not decide whether a token may be given
// once more, and the refusal does not say that the assertion was consumed.
func TestSameTokenNotStale(t *testing.T) {
	h := newFixture(t, "thales-d1")
	h.issuer.Replay = platform.ReplaySameToken
	req := grantRequest(h.assertion())
	token := must(h.exchange(req))
	c := h.cut()
	h.registry.err, h.ledger.err = nil, nil
	_, err := h.exchange(req)
	if e, _ := refusalOf(t, nil, err); e.Code != oauth.TemporarilyUnavailable {
		t.Errorf("%v", err)
	}
	c.fresh = true
	if again := must(h.exchange(req)); again.Token != token.Token {
		t.Error("another token")
	}
}

// counting counts the questions to a registry that hangs.
type counting struct {
	*memoryRegistry
	asked int
}

func (c *counting) FindClient(ctx context.Context, _, _ string) (*registry.Client, bool, error) {
	c.asked++
	<-ctx.Done()
	return nil, true, fmt.Errorf("no answer: %w", ctx.Err())
}

// TestRegistryHangs: a registry that hangs is waited for a moment, and once for
// each question; one that was heard a moment ago for as long as the question has.
func TestRegistryHangs(t *testing.T) {
	for fresh, want := range map[bool]time.Duration{false: 250 * time.Millisecond, true: 2 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			h := newFixture(t, "oauth2")
			h.ClientRate = overload.NewLimiter[authority.ClientName](unlimited, 64)
			req := secretRequest(h.newSecret(t, registry.ClientSecret))
			token := must(h.exchange(req))
			c := h.cut()
			c.fresh = fresh
			hangs := &counting{memoryRegistry: h.registry}
			h.Authority.Registry = hangs
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			start := time.Now()
			found, err := h.IntrospectFor(ctx, h.issuer, req, token.Token)
			if took := time.Since(start); err != nil || found.Token == nil || took != want || hangs.asked != 1 {
				t.Errorf("fresh %v: %+v, %v after %v and %d questions", fresh, found, err, took, hangs.asked)
			}
		})
	}
}
