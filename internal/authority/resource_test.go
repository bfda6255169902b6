package authority_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"moneyer/internal/authority"
	"moneyer/internal/jose"
	"moneyer/internal/ledger"
	"moneyer/internal/overload"
	"moneyer/internal/registry"
	"moneyer/internal/revocation"
	"moneyer/oauth"
)

// asking is each way in which a client authenticates beside the token endpoint.
var asking = map[string]func(h *fixture, t testing.TB) *authority.Request{
	"oauth2 client_secret_post": func(h *fixture, t testing.TB) *authority.Request {
		return secretRequest(h.newSecret(t, registry.ClientSecret))
	},
	"oauth2 client_secret_basic": func(h *fixture, t testing.TB) *authority.Request {
		req := secretRequest(h.newSecret(t, registry.ClientSecret))
		shown(req).Method = oauth.AuthBasic
		return req
	},
	"oauth2 private_key_jwt":    func(h *fixture, _ testing.TB) *authority.Request { return clientAuthRequest(h.assertion()) },
	"thales-d1 private_key_jwt": func(h *fixture, _ testing.TB) *authority.Request { return clientAuthRequest(h.assertion()) },
	"thales-etp api_key": func(h *fixture, t testing.TB) *authority.Request {
		return &authority.Request{Credentials: []authority.Credential{{Method: oauth.AuthAPIKey, APIKey: h.newSecret(t, registry.APIKey)}}, Correlation: "corr-1"}
	},
}

// eachWay runs a test for each way of asking, with a token of the client.
func eachWay(t *testing.T, test func(t *testing.T, h *fixture, req *authority.Request, token *authority.AccessToken)) {
	for name, way := range asking {
		t.Run(name, func(t *testing.T) {
			var profileName string
			_, _ = fmt.Sscan(name, &profileName)
			h := newFixture(t, profileName)
			var token *authority.AccessToken
			switch profileName {
			case "thales-etp":
				h.addAccount()
				token = h.mint(t, h.newSecret(t, registry.APIKey))
			default:
				token = must(h.exchange(grantRequest(h.assertion())))
			}
			req := way(h, t)
			h.registry.touched, h.ledger.entries = nil, nil
			test(t, h, req, token)
		})
	}
}

// introspect asks, and reports whether the token is active.
func (h *fixture) introspect(req *authority.Request, token string) (bool, error) {
	found, err := h.IntrospectFor(context.Background(), h.issuer, req, token)
	return found != nil && found.Token != nil, err
}

// TestIdentify: a client that authenticates is told of its token, the credential
// counts as used, and only a JWT, which is consumed, leaves an entry.
func TestIdentify(t *testing.T) {
	eachWay(t, func(t *testing.T, h *fixture, req *authority.Request, token *authority.AccessToken) {
		if active, err := h.introspect(req, token.Token); err != nil || !active {
			t.Fatalf("active %v, %v", active, err)
		}
		credential := kid
		if shown(req).Method != oauth.AuthPrivateKeyJWT {
			credential = h.client().Secrets[len(h.client().Secrets)-1].ID
		}
		if want := []string{"d1 " + clientID + " " + credential}; !slices.Equal(h.registry.touched, want) {
			t.Errorf("touched %q, want %q", h.registry.touched, want)
		}
		active, err := h.introspect(req, token.Token)
		if shown(req).Method != oauth.AuthPrivateKeyJWT {
			if err != nil || !active || len(h.ledger.entries) != 0 {
				t.Errorf("once more: %v, %v; the ledger has %+v", active, err, h.ledger.entries)
			}
			return
		}
		e, refusal := refusalOf(t, nil, err)
		if active || e.Code != oauth.InvalidClient || refusal.Rule != "one use" {
			t.Errorf("the assertion once more: %v, %v", active, err)
		}
		h.flush(t)
		want := []ledger.Entry{
			{Kind: ledger.KindAuthentication, Time: noon, Issuer: "d1", Client: clientID, Correlation: "corr-1", Credential: kid},
			{Kind: ledger.KindRefusal, Time: noon, Issuer: "d1", Client: clientID, Correlation: "corr-1", Credential: kid,
				Code: "invalid_client", Rule: "one use", Expected: refusal.Expected, Found: refusal.Found},
		}
		if !slices.Equal(h.ledger.entries, want) {
			t.Errorf("the ledger has\n%+v, want\n%+v", h.ledger.entries, want)
		}
	})
}

