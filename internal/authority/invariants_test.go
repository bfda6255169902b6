package authority_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"moneyer/internal/authority"
	"moneyer/internal/ledger"
	"moneyer/internal/overload"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

// The tests of the invariants in ARCHITECTURE.md, by number.

// laterFaults each break one rule after the signature.
var laterFaults = []func(*spec){
	header("typ", "at+jwt"), without("exp"), at("exp", -time.Hour), at("exp", time.Hour),
	at("nbf", time.Hour), at("iat", time.Hour), claim("aud", "https://evil.example"), claim("sub", otherID),
}

func TestInvariant1NothingIsBelievedBeforeTheSignature(t *testing.T) {
	forgeries := map[string]func(*spec){
		"another key": func(s *spec) { s.key = strangerKey },
		"a changed signature": func(s *spec) {
			s.resign = func(sig []byte) []byte { sig[5] ^= 1; return sig }
		},
		"HMAC under the public key": func(s *spec) {
			s.header["alg"] = "HS256"
			s.rewrite = func(c string) string {
				input := c[:strings.LastIndexByte(c, '.')]
				mac := hmac.New(sha256.New, publicOf(partnerKey).PEM())
				mac.Write([]byte(input))
				return input + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
			}
		},
		"the algorithm that the header names": func(s *spec) { s.key, s.header["alg"] = edKey, "EdDSA" },
	}
	for name, forge := range forgeries {
		for i, fault := range append(laterFaults, func(*spec) {}) {
			h := newFixture(t, "oauth2")
			s := h.spec()
			fault(s)
			forge(s)
			token, err := h.exchange(grantRequest(s.String()))
			if e, _ := refusalOf(t, token, err); e.Description != "the assertion cannot be verified" {
				t.Errorf("%s, fault %d: told %q", name, i, e.Description)
			}
		}
	}
}

func TestInvariant2Order(t *testing.T) {
	h := newFixture(t, "thales-d1")
	s := h.spec()
	s.key = strangerKey
	for _, fault := range []func(*spec){at("nbf", time.Hour), claim("aud", "x"), claim("sub", otherID), at("exp", -time.Hour)} {
		fault(s)
	}
	for _, step := range []struct {
		rule   string
		repair func(*spec)
	}{
		{"signature", func(s *spec) { s.key = partnerKey }},
		{"exp not past", at("exp", time.Hour)},
		{"exp not too far", at("exp", time.Minute)},
		{"nbf not ahead", without("nbf")},
		{"aud", claim("aud", "stg")},
		{"sub", claim("sub", clientID)},
	} {
		token, err := h.exchange(grantRequest(s.String()))
		if _, refusal := refusalOf(t, token, err); refusal.Rule != step.rule {
			t.Fatalf("refused by %q, want %q", refusal.Rule, step.rule)
		}
		step.repair(s)
	}
	compact := s.String()
	if _, err := h.exchange(grantRequest(compact)); err != nil {
		t.Fatal(err)
	}
	_, err := h.exchange(grantRequest(compact))
	if _, refusal := refusalOf(t, nil, err); refusal.Rule != "one use" {
		t.Errorf("refused by %q, want the use-up last of all", refusal.Rule)
	}
}

// What is refused before the use-up leaves the assertion good.
func TestInvariant2RefusedIsNotUsedUp(t *testing.T) {
	h := newFixture(t, "oauth2")
	compact := h.assertion()
	req := clientAuthRequest(compact)
	req.Scope = "root"
	token, err := h.exchange(req)
	if e, _ := refusalOf(t, token, err); e.Code != oauth.InvalidScope {
		t.Fatalf("code %s, want invalid_scope", e.Code)
	}
	h.ClientRate = overload.NewLimiter[authority.ClientName](overload.Rate{PerSecond: 1, Burst: 1}, 64)
	h.ClientRate.Take(authority.ClientName{Issuer: "d1", Client: clientID}, h.now)
	token, err = h.exchange(clientAuthRequest(compact))
	if e, _ := refusalOf(t, token, err); e.Code != oauth.RateLimited || e.RetryAfter != time.Second {
		t.Fatalf("%s after %s, want rate_limited after 1s", e.Code, e.RetryAfter)
	}
	h.now = h.now.Add(time.Second)
	if _, err := h.exchange(clientAuthRequest(compact)); err != nil {
		t.Errorf("refused after all: %v", err)
	}
}

