package authority_test

import (
	"crypto/rand"
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

// pairs is a fixture whose clients show two credentials: a secret with an API key, or
// a secret with a JWT.
type pairs struct {
	*fixture
	secret, apiKey           string // of the client
	otherSecret, otherAPIKey string // of the other client
}

func newPairs(t *testing.T) *pairs {
	t.Helper()
	p := &pairs{fixture: newFixture(t, "oauth2")}
	p.issuer.Profile.Policy.Grants = []platform.Grant{{Type: oauth.ClientCredentials, ClientAuth: []platform.AuthSet{
		{oauth.AuthBasic, oauth.AuthAPIKey}, {oauth.AuthPost, oauth.AuthPrivateKeyJWT},
	}}}
	newSecret := func(id string, kind registry.SecretKind) string {
		_, text, err := p.registry.clients[id].NewSecret(p.issuer, p.Pepper, kind, time.Time{}, p.now)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	p.secret, p.apiKey = newSecret(clientID, registry.ClientSecret), newSecret(clientID, registry.APIKey)
	p.otherSecret, p.otherAPIKey = newSecret(otherID, registry.ClientSecret), newSecret(otherID, registry.APIKey)
	return p
}

func basic(id, secret string) authority.Credential {
	return authority.Credential{Method: oauth.AuthBasic, ID: id, Secret: secret}
}

func post(id, secret string) authority.Credential {
	return authority.Credential{Method: oauth.AuthPost, ID: id, Secret: secret}
}

func apiKey(key string) authority.Credential {
	return authority.Credential{Method: oauth.AuthAPIKey, APIKey: key}
}

func (p *pairs) jwt() authority.Credential {
	return authority.Credential{Method: oauth.AuthPrivateKeyJWT, Assertion: p.assertion()}
}

// otherJWT is by the other client.
func (p *pairs) otherJWT() authority.Credential {
	s := p.spec()
	s.key, s.header["kid"] = secondKey, "key-2"
	s.claims["iss"], s.claims["sub"], s.claims["jti"] = otherID, otherID, rand.Text()
	return authority.Credential{Method: oauth.AuthPrivateKeyJWT, Assertion: s.String()}
}

func showing(all ...authority.Credential) *authority.Request {
	return &authority.Request{GrantType: oauth.ClientCredentials, Credentials: all, Correlation: "corr-1"}
}

// Any order of the credentials will do, at every endpoint, and each is noted as used.
func TestPairs(t *testing.T) {
	p := newPairs(t)
	secretID, keyID := p.client().Secrets[0].ID, p.client().Secrets[1].ID
	for name, c := range map[string]struct {
		shown func() []authority.Credential
		used  []string
	}{
		"secret and key": {func() []authority.Credential {
			return []authority.Credential{basic(clientID, p.secret), apiKey(p.apiKey)}
		}, []string{secretID, keyID}},
		"key and secret": {func() []authority.Credential {
			return []authority.Credential{apiKey(p.apiKey), basic(clientID, p.secret)}
		}, []string{keyID, secretID}},
		"secret and JWT": {func() []authority.Credential { return []authority.Credential{post(clientID, p.secret), p.jwt()} }, []string{secretID, kid}},
		"JWT and secret": {func() []authority.Credential { return []authority.Credential{p.jwt(), post(clientID, p.secret)} }, []string{kid, secretID}},
	} {
		p.registry.touched = nil
		token, err := p.exchange(showing(c.shown()...))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := p.IntrospectFor(t.Context(), p.issuer, showing(c.shown()...), token.Token); err != nil {
			t.Errorf("%s: introspection: %v", name, err)
		}
		var want []string
		for _, id := range slices.Concat(c.used, c.used) {
			want = append(want, "d1 "+clientID+" "+id)
		}
		if !slices.Equal(p.registry.touched, want) {
			t.Errorf("%s: used %q, want %q", name, p.registry.touched, want)
		}
		entries := p.ledger.of(ledger.KindToken)
		if got := entries[len(entries)-1].Credential; got != c.used[0]+" "+c.used[1] {
			t.Errorf("%s: the ledger has credential %q", name, got)
		}
	}
}

// What is not all of one set, each once and of one client, gets nothing, at no endpoint,
// costs nobody's rate, and consumes no JWT.
func TestPairsRefused(t *testing.T) {
	p := newPairs(t)
	type credentials = []authority.Credential
	disabledKey := p.client().Secrets[1]
	for name, c := range map[string]struct {
		shown  credentials
		rule   string
		client string // that the refusal names
	}{
		"nothing":                       {nil, "client authentication", ""},
		"half":                          {credentials{basic(clientID, p.secret)}, "client authentication", ""},
		"the JWT alone":                 {credentials{p.jwt()}, "client authentication", ""},
		"one twice":                     {credentials{basic(clientID, p.secret), basic(clientID, p.secret)}, "client authentication", ""},
		"one twice, of two clients":     {credentials{basic(clientID, p.secret), basic(otherID, p.otherSecret)}, "client authentication", ""},
		"a JWT twice":                   {credentials{p.jwt(), p.jwt()}, "client authentication", ""},
		"halves of two":                 {credentials{basic(clientID, p.secret), p.jwt()}, "client authentication", ""},
		"one and another half":          {credentials{basic(clientID, p.secret), apiKey(p.apiKey), p.jwt()}, "client authentication", ""},
		"both sets":                     {credentials{basic(clientID, p.secret), apiKey(p.apiKey), post(clientID, p.secret), p.jwt()}, "client authentication", ""},
		"key of the other":              {credentials{basic(clientID, p.secret), apiKey(p.otherAPIKey)}, "one client", clientID},
		"secret of the other":           {credentials{apiKey(p.apiKey), basic(otherID, p.otherSecret)}, "one client", clientID},
		"JWT of the other":              {credentials{post(clientID, p.secret), p.otherJWT()}, "one client", clientID},
		"the other's JWT first":         {credentials{p.otherJWT(), post(clientID, p.secret)}, "one client", otherID},
		"a known id with another's key": {credentials{basic(otherID, p.secret), apiKey(p.apiKey)}, "secret", otherID},
		"a wrong secret":                {credentials{apiKey(p.apiKey), basic(clientID, "wrong")}, "secret", clientID},
		"a wrong key":                   {credentials{basic(clientID, p.secret), apiKey("wrong")}, "API key", clientID},
		"a client that is unknown":      {credentials{apiKey(p.apiKey), basic("nobody", p.secret)}, "client", clientID},
		"an empty secret":               {credentials{basic(clientID, ""), apiKey(p.apiKey)}, "secret", clientID},
		"an empty key":                  {credentials{basic(clientID, p.secret), apiKey("")}, "API key", clientID},
		"the secret as the key":         {credentials{basic(clientID, p.secret), apiKey(p.secret)}, "secret", clientID},
		"no JWT":                        {credentials{post(clientID, p.secret), {Method: oauth.AuthPrivateKeyJWT}}, "form", clientID},
		"a method that nobody knows":    {credentials{basic(clientID, p.secret), {Method: "tls_client_auth"}}, "client authentication", ""},
	} {
		p.ClientRate = overload.NewLimiter[authority.ClientName](overload.Rate{PerSecond: 0.001, Burst: 1}, 64)
		token, err := p.exchange(showing(c.shown...))
		e, refusal := refusalOf(t, token, err)
		if e.Code != oauth.InvalidClient || refusal.Rule != c.rule || refusal.Client != c.client {
			t.Errorf("%s: %s by %q of client %q, want invalid_client by %q of %q", name, e.Code, refusal.Rule, refusal.Client, c.rule, c.client)
		}
		if _, err := p.IntrospectFor(t.Context(), p.issuer, showing(c.shown...), "x"); err == nil || oauth.AsError(err).Code != oauth.InvalidClient {
			t.Errorf("%s: introspection: %v", name, err)
		}
		for _, id := range []string{clientID, otherID} {
			if _, ok := p.ClientRate.Take(authority.ClientName{Issuer: "d1", Client: id}, p.now); !ok {
				t.Errorf("%s: it was at the cost of %s", name, id)
			}
		}
	}
	if len(p.ledger.used) > 0 || len(p.registry.touched) > 0 {
		t.Errorf("refusals consumed %d and used %q", len(p.ledger.used), p.registry.touched)
	}
	disabledKey.Disabled = true
	p.client().Secrets[1] = disabledKey
	_, err := p.exchange(showing(basic(clientID, p.secret), apiKey(p.apiKey)))
	if _, refusal := refusalOf(t, nil, err); refusal.Rule != "secret active" {
		t.Errorf("a disabled key beside a good secret: by %q", refusal.Rule)
	}
}

// A JWT beside another credential is consumed, once, and only by what is granted.
func TestPairsConsume(t *testing.T) {
	p := newPairs(t)
	jwt := p.jwt()
	for _, wrong := range []authority.Credential{post(clientID, "wrong"), post(otherID, p.otherSecret)} {
		if _, err := p.exchange(showing(jwt, wrong)); err == nil {
			t.Fatal("granted")
		}
	}
	if _, err := p.exchange(showing(post(clientID, p.secret), jwt)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, err := p.exchange(showing(post(clientID, p.secret), jwt))
		if e, refusal := refusalOf(t, nil, err); e.Code != oauth.InvalidClient || refusal.Rule != "one use" {
			t.Errorf("again: %s by %q", e.Code, refusal.Rule)
		}
		_, err = p.IntrospectFor(t.Context(), p.issuer, showing(jwt, post(clientID, p.secret)), "x")
		if _, refusal := refusalOf(t, nil, err); refusal.Rule != "one use" {
			t.Errorf("again, to introspect: by %q", refusal.Rule)
		}
	}
}

// Whoever holds one of two credentials learns from the time of no answer whether the
// client that a JWT names is registered: a signature is checked either way.
func TestPairsTakeTheSameTime(t *testing.T) {
	p := newPairs(t)
	nobody := p.spec()
	nobody.claims["iss"], nobody.claims["sub"] = "nobody", "nobody"
	unknown := authority.Credential{Method: oauth.AuthPrivateKeyJWT, Assertion: nobody.String()}
	for name, jwt := range map[string]authority.Credential{"a known client": p.otherJWT(), "an unknown one": unknown, "the same": p.jwt()} {
		if n := authority.Verifications(t.Context(), p.Authority, p.issuer, showing(post(clientID, p.secret), jwt), p.now); n != 1 {
			t.Errorf("%s: %d signatures were checked, want 1", name, n)
		}
	}
}

// A token that was bought with two credentials is revoked with either.
func TestPlanOfPairs(t *testing.T) {
	p := newPairs(t)
	token, err := p.exchange(showing(basic(clientID, p.secret), apiKey(p.apiKey)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.exchange(showing(basic(otherID, p.otherSecret), apiKey(p.otherAPIKey))); err != nil {
		t.Fatal(err)
	}
	secretID, keyID := p.client().Secrets[0].ID, p.client().Secrets[1].ID
	for _, credential := range []string{secretID, keyID, secretID + " " + keyID} {
		planned, err := p.Revocations.Plan(t.Context(), p.issuer, authority.Target{Client: clientID, Credential: credential}, p.now)
		if err != nil || !slices.Equal(planned.JTIs, []string{token.JTI}) {
			t.Errorf("credential %q: %+v, %v", credential, planned, err)
		}
	}
	for _, credential := range []string{keyID[1:], secretID[:5], p.registry.clients[otherID].Secrets[0].ID, " "} {
		if planned, err := p.Revocations.Plan(t.Context(), p.issuer, authority.Target{Client: clientID, Credential: credential}, p.now); err == nil {
			t.Errorf("credential %q: %+v", credential, planned)
		}
	}
}