// TestIdentifyRefused: who may not ask learns nothing, and it is recorded.
func TestIdentifyRefused(t *testing.T) {
	eachWay(t, func(t *testing.T, h *fixture, req *authority.Request, token *authority.AccessToken) {
		for name, fault := range map[string]struct {
			rule string
			make func(*authority.Request) (undo func())
		}{
			"not at all": {"client authentication", func(r *authority.Request) func() { r.Credentials = nil; return func() {} }},
			"disabled": {"client enabled", func(*authority.Request) func() {
				h.client().Disabled = true
				return func() { h.client().Disabled = false }
			}},
			"over its rate": {"client rate", func(*authority.Request) func() {
				h.ClientRate = overload.NewLimiter[authority.ClientName](overload.Rate{PerSecond: 1, Burst: 1}, 64)
				h.ClientRate.Take(authority.ClientName{Issuer: "d1", Client: clientID}, h.now)
				return func() { h.ClientRate = overload.NewLimiter[authority.ClientName](unlimited, 64) }
			}},
		} {
			asked := *copyOf(req)
			undo := fault.make(&asked)
			h.ledger.entries = nil
			_, err := h.introspect(&asked, token.Token)
			_, refusal := refusalOf(t, nil, err)
			_, alike := refusalOf(t, nil, h.Revoke(t.Context(), h.issuer, &asked, token.Token))
			undo()
			h.flush(t)
			refused := h.ledger.of(ledger.KindRefusal)
			if refusal.Rule != fault.rule || alike.Rule != fault.rule || len(refused) != 2 || refused[0].Rule != fault.rule || len(h.ledger.entries) != 2 {
				t.Errorf("%s: rules %q and %q, the ledger has %+v", name, refusal.Rule, alike.Rule, h.ledger.entries)
			}
		}
		if len(h.registry.touched) != 0 {
			t.Errorf("touched %q", h.registry.touched)
		}
		if active, err := h.introspect(req, token.Token); err != nil || !active {
			t.Errorf("afterwards: %v, %v: what was refused used something up", active, err)
		}
	})
}

// TestIdentifyAudience: as client authentication a JWT is for the issuer alone
// (RFC 10070), whatever the profile takes in grants.
func TestIdentifyAudience(t *testing.T) {
	for _, profileName := range []string{"oauth2", "thales-d1", "thales-d1-banking"} {
		h := newFixture(t, profileName)
		for _, row := range []struct {
			aud  any
			good bool
		}{
			{h.issuer.URL, true}, {h.issuer.Endpoints()[0], false}, {h.issuer.URL + "/introspect", false}, {"stg", false},
			{[]string{h.issuer.URL}, true}, {[]string{h.issuer.Endpoints()[0]}, false}, {[]string{h.issuer.URL, "https://evil.example"}, false}, {nil, false},
		} {
			s := h.spec()
			s.claims["aud"], s.claims["jti"] = row.aud, fmt.Sprint(row.aud)
			if row.aud == nil {
				delete(s.claims, "aud")
			}
			if _, err := h.introspect(clientAuthRequest(s.String()), "x"); (err == nil) != row.good {
				t.Errorf("%s: aud %v: %v", profileName, row.aud, err)
			}
		}
	}
}

