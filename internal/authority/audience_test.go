package authority_test

import (
	"context"
	"strings"
	"testing"

	"moneyer/internal/authority"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

const (
	alias = "https://auth.example/d1/legacy/token"
	mtls  = "https://mtls.auth.example/d1"
)

// TestAssertionAudienceOfAClient: a client that is registered for it may send a URL of
// the token endpoint as the aud of its client assertion, and nothing else that others may
// not; each use is told, with what to send.
func TestAssertionAudienceOfAClient(t *testing.T) {
	for _, row := range []struct {
		aud       any
		migrating bool // good for the client that is registered for it
		others    bool
	}{
		{"https://auth.example/d1", true, true},
		{[]string{"https://auth.example/d1"}, true, true},
		{endpoint, true, false},
		{alias, true, false},
		{[]string{endpoint}, true, false},
		{[]string{"https://auth.example/d1", endpoint}, false, false},
		{[]string{endpoint, alias}, false, false},
		{endpoint + "/", false, false},
		{strings.ToUpper(endpoint), false, false},
		{"https://auth.example/d1/introspect", false, false},
		{"https://auth.example/d2/oauth2/token", false, false},
		{"stg", false, false},
		{mtls, false, false},
		{mtls + "/oauth2/token", false, false},
	} {
		for _, setting := range []registry.AssertionAudience{registry.AudienceIssuer, registry.AudienceIssuerOrEndpoint} {
			h := newFixture(t, "oauth2")
			h.issuer.Profile.Wire.Aliases, h.issuer.MTLSURL = []string{"/legacy/token"}, mtls
			h.client().AssertionAudience = setting
			var uses []authority.EndpointAudience
			h.EndpointAudience = func(_ context.Context, use authority.EndpointAudience) { uses = append(uses, use) }
			s := h.spec()
			s.claims["aud"] = row.aud
			req := clientAuthRequest(s.String())
			token, err := h.exchange(req)
			good := row.others || setting == registry.AudienceIssuerOrEndpoint && row.migrating
			if good != (err == nil) {
				t.Errorf("%v with %q: %v", row.aud, setting, err)
			}
			if err != nil {
				e, refusal := refusalOf(t, token, err)
				if e.Code != oauth.InvalidClient || refusal.Rule != "aud" || !strings.HasSuffix(e.Description, "aud must be the issuer identifier, "+h.issuer.URL) {
					t.Errorf("%v: %v by %+v", row.aud, e, refusal)
				}
			}
			if (good && !row.others) != (len(uses) == 1) {
				t.Errorf("%v with %q: told %+v", row.aud, setting, uses)
			}
			for _, use := range uses {
				if use.Issuer != "d1" || use.Client != clientID || use.Correlation != "corr-1" || use.Expected != h.issuer.URL || use.Found == use.Expected {
					t.Errorf("told %+v", use)
				}
			}
			if _, err := h.exchange(req); err == nil || len(uses) > 1 {
				t.Errorf("%v: a replay gives %v and told %+v", row.aud, err, uses)
			}
		}
	}
}

// TestAssertionAudienceIsOfThatClient: neither another client nor a grant may do more by
// the setting, and it holds wherever the client authenticates.
func TestAssertionAudienceIsOfThatClient(t *testing.T) {
	h := newFixture(t, "oauth2")
	h.registry.clients[otherID].AssertionAudience = registry.AudienceIssuerOrEndpoint
	s := h.spec()
	s.claims["aud"] = endpoint
	token, err := h.exchange(clientAuthRequest(s.String()))
	if _, refusal := refusalOf(t, token, err); refusal.Rule != "aud" || !strings.Contains(refusal.Hint, "--client-assertion-audience issuer-or-endpoint") {
		t.Errorf("refused by %+v", refusal)
	}
	h.client().AssertionAudience = registry.AudienceIssuerOrEndpoint
	told := 0
	h.EndpointAudience = func(context.Context, authority.EndpointAudience) { told++ }
	if _, err := h.introspect(clientAuthRequest(s.String()), "x"); err != nil || told != 1 {
		t.Errorf("introspection: %v, told %d times", err, told)
	}
	s.claims["jti"] = "as a grant"
	h.gets(t, grantRequest(s.String())) // the profile takes it
	if told != 1 {
		t.Error("a grant for the endpoint was told")
	}
}

// TestAudienceIsToldAfterTheSignature: whoever has no key learns nothing from the answer.
func TestAudienceIsToldAfterTheSignature(t *testing.T) {
	h := newFixture(t, "oauth2")
	s := h.spec()
	s.claims["aud"], s.key = endpoint, strangerKey
	token, err := h.exchange(clientAuthRequest(s.String()))
	if e, refusal := refusalOf(t, token, err); refusal.Rule != "signature" || e.Description != "client authentication failed" {
		t.Errorf("%v by %+v", e, refusal)
	}
}

// TestMTLSAliasIsNoAudience: the address for clients with certificates changes neither
// issuer nor audience (RFC 8705 §5), whatever the profile accepts.
func TestMTLSAliasIsNoAudience(t *testing.T) {
	for _, u := range uses {
		for _, aud := range []string{mtls, mtls + "/oauth2/token", mtls + "/revoke"} {
			h := newFixture(t, u.profile)
			h.issuer.MTLSURL = mtls
			s := h.spec()
			s.claims["aud"] = aud
			token, err := h.exchange(u.request(s.String()))
			if _, refusal := refusalOf(t, token, err); refusal.Rule != "aud" || !strings.HasSuffix(refusal.Hint, "send "+h.issuer.URL) {
				t.Errorf("%s: aud %s: refused by %+v", u.name, aud, refusal)
			}
		}
	}
}

// TestAssertionAudienceOfATrustedToken: the setting is for what the client signs itself. What
// aud a trusted issuer must write is told where it is the issuer, and not configured.
func TestAssertionAudienceOfATrustedToken(t *testing.T) {
	h := newTrusting(t, "oauth2", "kubernetes")
	h.client().AssertionAudience = registry.AudienceIssuerOrEndpoint
	s := h.token()
	s.claims["aud"] = []string{endpoint}
	if e := h.refused(t, use{isGrant: false}, s, "aud"); !strings.HasSuffix(e.Description, "aud must be the issuer identifier, "+h.issuer.URL) {
		t.Errorf("told %q", e.Description)
	}
	h.trusted.Audience = []string{"a-name-of-ours"}
	if e := h.refused(t, use{isGrant: false}, s, "aud"); e.Description != "client authentication failed" {
		t.Errorf("told %q", e.Description)
	}
	h.trusted.Audience = []string{endpoint} // the configuration's own choice
	h.EndpointAudience = func(context.Context, authority.EndpointAudience) { t.Error("told as the client's mistake") }
	h.gets(t, clientAuthRequest(s.String()))
}
