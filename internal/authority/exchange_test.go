package authority_test

import (
	"cmp"
	"context"
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"moneyer/internal/authority"
	"moneyer/internal/evidence"
	"moneyer/internal/jose"
	"moneyer/internal/ledger"
	"moneyer/internal/overload"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

// The claims of each platform's token, in its order.
func TestTokenClaims(t *testing.T) {
	const jti = `"[A-Za-z0-9_-]{21}"`
	rfc9068 := func(lifetime int) string {
		return `{"iss":"https://auth.example/d1","sub":"ACMEGW0001","aud":"https://api.example","client_id":"ACMEGW0001","scope":"pay read",` +
			fmt.Sprintf(`"iat":%d,"exp":%d,"jti":`, noon.Unix(), noon.Unix()+int64(lifetime)) + jti + `}`
	}
	want := map[string]string{
		"grant": rfc9068(900), "private_key_jwt": rfc9068(600),
		"secret":  fmt.Sprintf(`{"jti":%s,"iat":%d,"exp":%d,"iss":"https://auth.example/d1","aud":"ACMEGW0001"}`, jti, noon.Unix(), noon.Unix()+600),
		"API key": fmt.Sprintf(`{"exp":%d,"iss":"https://auth.example/d1","iat":%d,"aud":"https://api.example","sub":"shop-1","trId":"40012345678","scope":"PAYMENT_PASSKEY","jti":%s,"tokens":\["card-1","card-2"\]}`, noon.Unix()+600, noon.Unix(), jti),
	}
	for _, c := range callers {
		h := newFixture(t, c.profile)
		h.now = noon.Add(999 * time.Millisecond)
		token := h.gets(t, c.request(t, h))
		claimsOf(t, token)
		payload := decode(strings.Split(token.Token, ".")[1])
		if !regexp.MustCompile("^" + want[c.name] + "$").MatchString(payload) {
			t.Errorf("%s: claims\n%s\nwant\n%s", c.name, payload, want[c.name])
		}
		lifetime := h.issuer.TokenLifetime
		if token.Client != clientID || !token.Expires.Equal(noon.Add(lifetime)) || token.ExpiresIn != int64(lifetime/time.Second) {
			t.Errorf("%s: token %+v", c.name, token)
		}
		if len(h.registry.touched) != 1 || !strings.HasPrefix(h.registry.touched[0], "d1 "+clientID+" ") || h.registry.touched[0] != "d1 "+clientID+" "+h.tokens(t)[0].Credential {
			t.Errorf("%s: last use is noted as %q", c.name, h.registry.touched)
		}
	}
}

// A scope word of boltPay releases the claim of its name.
func TestReleasedClaims(t *testing.T) {
	h := newFixture(t, "boltpay")
	h.client().Scope = oauth.Scope{"openid", "roles", "username", "status"}
	h.client().Attributes = map[string]registry.Attribute{
		"roles": {List: []string{"admin", `qu"ote`}, IsList: true}, "username": {Text: "ann"}, "permissions": {List: []string{}, IsList: true}, "accountId": {Text: "7"},
	}
	req := secretRequest(h.newSecret(t, registry.ClientSecret))
	req.Scope = "roles openid nonsense username status"
	claims := claimsOf(t, h.gets(t, req))
	if got := fmt.Sprintf("%v %v %v", claims["roles"], claims["username"], claims["scope"]); got != `[admin qu"ote] ann roles openid username status` {
		t.Errorf("released %s", got)
	}
	for _, absent := range []string{"accountId", "permissions", "status", "sub", "openid"} {
		if _, there := claims[absent]; there {
			t.Errorf("claim %s is there, which was not asked for or has no value", absent)
		}
	}
}

func TestGrantScope(t *testing.T) {
	bolt := &platform.Scope{Words: []string{"openid", "roles", "status"}, Unknown: platform.UnknownIgnore, Default: platform.DefaultNothing}
	d1 := &platform.Scope{Unknown: platform.UnknownRefuse, Default: platform.DefaultRegistered}
	client := &registry.Client{Scope: oauth.Scope{"openid", "roles"}}
	for _, c := range []struct {
		name, asked string
		policy      *platform.Scope
		want        string
		refused     bool
	}{
		{"none asked, registered by default", "", d1, "openid roles", false},
		{"none asked, nothing by default", "", bolt, "", false},
		{"one of them", "roles", d1, "roles", false},
		{"in the order asked for", "roles openid", d1, "roles openid", false},
		{"one word twice", "roles roles", d1, "roles", false},
		{"blanks around", "  roles  ", d1, "roles", false},
		{"blanks alone ask for nothing at all", " ", d1, "", false},
		{"not registered", "status", d1, "", true},
		{"one of two not registered", "roles status", d1, "", true},
		{"in other case", "Roles", d1, "", true},
		{"unknown word dropped", "roles root", bolt, "roles", false},
		{"only unknown words", "root", bolt, "", false},
		{"known word that is not registered", "status", bolt, "", true},
		{"tab between", "openid\troles", d1, "", true},
		{"quote", `"roles"`, d1, "", true},
		{"too long", strings.Repeat("a", oauth.MaxScope+1), bolt, "", true},
	} {
		scope, err := authority.GrantScope(c.policy, client, c.asked)
		if c.refused {
			if e, refusal := refusalOf(t, nil, err); e.Code != oauth.InvalidScope || refusal.Rule != "scope" {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if err != nil || scope.String() != c.want {
			t.Errorf("%s: %q, %v, want %q", c.name, scope, err, c.want)
		}
	}
	if client.Scope.String() != "openid roles" {
		t.Error("the client's registered scope was changed")
	}
}

// Who may use which grant.
func TestGrantTypes(t *testing.T) {
	for _, c := range []struct {
		name, profile string
		edit          func(*fixture, *authority.Request)
		code          oauth.Code
		rule          string
	}{
		{"unknown grant", "oauth2", func(_ *fixture, r *authority.Request) { r.GrantType = "password" }, oauth.UnsupportedGrantType, "grant type"},
		{"no grant", "oauth2", func(_ *fixture, r *authority.Request) { r.GrantType = "" }, oauth.UnsupportedGrantType, "grant type"},
		{"grant of another profile", "thales-d1", func(_ *fixture, r *authority.Request) { r.GrantType = oauth.ClientCredentials }, oauth.UnsupportedGrantType, "grant type"},
		{"not this client's", "oauth2", func(h *fixture, _ *authority.Request) { h.client().Grants = []oauth.GrantType{oauth.ClientCredentials} }, oauth.UnauthorizedClient, "client's grants"},
		{"this client's", "oauth2", func(h *fixture, _ *authority.Request) { h.client().Grants = []oauth.GrantType{oauth.JWTBearer} }, "", ""},
		{"issuer disabled", "oauth2", func(h *fixture, _ *authority.Request) { h.issuer.Disabled = true }, oauth.UnauthorizedClient, "issuer enabled"},
		{"a wrong secret beside the assertion", "oauth2", func(_ *fixture, r *authority.Request) {
			r.Credentials = []authority.Credential{{Method: oauth.AuthPost, ID: clientID, Secret: "x"}}
		}, oauth.InvalidClient, "secret"},
		{"an API key beside the assertion", "oauth2", func(_ *fixture, r *authority.Request) {
			r.Credentials = []authority.Credential{{Method: oauth.AuthAPIKey, APIKey: "x"}}
		}, oauth.InvalidClient, "client authentication"},
		{"client_id of another", "oauth2", func(_ *fixture, r *authority.Request) { r.ClientID = otherID }, oauth.InvalidGrant, "iss"},
		{"no assertion", "oauth2", func(_ *fixture, r *authority.Request) { r.Assertion = "" }, oauth.InvalidRequest, "assertion"},
	} {
		h := newFixture(t, c.profile)
		req := grantRequest(h.assertion())
		c.edit(h, req)
		token, err := h.exchange(req)
		if c.code == "" {
			if err != nil {
				t.Errorf("%s: refused: %v", c.name, err)
			}
			continue
		}
		if e, refusal := refusalOf(t, token, err); e.Code != c.code || refusal.Rule != c.rule {
			t.Errorf("%s: %s by rule %q, want %s by %q", c.name, e.Code, refusal.Rule, c.code, c.rule)
		}
		if len(h.ledger.used) != 0 {
			t.Errorf("%s: the assertion was consumed", c.name)
		}
	}
}

// Several secrets are good at once; each ends by itself.
func TestSecretsOverlap(t *testing.T) {
	h := newFixture(t, "boltpay")
	old := h.newSecret(t, registry.ClientSecret)
	h.client().Secrets[0].NotAfter = noon.Add(time.Hour)
	fresh := h.newSecret(t, registry.ClientSecret)
	h.gets(t, secretRequest(old))
	h.gets(t, secretRequest(fresh))
	h.now = noon.Add(time.Hour)
	h.gets(t, secretRequest(fresh))
	token, err := h.exchange(secretRequest(old))
	_, refusal := refusalOf(t, token, err)
	if id := h.client().Secrets[0].ID; refusal.Rule != "secret active" || refusal.Found != "secret "+id+", over since 0s" {
		t.Errorf("refused by %q: %s", refusal.Rule, refusal.Found)
	}
	h.client().Secrets[1].Disabled = true
	_, err = h.exchange(secretRequest(fresh))
	if _, refusal := refusalOf(t, nil, err); !strings.HasSuffix(refusal.Found, ", disabled") {
		t.Errorf("found %s", refusal.Found)
	}
}

// One secret is good for one client and one purpose.
func TestSecretsOfOthers(t *testing.T) {
	h := newFixture(t, "thales-etp")
	h.addAccount()
	c := h.client() // who has a secret from when the issuer had another profile
	secret := registry.Secret{ID: "old", Kind: registry.ClientSecret, Digest: h.Pepper.Digest("mns_old"), Created: noon}
	c.Secrets = append(c.Secrets, secret)
	token, err := h.exchange(apiKeyRequest("mns_old"))
	if e, _ := refusalOf(t, token, err); e.Code != oauth.InvalidClient {
		t.Errorf("a client secret as API key: %s", e.Code)
	}
	token, err = h.exchange(apiKeyRequest("mnk_unknown"))
	if e, refusal := refusalOf(t, token, err); e.Code != oauth.InvalidClient || refusal.Rule != "API key" {
		t.Errorf("an unknown API key: %s by %q", e.Code, refusal.Rule)
	}
	named := apiKeyRequest(h.newSecret(t, registry.APIKey))
	named.ClientID = otherID
	token, err = h.exchange(named)
	if e, refusal := refusalOf(t, token, err); e.Code != oauth.InvalidClient || refusal.Rule != "client_id" {
		t.Errorf("an API key with another client's client_id: %s by %q", e.Code, refusal.Rule)
	}
	h = newFixture(t, "boltpay")
	req := secretRequest(h.newSecret(t, registry.ClientSecret))
	as(req, otherID)
	token, err = h.exchange(req)
	if e, _ := refusalOf(t, token, err); e.Code != oauth.InvalidClient {
		t.Errorf("another client's secret: %s", e.Code)
	}
}

func TestAccounts(t *testing.T) {
	tokens := func(ids ...string) func(*fixture, *authority.Request) {
		return func(_ *fixture, r *authority.Request) {
			setParam(r, "tokens", registry.Attribute{List: ids, IsList: true})
		}
	}
	item := func(i registry.Item) func(*fixture, *authority.Request) {
		return func(h *fixture, r *authority.Request) {
			h.registry.items = append(h.registry.items, i)
			tokens("card-1", i.ID)(h, r)
		}
	}
	for _, c := range []struct {
		name string
		edit func(*fixture, *authority.Request)
		code oauth.Code
		rule string
	}{
		{"as it should be", func(*fixture, *authority.Request) {}, "", ""},
		{"one item", tokens("card-2"), "", ""},
		{"unknown account", func(_ *fixture, r *authority.Request) {
			setParam(r, "merchantId", registry.Attribute{Text: "shop-9"})
		}, oauth.NotFound, "account"},
		{"no account", func(_ *fixture, r *authority.Request) { r.Params = nil }, oauth.NotFound, "account"},
		{"another client's account", func(h *fixture, _ *authority.Request) { h.registry.accounts["shop-1"].Client = otherID }, oauth.NotFound, "account"},
		{"account disabled", func(h *fixture, _ *authority.Request) { h.registry.accounts["shop-1"].Disabled = true }, oauth.NotFound, "account"},
		{"another issuer's account", func(h *fixture, _ *authority.Request) { h.registry.accounts["shop-1"].Issuer = "d2" }, oauth.NotFound, "account"},
		{"unknown item", tokens("card-1", "card-9"), oauth.NotFound, "item"},
		{"another issuer's item", item(registry.Item{Issuer: "d2", ID: "c", Account: "shop-1", Kind: "visa"}), oauth.NotFound, "item"},
		{"another account's item", item(registry.Item{Issuer: "d1", ID: "c", Account: "shop-2", Kind: "visa"}), oauth.InvalidRequest, "item's account"},
		{"another kind", item(registry.Item{Issuer: "d1", ID: "c", Account: "shop-1", Kind: "amex"}), oauth.InvalidRequest, "item's kind"},
		{"scope not registered", func(h *fixture, _ *authority.Request) { h.client().Scope = nil }, oauth.InvalidScope, "scope"},
	} {
		h := newFixture(t, "thales-etp")
		h.addAccount()
		req := apiKeyRequest(h.newSecret(t, registry.APIKey))
		c.edit(h, req)
		token, err := h.exchange(req)
		if c.code == "" {
			if err != nil || h.tokens(t)[0].Subject != "shop-1" {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if e, refusal := refusalOf(t, token, err); e.Code != c.code || refusal.Rule != c.rule {
			t.Errorf("%s: %s by rule %q, want %s by %q", c.name, e.Code, refusal.Rule, c.code, c.rule)
		}
	}
}

// brokenItems is a registry that cannot tell about items.
type brokenItems struct{ *memoryRegistry }

func (brokenItems) Items(ctx context.Context, issuer string, ids []string) ([]registry.Item, error) {
	return nil, errors.New("down")
}

func TestItemsThatCannotBeRead(t *testing.T) {
	h := newFixture(t, "thales-etp")
	h.addAccount()
	h.Registry = brokenItems{h.registry}
	token, err := h.exchange(apiKeyRequest(h.newSecret(t, registry.APIKey)))
	if e, _ := refusalOf(t, token, err); e.Code != oauth.TemporarilyUnavailable {
		t.Errorf("told %s", e.Code)
	}
}

func TestAccountsThatCannotBeRead(t *testing.T) {
	h := newFixture(t, "thales-etp")
	h.addAccount()
	h.Registry = brokenAccounts{h.registry}
	token, err := h.exchange(apiKeyRequest(h.newSecret(t, registry.APIKey)))
	if e, _ := refusalOf(t, token, err); e.Code != oauth.TemporarilyUnavailable {
		t.Errorf("told %s", e.Code)
	}
}

type brokenAccounts struct{ *memoryRegistry }

func (brokenAccounts) Account(context.Context, string, string) (*registry.Account, error) {
	return nil, errors.New("down")
}

// Naming a client uses up nothing of its rate.
func TestClientRate(t *testing.T) {
	h := newFixture(t, "boltpay")
	h.ClientRate = overload.NewLimiter[authority.ClientName](overload.Rate{PerSecond: 1, Burst: 2}, 64)
	req := secretRequest(h.newSecret(t, registry.ClientSecret))
	wrong := secretRequest("wrong")
	for range 5 {
		token, err := h.exchange(wrong)
		refusalOf(t, token, err)
	}
	h.gets(t, req)
	h.gets(t, req)
	token, err := h.exchange(req)
	if e, _ := refusalOf(t, token, err); e.Code != oauth.RateLimited || e.RetryAfter != time.Second {
		t.Errorf("%s after %s", e.Code, e.RetryAfter)
	}
	h.now = h.now.Add(time.Second)
	h.gets(t, req)
}

// TestClientPenalty: once a client was over its rate, whoever names it at the same
// address is refused without a look at the signature until its time has come.
// Elsewhere naming it does nothing, and an unproven request holds nobody up.
func TestClientPenalty(t *testing.T) {
	h := newFixture(t, "thales-d1")
	h.ClientRate = overload.NewLimiter[authority.ClientName](overload.Rate{PerSecond: 1, Burst: 1}, 64)
	h.Penalty = overload.NewPenalty[authority.ClientAt](64)
	here, elsewhere := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	forged := h.spec()
	forged.key = strangerKey
	ask := func(address netip.Addr, assertion string, want oauth.Code) {
		t.Helper()
		req := grantRequest(assertion)
		req.Address = address
		token, err := h.exchange(req)
		if want == "" && err == nil {
			return
		}
		if e, _ := refusalOf(t, token, err); e.Code != want {
			t.Errorf("%s, want %q", e.Code, want)
		}
	}
	for range 3 {
		ask(here, forged.String(), oauth.InvalidGrant)
	}
	ask(here, h.assertion(), "")
	ask(here, forged.String(), oauth.InvalidGrant)
	ask(here, h.assertion(), oauth.RateLimited)
	ask(here, forged.String(), oauth.RateLimited)
	ask(elsewhere, forged.String(), oauth.InvalidGrant)
	h.now = h.now.Add(time.Second)
	ask(here, forged.String(), oauth.InvalidGrant)
	ask(here, h.assertion(), "")
}

// keySource is a client's jwks_uri.
type keySource struct {
	keys  map[string]*jose.PublicKey
	asked []string
	err   error
	// newer is what replaces a key whose signatures do not verify, and renewals counts the questions.
	newer    *jose.PublicKey
	renewals int
	// certificates are the kids of keys with one, by its digest.
	certificates map[[32]byte]string
	// environment that claimed the keys.
	environment string
}

func (k *keySource) Key(ctx context.Context, uri, kid, _ string) (*jose.PublicKey, error) {
	k.asked = append(k.asked, uri+" "+kid)
	if key := k.keys[kid]; key != nil && k.err == nil {
		return key, ctx.Err()
	}
	return nil, cmp.Or(k.err, error(registry.ErrNotFound))
}

func (k *keySource) Newer(_ context.Context, _, _, _ string, _ *jose.PublicKey) *jose.PublicKey {
	k.renewals++
	return k.newer
}

func (k *keySource) Certificate(ctx context.Context, uri string, digest [32]byte) (*registry.Key, error) {
	kid := k.certificates[digest]
	key, err := k.Key(ctx, uri, kid, "")
	return &registry.Key{Kid: kid, Public: key}, err
}

func (k *keySource) Elsewhere(_ context.Context, _ *jose.PublicKey, environment string) error {
	if k.err == nil && k.environment != "" && k.environment != environment {
		return &registry.KeyTakenError{Issuer: "prd", Client: "other", Kid: "remote", Environment: k.environment, Fetched: true}
	}
	return k.err
}

func (k *keySource) Claim(ctx context.Context, key *jose.PublicKey, _ *registry.Client, environment, _ string) error {
	err := k.Elsewhere(ctx, key, environment)
	if err == nil {
		k.environment = environment
	}
	return err
}

// remoteFixture has a client whose one key is at a jwks_uri.
func remoteFixture(t *testing.T, profileName string) (*fixture, *keySource, *spec) {
	t.Helper()
	h := newFixture(t, profileName)
	source := &keySource{keys: map[string]*jose.PublicKey{"remote": publicOf(partnerKey)}}
	h.KeySource, h.client().JWKSURI = source, "https://partner.example/jwks"
	s := h.spec()
	s.header["kid"] = "remote"
	return h, source, s
}

// TestRemoteKeysNeedAnAudience: the keys at a jwks_uri may be those of another
// environment, too, so an assertion by one of them names the issuer, whatever the profile
// asks for. An explanation says so.
func TestRemoteKeysNeedAnAudience(t *testing.T) {
	for _, profileName := range []string{"thales-d1", "thales-d1-banking"} {
		h, source, s := remoteFixture(t, profileName)
		h.gets(t, grantRequest(s.String()))
		delete(s.claims, "aud")
		s.claims["jti"] = "another"
		source.environment = ""
		token, err := h.exchange(grantRequest(s.String()))
		if _, refusal := refusalOf(t, token, err); refusal.Rule != "required claims" || !strings.Contains(refusal.Hint, "wherever the keys at the jwks_uri are") {
			t.Errorf("%s: refused by %+v", profileName, refusal)
		}
		if source.environment != "" {
			t.Error("an assertion for no issuer in particular claims the key")
		}
		findings, err := h.Explain(t.Context(), h.issuer, s.String(), true, h.now)
		i := slices.IndexFunc(findings, func(f evidence.Finding) bool { return f.Rule == "required claims" })
		if err != nil || findings[i].Holds || !strings.Contains(findings[i].Expected, "aud because the key is from the client's jwks_uri") {
			t.Errorf("%s: explained by %+v, %v", profileName, findings[i], err)
		}
	}
}

// TestRemoteKeyOfAnotherEnvironment: a key that is in use elsewhere is refused, and named
// in the log alone; an assertion that is bad in another way claims nothing.
func TestRemoteKeyOfAnotherEnvironment(t *testing.T) {
	h, source, s := remoteFixture(t, "thales-d1")
	for name, edit := range map[string]func(*spec){"by a stranger": func(s *spec) { s.key = strangerKey }, "for another": claim("aud", "https://elsewhere.example"),
		"expired": claim("exp", h.at(-time.Hour))} {
		_, _, bad := remoteFixture(t, "thales-d1")
		edit(bad)
		if _, err := h.exchange(grantRequest(bad.String())); err == nil || source.environment != "" {
			t.Errorf("an assertion %s: %v, and the key belongs to %q", name, err, source.environment)
		}
	}
	source.environment = "prd"
	token, err := h.exchange(grantRequest(s.String()))
	public, refusal := refusalOf(t, token, err)
	if refusal.Rule != "key environment" || !strings.Contains(refusal.Found, `environment "prd"`) || public.Description != "the assertion cannot be verified" {
		t.Errorf("told %q, refused by %+v", public.Description, refusal)
	}
	findings, err := h.Explain(t.Context(), h.issuer, s.String(), true, h.now)
	if last := findings[len(findings)-1]; err != nil || last.Rule != "key environment" || last.Holds {
		t.Errorf("explained by %+v, %v", last, err)
	}
	source.environment = ""
	if findings, err = h.Explain(t.Context(), h.issuer, s.String(), true, h.now); err != nil || !findings[len(findings)-1].Holds || source.environment != "" {
		t.Errorf("explained by %+v, %v", findings[len(findings)-1], err)
	}
	h.gets(t, grantRequest(s.String()))
	if source.environment != "stg" {
		t.Errorf("after a token the key belongs to %q", source.environment)
	}
}

func TestKeysAtAJWKSURI(t *testing.T) {
	const uri = "https://partner.example/jwks"
	for _, c := range []struct {
		name  string
		edit  func(*spec, *keySource)
		rule  string
		asked bool
	}{
		{"published", func(*spec, *keySource) {}, ok, true},
		{"not published", func(_ *spec, k *keySource) { k.keys = nil }, "kid", true},
		{"published, and blocked", func(s *spec, _ *keySource) { s.fixture.BlockedKeys = []string{publicOf(partnerKey).Thumbprint()} }, "kid", true},
		{"does not answer", func(_ *spec, k *keySource) { k.err = errors.New("timeout") }, unavailable, true},
		{"does not answer, for a disabled client", func(s *spec, k *keySource) { s.client().Disabled, k.err = true, errors.New("timeout") }, "client enabled", false},
		{"another key", func(s *spec, _ *keySource) { s.key = strangerKey }, "signature", true},
		{"no kid", func(s *spec, _ *keySource) { delete(s.header, "kid") }, "kid", false},
		{"client disabled", func(s *spec, _ *keySource) { s.client().Disabled = true }, "client enabled", false},
		{"registered too", func(s *spec, k *keySource) {
			k.keys = nil
			s.client().Keys = []registry.Key{{Kid: "remote", Public: publicOf(partnerKey)}}
		}, ok, false},
		{"registered and disabled", func(s *spec, _ *keySource) {
			s.client().Keys = []registry.Key{{Kid: "remote", Public: publicOf(partnerKey), Disabled: true}}
		}, "key active", false},
	} {
		h := newFixture(t, "thales-d1")
		source := &keySource{keys: map[string]*jose.PublicKey{"remote": publicOf(partnerKey)}}
		h.KeySource, h.client().JWKSURI = source, uri
		s := h.spec()
		s.header["kid"] = "remote"
		c.edit(s, source)
		token, err := h.exchange(grantRequest(s.String()))
		switch {
		case c.rule == ok && err != nil:
			t.Errorf("%s: refused: %v", c.name, err)
		case c.rule == unavailable:
			if e := oauth.AsError(err); e.Code != oauth.TemporarilyUnavailable || e.RetryAfter <= 0 || !strings.Contains(err.Error(), "timeout") || len(h.ledger.entries) != 0 {
				t.Errorf("%s: %v, %d entries", c.name, err, len(h.ledger.entries))
			}
		case c.rule != ok:
			if _, refusal := refusalOf(t, token, err); refusal.Rule != c.rule {
				t.Errorf("%s: refused by %q, want %q", c.name, refusal.Rule, c.rule)
			}
		}
		if asked := slices.Equal(source.asked, []string{uri + " remote"}); asked != c.asked || !c.asked && len(source.asked) > 0 {
			t.Errorf("%s: asked %v", c.name, source.asked)
		}
	}
}

// unavailable is the word of a row for the answer while nobody can tell.
const unavailable = "temporarily unavailable"

// TestExplainWithoutKeys: an explanation says that keys could not be fetched, and why.
func TestExplainWithoutKeys(t *testing.T) {
	h, source, s := remoteFixture(t, "thales-d1")
	source.err = errors.New("connection refused")
	findings, err := h.Explain(t.Context(), h.issuer, s.String(), true, h.now)
	i := slices.IndexFunc(findings, func(f evidence.Finding) bool { return f.Rule == "kid" })
	if err != nil || i < 0 || findings[i].Holds || !strings.Contains(findings[i].Found, "connection refused") || !strings.Contains(findings[i].Hint, "503") {
		t.Errorf("%+v, %v", findings, err)
	}
}

// TestReplacedKey: what does not verify with the key at hand is checked with the one that replaced it at
// the jwks_uri, under the same kid.
func TestReplacedKey(t *testing.T) {
	h, source, s := remoteFixture(t, "thales-d1")
	s.key = strangerKey
	source.newer = publicOf(strangerKey)
	h.gets(t, grantRequest(s.String()))
	if source.renewals != 1 {
		t.Errorf("asked %d times", source.renewals)
	}
	_, _, good := remoteFixture(t, "thales-d1")
	good.claims["jti"] = "of the old key"
	h.gets(t, grantRequest(good.String()))
	if source.renewals != 1 {
		t.Error("asked for an assertion that verifies")
	}
	source.newer = nil
	s.claims["jti"] = "another"
	token, err := h.exchange(grantRequest(s.String()))
	if _, refusal := refusalOf(t, token, err); refusal.Rule != "signature" {
		t.Errorf("without another key: %+v", refusal)
	}
}

// TestRemoteKeyWithoutKid: where the profile does not want a kid, the only key at the jwks_uri is meant.
func TestRemoteKeyWithoutKid(t *testing.T) {
	h, source, s := remoteFixture(t, "thales-d1")
	source.keys[""] = publicOf(partnerKey)
	delete(s.header, "kid")
	p := *h.issuer.Profile
	p.Policy.Assertion.Kid = platform.KidOptional
	h.issuer.Profile = &p
	h.gets(t, grantRequest(s.String()))
	if entry := h.ledger.of(ledger.KindToken)[0]; entry.Credential != publicOf(partnerKey).Thumbprint() {
		t.Errorf("recorded %q", entry.Credential)
	}
}

// TestForbiddenClaims: an assertion with a claim that the profile forbids is refused.
func TestForbiddenClaims(t *testing.T) {
	for _, forbidden := range []string{"sub", "aud", "iat", "nbf", "jti"} {
		h := newFixture(t, "thales-d1-banking")
		p := *h.issuer.Profile
		p.Policy.Assertion.Require, p.Policy.Assertion.Forbid = []string{"iss", "exp"}, []string{forbidden}
		h.issuer.Profile = &p
		s := h.spec()
		s.claims["nbf"], s.claims["iat"], s.claims["jti"] = h.at(0), h.at(0), "one"
		token, err := h.exchange(grantRequest(s.String()))
		if _, refusal := refusalOf(t, token, err); refusal.Rule != "forbidden claims" || refusal.Found != forbidden || !strings.Contains(refusal.Hint, forbidden) {
			t.Errorf("%s: %+v", forbidden, refusal)
		}
		delete(s.claims, forbidden)
		h.gets(t, grantRequest(s.String()))
	}
}

// TestClaimsOfClientAuth: as client authentication an assertion has what RFC 7523 §3 wants and what the
// profile requires beside it, and nothing else that the profile forbids.
func TestClaimsOfClientAuth(t *testing.T) {
	for name, c := range map[string]struct {
		require, forbid []string
		without         string // a claim that is left out
		rule            string // that is broken; "" for none
	}{
		"all":                              {[]string{"iat", "nbf", "jti"}, nil, "", ""},
		"required by the profile":          {[]string{"iat", "nbf", "jti"}, nil, "nbf", "required claims"},
		"required by the RFC":              {nil, nil, "sub", "required claims"},
		"not required":                     {nil, nil, "jti", ""},
		"forbidden":                        {nil, []string{"jti"}, "", "forbidden claims"},
		"forbidden, and left out":          {nil, []string{"jti"}, "jti", ""},
		"forbidden as a grant alone":       {nil, []string{"sub", "aud"}, "", ""},
		"forbidden as a grant, and absent": {nil, []string{"sub", "aud"}, "aud", "required claims"},
	} {
		h := newFixture(t, "oauth2")
		p := *h.issuer.Profile
		p.Policy.Assertion.Require, p.Policy.Assertion.Forbid = c.require, c.forbid
		h.issuer.Profile = &p
		s := h.spec()
		s.claims["nbf"], s.claims["iat"], s.claims["jti"] = h.at(0), h.at(0), "one"
		delete(s.claims, c.without)
		if c.rule == "" {
			h.gets(t, clientAuthRequest(s.String()))
			continue
		}
		token, err := h.exchange(clientAuthRequest(s.String()))
		if _, refusal := refusalOf(t, token, err); refusal.Rule != c.rule {
			t.Errorf("%s: %+v, want %s", name, refusal, c.rule)
		}
	}
}

func TestIssuerEndpoints(t *testing.T) {
	h := newFixture(t, "thales-d1")
	p := *h.issuer.Profile
	p.Wire.Aliases = []string{"/token"}
	h.issuer.Profile = &p
	if got := h.issuer.Endpoints(); !slices.Equal(got, []string{endpoint, "https://auth.example/d1/token"}) {
		t.Errorf("endpoints %v", got)
	}
	for aud, good := range map[string]bool{"https://auth.example/d1/token": true, "https://auth.example/d1/tokens": false, "https://auth.example/d2/token": false} {
		s := h.spec()
		s.claims["aud"] = aud
		if _, err := h.exchange(grantRequest(s.String())); (err == nil) != good {
			t.Errorf("aud %s: %v", aud, err)
		}
	}
}

// An identifier of 126 random bits, in characters that every platform takes.
func TestJTIs(t *testing.T) {
	h := newFixture(t, "thales-d1")
	seen := map[string]bool{}
	for range 200 {
		jti := h.gets(t, grantRequest(h.assertion())).JTI
		if raw, err := base64.RawURLEncoding.DecodeString(jti[:20]); err != nil || len(raw) != 15 || len(jti) != 21 || seen[jti] {
			t.Fatalf("jti %q", jti)
		}
		seen[jti] = true
	}
}

// brokenSigner is a key whose hardware is gone.
type brokenSigner struct{ crypto.Signer }

func (brokenSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("the HSM is gone")
}

func TestASignerThatFails(t *testing.T) {
	h := newFixture(t, "thales-d1")
	h.Keyring = keyring{signerOf(brokenSigner{newKey(jose.ES256)}, jose.ES256, "hsm")}
	compact := h.assertion()
	token, err := h.exchange(grantRequest(compact))
	if e, _ := refusalOf(t, token, err); e.Code != oauth.TemporarilyUnavailable || !strings.Contains(err.Error(), "the HSM is gone") {
		t.Errorf("%v", err)
	}
	h.Keyring = keyring{tokenSigner}
	h.gets(t, grantRequest(compact))
}

// A platform may know accounts without their items, and parameters that
// become claims only when they are sent.
func TestAccountsWithoutItems(t *testing.T) {
	h := newFixture(t, "thales-etp")
	h.addAccount()
	p := *h.issuer.Profile
	p.Policy.Account.Items = ""
	h.issuer.Profile = &p
	req := apiKeyRequest(h.newSecret(t, registry.APIKey))
	req.Params = req.Params[:1]
	if _, there := claimsOf(t, h.gets(t, req))["tokens"]; there {
		t.Error("a claim without its parameter")
	}
}

func TestSignatureHints(t *testing.T) {
	for _, c := range []struct {
		alg  string
		size int
		hint string
	}{
		{"ES256", 96, "P-384"}, {"ES256", 132, "P-521"}, {"ES256", 64, "another private key"}, {"RS256", 96, "another private key"},
	} {
		hint := evidence.SignatureHint(&jose.JWS{Header: jose.Header{Alg: c.alg}, Signature: make([]byte, c.size)})
		if !strings.Contains(hint, c.hint) {
			t.Errorf("%s of %d bytes: %q, want %q", c.alg, c.size, hint, c.hint)
		}
	}
}