// TestGivenBack: a client's own token is withdrawn once, in one step with its
// entry; another's, or what is none, changes nothing and tells nothing.
func TestGivenBack(t *testing.T) {
	eachWay(t, func(t *testing.T, h *fixture, req *authority.Request, token *authority.AccessToken) {
		again := func() *authority.Request {
			if shown(req).Method == oauth.AuthPrivateKeyJWT {
				return clientAuthRequest(h.assertion())
			}
			return req
		}
		payload := string(must(jose.Parse(token.Token)).Payload)
		for name, other := range map[string]string{
			"garbage": "x", "nothing": "", "unsigned": encode(`{"alg":"none"}`) + "." + encode(payload) + ".",
			"another type":   string(must(tokenSigner.As("token-introspection+jwt").Sign(nil, []byte(payload)))),
			"another key":    string(must(signerOf(strangerKey, jose.ES256, "signing-1").As(h.issuer.Profile.Policy.Token.Typ).Sign(nil, []byte(payload)))),
			"another issuer": h.signed(map[string]any{"iss": "https://auth.example/d2", "client_id": clientID, "jti": token.JTI, "exp": h.at(time.Hour)}),
			"another client": h.signed(map[string]any{"iss": h.issuer.URL, "client_id": otherID, "sub": "shop-2", "jti": "o", "exp": h.at(time.Hour)}),
			"ended":          h.signed(map[string]any{"iss": h.issuer.URL, "client_id": clientID, "sub": "shop-1", "jti": token.JTI, "exp": h.at(0)}),
			"without a jti":  h.signed(map[string]any{"iss": h.issuer.URL, "client_id": clientID, "sub": "shop-1", "exp": h.at(time.Hour)}),
		} {
			if err := h.Revoke(t.Context(), h.issuer, again(), other); err != nil || len(h.ledger.revocations) != 0 {
				t.Errorf("%s: %v, revoked %+v", name, err, h.ledger.revocations)
			}
		}
		for range 2 {
			if err := h.Revoke(t.Context(), h.issuer, again(), token.Token); err != nil {
				t.Fatal(err)
			}
		}
		given := h.ledger.of(ledger.KindAdmin)
		want := ledger.Entry{Kind: ledger.KindAdmin, Time: noon, Issuer: "d1", Client: clientID, Correlation: "corr-1", JTI: token.JTI,
			Actor: "client " + clientID, Action: "revoke", Object: "tokens/" + token.JTI}
		if len(given) != 1 || given[0] != want {
			t.Errorf("the ledger has\n%+v, want\n%+v", given, want)
		}
		if put := h.ledger.revocations; len(put) != 1 || !slices.Equal(put[0].JTIs, []string{token.JTI}) || !put[0].Until.Equal(token.Expires.Add(authority.VerifierLeeway)) {
			t.Errorf("revoked %+v", put)
		}
		if h.live(t, token) {
			t.Error("the token is good")
		}
	})
}

// signed is a token of the fixture with those claims.
func (h *fixture) signed(claims map[string]any) string {
	return string(must(tokenSigner.As(h.issuer.Profile.Policy.Token.Typ).Sign(nil, must(json.Marshal(claims)))))
}

// TestGivenBackDuringTrouble: what cannot be done now is not said to be done.
func TestGivenBackDuringTrouble(t *testing.T) {
	for _, profileName := range []string{"oauth2", "thales-etp"} {
		for name, trouble := range map[string]func(*fixture, error){
			"ledger":   func(h *fixture, err error) { h.ledger.err = err },
			"registry": func(h *fixture, err error) { h.registry.err = err },
		} {
			h := newFixture(t, profileName)
			var req *authority.Request
			if profileName == "thales-etp" {
				h.addAccount()
				req = apiKeyRequest(h.newSecret(t, registry.APIKey))
			} else {
				req = secretRequest(h.newSecret(t, registry.ClientSecret))
			}
			token := must(h.exchange(req))
			trouble(h, errors.New("down"))
			if e, _ := refusalOf(t, nil, h.Revoke(t.Context(), h.issuer, req, token.Token)); e.Code != oauth.TemporarilyUnavailable || e.RetryAfter == 0 {
				t.Errorf("%s, %s down: %v", profileName, name, e)
			}
			if _, err := h.introspect(req, token.Token); (err != nil) != (name == "registry") {
				t.Errorf("%s, %s down, introspection: %v", profileName, name, err)
			}
			if trouble(h, nil); !h.live(t, token) {
				t.Errorf("%s, %s: the token is gone", profileName, name)
			}
		}
	}
}