func TestInvariant3NoTokenLeavesUnrecorded(t *testing.T) {
	for _, u := range uses {
		h := newFixture(t, u.profile)
		token, err := h.exchange(u.request(h.assertion()))
		if err != nil {
			t.Fatal(err)
		}
		entries := h.ledger.of(ledger.KindToken)
		want := ledger.Entry{
			Kind: ledger.KindToken, Time: noon, Issuer: "d1", Client: clientID, Correlation: "corr-1", JTI: token.JTI,
			Credential: kid, SigningKid: "signing-1", Subject: clientID, Scope: "pay read", Expires: noon.Add(h.issuer.TokenLifetime),
		}
		if len(entries) != 1 || entries[0] != want {
			t.Errorf("%s: recorded %+v, want %+v", u.name, entries, want)
		}
		if claims := claimsOf(t, token); claims["jti"] != token.JTI {
			t.Errorf("%s: the token says jti %v, the ledger %s", u.name, claims["jti"], token.JTI)
		}
		h.ledger.err = errors.New("disk full at /secret/path")
		token, err = h.exchange(u.request(h.assertion()))
		if e, _ := refusalOf(t, token, err); e.Code != oauth.TemporarilyUnavailable || e.RetryAfter != time.Second {
			t.Errorf("%s: %s after %s, want temporarily_unavailable after 1s", u.name, e.Code, e.RetryAfter)
		}
	}
}

// TestExpectedEntries: the ledger expects an entry while its token is signed, and not for longer.
func TestExpectedEntries(t *testing.T) {
	for _, u := range uses {
		h := newFixture(t, u.profile)
		if _, err := h.exchange(u.request(h.assertion())); err != nil {
			t.Fatal(err)
		}
		if h.ledger.mostExpected != 1 || h.ledger.expectedAtAppend != 0 || h.ledger.expected != 0 {
			t.Errorf("%s: %d entries were expected at most, %d when it came, and %d are afterwards; want 1, 0 and 0",
				u.name, h.ledger.mostExpected, h.ledger.expectedAtAppend, h.ledger.expected)
		}
	}
}

func TestInvariant4ExpIsMeasuredByOurClock(t *testing.T) {
	for _, u := range uses {
		for _, iat := range []time.Duration{-24 * time.Hour, 0, leeway} {
			h := newFixture(t, u.profile)
			s := h.spec()
			all(at("iat", iat), at("exp", maxLifetime+leeway))(s)
			if _, err := h.exchange(u.request(s.String())); err != nil {
				t.Errorf("%s: iat %s away: %v", u.name, iat, err)
			}
			all(at("iat", iat), at("exp", maxLifetime+leeway+time.Second))(s)
			token, err := h.exchange(u.request(s.String()))
			if _, refusal := refusalOf(t, token, err); refusal.Rule != "exp not too far" {
				t.Errorf("%s: iat %s away: refused by %q", u.name, iat, refusal.Rule)
			}
		}
	}
}

// callers are all ways to a token, each with what of it can be disabled.
var callers = []struct {
	name, profile string
	request       func(testing.TB, *fixture) *authority.Request
	credential    func(*registry.Client) *bool
}{
	{"grant", "thales-d1", func(_ testing.TB, h *fixture) *authority.Request { return grantRequest(h.assertion()) }, firstKey},
	{"private_key_jwt", "oauth2", func(_ testing.TB, h *fixture) *authority.Request { return clientAuthRequest(h.assertion()) }, firstKey},
	{"secret", "boltpay", func(t testing.TB, h *fixture) *authority.Request {
		return secretRequest(h.newSecret(t, registry.ClientSecret))
	}, firstSecret},
	{"API key", "thales-etp", func(t testing.TB, h *fixture) *authority.Request {
		h.addAccount()
		return apiKeyRequest(h.newSecret(t, registry.APIKey))
	}, firstSecret},
}

func firstKey(c *registry.Client) *bool    { return &c.Keys[0].Disabled }
func firstSecret(c *registry.Client) *bool { return &c.Secrets[0].Disabled }

func TestInvariant5DisabledMeansDisabled(t *testing.T) {
	for _, c := range callers {
		for name, what := range map[string]func(*fixture) *bool{
			"client":     func(h *fixture) *bool { return &h.client().Disabled },
			"credential": func(h *fixture) *bool { return c.credential(h.client()) },
			"issuer":     func(h *fixture) *bool { return &h.issuer.Disabled },
			"account":    func(h *fixture) *bool { return &h.addAccount().Disabled },
		} {
			h := newFixture(t, c.profile)
			if name == "account" && h.issuer.Profile.Policy.Account.Param == "" {
				continue
			}
			req := c.request(t, h)
			flag := what(h)
			*flag = true
			token, err := h.exchange(req)
			refusalOf(t, token, err)
			*flag = false
			if _, err := h.exchange(req); err != nil {
				t.Errorf("%s, %s enabled again: %v", c.name, name, err)
			}
		}
	}
}

