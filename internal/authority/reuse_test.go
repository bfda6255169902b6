package authority_test

import (
	"testing"
	"time"

	"moneyer/internal/authority"
	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

// reusing is a fixture whose issuer reuses tokens that have more than half of their life left.
func reusing(t *testing.T) (h *fixture, ask func(edit func(*authority.Request)) *authority.AccessToken) {
	t.Helper()
	h = newFixture(t, "oauth2")
	h.issuer.Reuse = 0.5
	secret := h.newSecret(t, registry.ClientSecret)
	return h, func(edit func(*authority.Request)) *authority.AccessToken {
		t.Helper()
		req := secretRequest(secret)
		if edit != nil {
			edit(req)
		}
		return h.gets(t, req)
	}
}

// TestReuse: who asks again gets the token that is there, with what is left of its life, until half of it
// is over. Each time is recorded.
func TestReuse(t *testing.T) {
	h, ask := reusing(t)
	life := h.issuer.TokenLifetime
	first := ask(nil)
	h.now = noon.Add(life/2 - time.Second)
	again := ask(nil)
	if again.Token != first.Token || again.JTI != first.JTI || !again.Expires.Equal(first.Expires) || again.ExpiresIn != int64((life/2+time.Second)/time.Second) {
		t.Errorf("again: %+v, want the token of %+v", again, first)
	}
	if first.ExpiresIn != int64(life/time.Second) {
		t.Error("the first one was changed")
	}
	entries := h.ledger.of(ledger.KindToken)
	if len(entries) != 2 || entries[1].JTI != first.JTI || !entries[1].Time.Equal(h.now) || !entries[1].Expires.Equal(first.Expires) {
		t.Errorf("recorded %+v", entries)
	}
	h.now = noon.Add(life / 2)
	if later := ask(nil); later.Token == first.Token || later.ExpiresIn != int64(life/time.Second) {
		t.Errorf("with half of its life left: %+v", later)
	}
}

// TestReuseIsOff: by default every request gets a token of its own.
func TestReuseIsOff(t *testing.T) {
	h, ask := reusing(t)
	h.issuer.Reuse = 0
	if first, second := ask(nil), ask(nil); first.Token == second.Token {
		t.Error("the same token twice")
	}
}

// TestReuseTellsRequestsApart: what a token says, and for whom and by what it is asked, is the same.
func TestReuseTellsRequestsApart(t *testing.T) {
	h, ask := reusing(t)
	other := h.newSecret(t, registry.ClientSecret)
	first := ask(func(r *authority.Request) { r.Scope = "pay" })
	for name, edit := range map[string]func(*authority.Request){
		"another scope":      func(r *authority.Request) { r.Scope = "read" },
		"a wider scope":      func(r *authority.Request) { r.Scope = "pay read" },
		"another credential": func(r *authority.Request) { r.Scope, r.Credentials[0].Secret = "pay", other },
		"a parameter": func(r *authority.Request) {
			r.Scope, r.Params = "pay", []authority.Param{{Name: "merchant", Value: registry.Attribute{Text: "m"}}}
		},
	} {
		if token := ask(edit); token.Token == first.Token {
			t.Errorf("%s: the same token", name)
		}
	}
	if token := ask(func(r *authority.Request) { r.Scope = "pay" }); token.Token != first.Token {
		t.Error("the first request again: another token")
	}
}

// TestReuseEnds: a token is not handed out again across a revocation, a change of the client or of the
// signing key.
func TestReuseEnds(t *testing.T) {
	for name, change := range map[string]func(*testing.T, *fixture, *authority.AccessToken){
		"revoked by itself": func(t *testing.T, h *fixture, first *authority.AccessToken) {
			if err := h.add(t, h.plan(t, authority.Target{JTI: first.JTI})); err != nil {
				t.Fatal(err)
			}
		},
		"of the client revoked": func(t *testing.T, h *fixture, _ *authority.AccessToken) {
			h.now = h.now.Add(time.Second)
			if err := h.add(t, h.plan(t, authority.Target{Client: clientID})); err != nil {
				t.Fatal(err)
			}
			h.now = h.now.Add(2 * time.Second)
		},
		"the client was changed": func(_ *testing.T, h *fixture, _ *authority.AccessToken) {
			changed := *h.client()
			changed.Scope = oauth.Scope{"pay", "read", "write"}
			h.registry.clients[clientID] = &changed
		},
		"another key signs": func(_ *testing.T, h *fixture, _ *authority.AccessToken) {
			h.Keyring = keyring{signerOf(newKey("ES256"), "ES256", "signing-2")}
		},
	} {
		h, ask := reusing(t)
		first := ask(func(r *authority.Request) { r.Scope = "pay" })
		change(t, h, first)
		if token := ask(func(r *authority.Request) { r.Scope = "pay" }); token.Token == first.Token {
			t.Errorf("%s: the same token", name)
		}
	}
}

// TestReuseIsRevokedOnce: a revocation by credential names a token once, however often it was handed out.
func TestReuseIsRevokedOnce(t *testing.T) {
	h, ask := reusing(t)
	first := ask(nil)
	for range 10 {
		ask(nil)
	}
	credential := h.ledger.of(ledger.KindToken)[0].Credential
	v := h.plan(t, authority.Target{Client: clientID, Credential: credential})
	if len(v.JTIs) != 1 || v.JTIs[0] != first.JTI {
		t.Errorf("%d tokens named, want 1", len(v.JTIs))
	}
}

// TestReuseConsumes: an assertion is good for one answer, whether that is a new token or not.
func TestReuseConsumes(t *testing.T) {
	h := newFixture(t, "thales-d1")
	h.issuer.Reuse = 0.5
	s := h.spec()
	first := h.gets(t, grantRequest(s.String()))
	s.claims["jti"] = "another"
	second := s.String()
	if token := h.gets(t, grantRequest(second)); token.Token != first.Token {
		t.Error("another token for another assertion")
	}
	h.usedBefore(t, grantRequest(second))
}