// TestGivenBackWhileAccountCannotBeFound: the registry goes down after the client
// was found.
func TestGivenBackWhileAccountCannotBeFound(t *testing.T) {
	h := newFixture(t, "thales-etp")
	h.addAccount()
	req := apiKeyRequest(h.newSecret(t, registry.APIKey))
	token := must(h.exchange(req))
	h.Authority.Registry = noAccounts{h.registry}
	if e, _ := refusalOf(t, nil, h.Revoke(t.Context(), h.issuer, req, token.Token)); e.Code != oauth.TemporarilyUnavailable {
		t.Errorf("%v", e)
	}
	if _, err := h.introspect(req, token.Token); err == nil {
		t.Error("introspection can tell")
	}
}

// noAccounts cannot tell of accounts.
type noAccounts struct{ *memoryRegistry }

func (noAccounts) Account(context.Context, string, string) (*registry.Account, error) {
	return nil, errors.New("down")
}

// TestAuthenticationNotRecorded: an assertion that may or may not be consumed
// authenticates nobody.
func TestAuthenticationNotRecorded(t *testing.T) {
	h := newFixture(t, "oauth2")
	h.ledger.err = errors.New("down")
	_, err := h.introspect(clientAuthRequest(h.assertion()), "x")
	if e, _ := refusalOf(t, nil, err); e.Code != oauth.TemporarilyUnavailable {
		t.Errorf("%v", e)
	}
}

// TestIntrospectFor tells a client of its own tokens, and of others' only where it
// was given that right.
func TestIntrospectFor(t *testing.T) {
	h := newFixture(t, "oauth2")
	mine := must(h.exchange(grantRequest(h.assertion())))
	req := secretRequest(h.newSecret(t, registry.ClientSecret))
	other := as(copyOf(req), otherID)
	h.registry.clients[otherID].Secrets = h.client().Secrets
	for _, row := range []struct {
		req                 *authority.Request
		introspects, active bool
	}{{req, false, true}, {other, false, false}, {other, true, true}, {req, true, true}} {
		h.registry.clients[row.req.ClientID].Introspects = row.introspects
		found, err := h.IntrospectFor(t.Context(), h.issuer, row.req, mine.Token)
		if err != nil || found.Caller != row.req.ClientID || (found.Token != nil) != row.active || row.active && found.Token.Client != clientID {
			t.Errorf("%s, introspects %v: %+v, %v", row.req.ClientID, row.introspects, found, err)
		}
	}
}

// TestIntrospect judges tokens that the issuer's key signed, as things stand.
func TestIntrospect(t *testing.T) {
	good := map[string]any{"iss": "https://auth.example/d1", "client_id": clientID, "sub": "shop-1", "jti": "j", "iat": noon.Unix(), "exp": noon.Unix() + 1}
	for name, row := range map[string]struct {
		profile string
		change  func(*fixture, map[string]any)
		code    oauth.Code // "" means active
	}{
		"good":                       {"oauth2", func(*fixture, map[string]any) {}, ""},
		"at its end":                 {"oauth2", func(h *fixture, _ map[string]any) { h.now = noon.Add(time.Second) }, oauth.InvalidToken},
		"before its end":             {"oauth2", func(h *fixture, _ map[string]any) { h.now = noon.Add(time.Second - 1) }, ""},
		"no end":                     {"oauth2", func(_ *fixture, c map[string]any) { delete(c, "exp") }, oauth.InvalidToken},
		"an end of another type":     {"oauth2", func(_ *fixture, c map[string]any) { c["exp"] = "1795435200" }, oauth.InvalidToken},
		"another issuer":             {"oauth2", func(_ *fixture, c map[string]any) { c["iss"] = "https://auth.example/d1/" }, oauth.InvalidToken},
		"a client that is gone":      {"oauth2", func(_ *fixture, c map[string]any) { c["client_id"] = "GONE" }, oauth.InvalidToken},
		"a client that is disabled":  {"oauth2", func(h *fixture, _ map[string]any) { h.client().Disabled = true }, oauth.InvalidToken},
		"a disabled issuer":          {"oauth2", func(h *fixture, _ map[string]any) { h.issuer.Disabled = true }, oauth.InvalidToken},
		"a key that is gone":         {"oauth2", func(h *fixture, _ map[string]any) { h.Authority.Keyring = keyring{} }, oauth.InvalidToken},
		"a registry down":            {"oauth2", func(h *fixture, _ map[string]any) { h.registry.err = errors.New("down") }, oauth.TemporarilyUnavailable},
		"no client named":            {"oauth2", func(_ *fixture, c map[string]any) { delete(c, "client_id") }, ""},
		"an account":                 {"thales-etp", func(*fixture, map[string]any) {}, ""},
		"an account that is gone":    {"thales-etp", func(_ *fixture, c map[string]any) { c["sub"] = "shop-9" }, oauth.InvalidToken},
		"an account that is no text": {"thales-etp", func(_ *fixture, c map[string]any) { delete(c, "sub") }, oauth.InvalidToken},
		"a disabled account":         {"thales-etp", func(h *fixture, _ map[string]any) { h.registry.accounts["shop-1"].Disabled = true }, oauth.InvalidToken},
		"an account's client":        {"thales-etp", func(h *fixture, _ map[string]any) { h.client().Disabled = true }, oauth.InvalidToken},
		"accounts down":              {"thales-etp", func(h *fixture, _ map[string]any) { h.registry.err = errors.New("down") }, oauth.TemporarilyUnavailable},
	} {
		h := newFixture(t, row.profile)
		h.addAccount()
		claims := maps.Clone(good)
		row.change(h, claims)
		found, err := h.Introspect(t.Context(), h.issuer, h.signed(claims), h.now)
		switch {
		case row.code == "" && (err != nil || string(found.Payload) == "" || found.Kid != "signing-1" || found.Claims.ID != "j"):
			t.Errorf("%s: %+v, %v", name, found, err)
		case row.code != "" && (found != nil || oauth.AsError(err).Code != row.code):
			t.Errorf("%s: %+v, %v, want %s", name, found, err, row.code)
		}
	}
}