func TestInvariant6OnlyErrorsSayWhatCallersMayKnow(t *testing.T) {
	const private = "dial tcp 10.1.2.3:5432"
	boom := errors.New(private)
	for _, c := range callers {
		for name, breakIt := range map[string]func(*fixture){
			"registry": func(h *fixture) { h.registry.err = boom },
			"ledger":   func(h *fixture) { h.ledger.err = boom },
			"keyring":  func(h *fixture) { h.Keyring = keyring{} },
		} {
			h := newFixture(t, c.profile)
			req := c.request(t, h)
			breakIt(h)
			token, err := h.exchange(req)
			e, _ := refusalOf(t, token, err)
			if e.Code != oauth.TemporarilyUnavailable || e.RetryAfter <= 0 || e.Description != "try again shortly" {
				t.Errorf("%s, %s down: told %s %q after %s", c.name, name, e.Code, e.Description, e.RetryAfter)
			}
			if name != "keyring" && !strings.Contains(err.Error(), private) {
				t.Errorf("%s, %s down: the log does not tell why: %v", c.name, name, err)
			}
		}
	}
	h := newFixture(t, "thales-etp")
	req := callers[3].request(t, h)
	h.addAccount().Attributes = nil
	token, err := h.exchange(req)
	if e, _ := refusalOf(t, token, err); e.Code != oauth.ServerError || e.Description != "" || !strings.Contains(err.Error(), "trId") {
		t.Errorf("a claim without its attribute: told %s %q, logged %v", e.Code, e.Description, err)
	}
}

func TestInvariant7OnlyRetryableErrorsSayWhenToComeBack(t *testing.T) {
	everyRefusal(t, func(name string, _ *fixture, err error) {
		if e := oauth.AsError(err); e != nil && e.Code.Retryable() != (e.RetryAfter > 0) {
			t.Errorf("%s: %s with RetryAfter %s", name, e.Code, e.RetryAfter)
		}
	})
}

func TestInvariant8NoSecretIsTold(t *testing.T) {
	everyRefusal(t, func(name string, h *fixture, err error) {
		h.flush(t)
		var told bytes.Buffer
		fmt.Fprintf(&told, "%v\n%+v\n", err, err)
		for _, e := range h.ledger.entries {
			line, err := e.AppendJSON(nil)
			if err != nil {
				t.Fatal(err)
			}
			told.Write(line)
		}
		for _, secret := range h.secrets {
			if len(secret) > 16 && bytes.Contains(told.Bytes(), []byte(secret)) {
				t.Errorf("%s: %q is told in %s", name, secret, told.Bytes())
			}
		}
	})
}

// everyRefusal visits every way of being refused that these tests know, and one
// token of each caller beside.
func everyRefusal(t *testing.T, visit func(name string, h *fixture, err error)) {
	t.Helper()
	try := func(name string, h *fixture, req *authority.Request) {
		h.keepSecret(req.Assertion, shown(req).Assertion, secretOf(req))
		token, err := h.exchange(req)
		if token != nil {
			h.keepSecret(token.Token)
		}
		visit(name, h, err)
	}
	for _, u := range uses {
		for _, c := range ruleCases() {
			h := newFixture(t, u.profile)
			s := h.spec()
			c.edit(s)
			req := u.request(s.String())
			req.ClientID = s.clientID
			try(u.name+" "+c.name, h, req)
		}
	}
	for _, c := range callers {
		for _, m := range misuses {
			h := newFixture(t, c.profile)
			req := c.request(t, h)
			h.keepSecret(secretOf(req))
			m.edit(h, req)
			try(c.name+" "+m.name, h, req)
		}
	}
}