// TestWithdrawn judges what was verified elsewhere.
func TestWithdrawn(t *testing.T) {
	h := newFixture(t, "oauth2")
	payload := func(client, jti string) []byte {
		return []byte(fmt.Sprintf(`{"client_id":%q,"jti":%q,"iat":%d}`, client, jti, noon.Unix()))
	}
	if err := h.put(t, revocation.Revocation{JTIs: []string{"gone"}}); err != nil {
		t.Fatal(err)
	}
	if err := h.put(t, revocation.Revocation{SigningKid: "old"}); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		kid     string
		payload []byte
		want    bool
	}{
		"good": {"signing-1", payload(clientID, "j"), false}, "revoked": {"signing-1", payload(clientID, "gone"), true},
		"of a revoked key": {"old", payload(clientID, "j"), true}, "of a key that is not published any more": {"k", payload(clientID, "j"), true}, "of nobody": {"signing-1", payload("GONE", "j"), true},
	} {
		if got, err := h.Revoked(t.Context(), h.issuer, row.kid, row.payload); err != nil || got != row.want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, err := h.Revoked(t.Context(), h.issuer, "signing-1", []byte("{")); err == nil {
		t.Error("no claims: no error")
	}
	h.registry.err = errors.New("down")
	if got, err := h.Revoked(t.Context(), h.issuer, "signing-1", payload(clientID, "j")); err == nil || got {
		t.Errorf("registry down: %v, %v", got, err)
	}
}

// TestGivenBackWithinBounds: no client takes more places than its rate gives it,
// and what it may not give back is not counted against others.
func TestGivenBackWithinBounds(t *testing.T) {
	h := newFixture(t, "boltpay")
	secret := h.newSecret(t, registry.ClientSecret)
	req := secretRequest(secret)
	given := 0
	for range authority.GivenBackBurst + 20 {
		err := h.Revoke(t.Context(), h.issuer, req, h.mint(t, secret).Token)
		if err == nil {
			given++
			continue
		}
		if e, refusal := refusalOf(t, nil, err); e.Code != oauth.RateLimited || e.RetryAfter <= 0 || refusal.Rule != "tokens given back" {
			t.Fatalf("told %v", err)
		}
	}
	if given != authority.GivenBackBurst {
		t.Errorf("%d given back at once, want %d", given, authority.GivenBackBurst)
	}
	h.now = h.now.Add(time.Second)
	if err := h.Revoke(t.Context(), h.issuer, req, h.mint(t, secret).Token); err != nil {
		t.Errorf("a second later: %v", err)
	}
}