// misuses are requests and moments that are wrong in other ways than an assertion.
var misuses = []struct {
	name string
	edit func(*fixture, *authority.Request)
}{
	{"as it should be", func(*fixture, *authority.Request) {}},
	{"used before", func(h *fixture, req *authority.Request) { _, _ = h.exchange(req) }},
	{"another secret", func(_ *fixture, req *authority.Request) { shown(req).Secret += "x" }},
	{"secret as client_id", func(_ *fixture, req *authority.Request) {
		c := shown(req)
		c.ID, c.Secret = c.Secret, c.ID
		req.ClientID = c.ID
	}},
	{"secret disabled", func(h *fixture, _ *authority.Request) { disableSecrets(h.client()) }},
	{"assertion as scope", func(_ *fixture, req *authority.Request) {
		req.Scope = req.Assertion + shown(req).Assertion + secretOf(req)
	}},
	{"assertion as grant_type", func(_ *fixture, req *authority.Request) {
		req.GrantType = oauth.GrantType(req.Assertion + shown(req).Assertion + secretOf(req))
	}},
	{"secret as account", func(_ *fixture, req *authority.Request) {
		setParam(req, "merchantId", registry.Attribute{Text: secretOf(req)})
	}},
	{"secret as iss", func(h *fixture, req *authority.Request) {
		leak(h, req, func(s *spec, secret string) { s.claims["iss"] = secret })
	}},
	{"secret as kid", func(h *fixture, req *authority.Request) {
		leak(h, req, func(s *spec, secret string) { s.header["kid"] = secret })
	}},
	{"secret as sub", func(h *fixture, req *authority.Request) {
		leak(h, req, func(s *spec, secret string) { s.claims["sub"] = secret })
	}},
	{"secret as aud", func(h *fixture, req *authority.Request) {
		leak(h, req, func(s *spec, secret string) { s.claims["aud"] = secret })
	}},
	{"secret as typ", func(h *fixture, req *authority.Request) {
		leak(h, req, func(s *spec, secret string) { s.header["typ"] = secret })
	}},
	{"over its rate", func(h *fixture, _ *authority.Request) {
		h.ClientRate = overload.NewLimiter[authority.ClientName](overload.Rate{PerSecond: 1}, 64)
		h.ClientRate.Take(authority.ClientName{Issuer: "d1", Client: clientID}, h.now)
	}},
	{"registry down", func(h *fixture, _ *authority.Request) { h.registry.err = errors.New("down") }},
	{"ledger down", func(h *fixture, _ *authority.Request) { h.Ledger = &memoryLedger{err: errors.New("down")} }},
	{"keyring down", func(h *fixture, _ *authority.Request) { h.Keyring = keyring{} }},
	{"issuer disabled", func(h *fixture, _ *authority.Request) { h.issuer.Disabled = true }},
	{"grants of another kind", func(h *fixture, _ *authority.Request) { h.client().Grants = []oauth.GrantType{"device"} }},
	{"caller gone", func(h *fixture, _ *authority.Request) { h.registry.err = context.Canceled }},
}

// leak puts a secret into an assertion where none belongs.
func leak(h *fixture, req *authority.Request, put func(*spec, string)) {
	const secret = "mns_Xm1ZQ0o4p7cVd2sKq9wRt5uYb3nEa6fGh8jLk0iOz"
	h.keepSecret(secret)
	s := h.spec()
	put(s, secret)
	if shown(req).Assertion != "" {
		shown(req).Assertion = s.String()
	} else {
		req.Assertion = s.String()
	}
}

func disableSecrets(c *registry.Client) {
	for i := range c.Secrets {
		c.Secrets[i].Disabled = true
	}
}

func setParam(req *authority.Request, name string, value registry.Attribute) {
	for i := range req.Params {
		if req.Params[i].Name == name {
			req.Params[i].Value = value
		}
	}
}

// Which clients and keys exist is told neither by the answer nor by the work.
func TestPreSignatureFailuresAreAlike(t *testing.T) {
	for _, u := range uses {
		seen := map[string]bool{}
		for _, c := range ruleCases() {
			if !preSignature(c.want(u)) {
				continue
			}
			h := newFixture(t, u.profile)
			s := h.spec()
			c.edit(s)
			req := u.request(s.String())
			req.ClientID = s.clientID
			verifications, err := authority.Judge(t.Context(), h.Authority, h.issuer, req, h.now)
			if verifications != 1 {
				t.Errorf("%s: %s: %d signatures were checked, want 1", u.name, c.name, verifications)
			}
			e := oauth.AsError(err)
			seen[string(e.Code)+e.Description] = true
		}
		if len(seen) != 1 {
			t.Errorf("%s: answers differ: %v", u.name, seen)
		}
	}
}

func TestFailedSecretsAreAlike(t *testing.T) {
	var answers []string
	for _, edit := range []func(*fixture, *authority.Request){
		func(_ *fixture, req *authority.Request) { as(req, "NOBODY0000") },
		func(_ *fixture, req *authority.Request) { shown(req).Secret = "wrong" },
		func(_ *fixture, req *authority.Request) { shown(req).Secret = "" },
		func(h *fixture, _ *authority.Request) { h.client().Disabled = true },
		func(h *fixture, _ *authority.Request) { h.client().Secrets[0].Disabled = true },
		func(h *fixture, _ *authority.Request) { h.client().Secrets[0].NotAfter = noon },
		func(h *fixture, _ *authority.Request) { h.client().Secrets[0].Kind = registry.APIKey },
		func(_ *fixture, req *authority.Request) { req.Credentials = nil },
		func(_ *fixture, req *authority.Request) { shown(req).Method = oauth.AuthAPIKey },
	} {
		h := newFixture(t, "boltpay")
		req := secretRequest(h.newSecret(t, registry.ClientSecret))
		edit(h, req)
		token, err := h.exchange(req)
		e, _ := refusalOf(t, token, err)
		answers = append(answers, string(e.Code)+": "+e.Description)
	}
	if slices.Sort(answers); answers[0] != answers[len(answers)-1] || answers[0] != "invalid_client: client authentication failed" {
		t.Errorf("answers differ: %v", answers)
	}
}
