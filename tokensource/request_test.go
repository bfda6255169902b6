package tokensource_test

import (
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"

	"moneyer/assertion"
	"moneyer/internal/platform"
	"moneyer/oauth"
	"moneyer/tokensource"
)

func newKey(t testing.TB, alg string) crypto.Signer {
	t.Helper()
	key, err := assertion.GenerateKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// shown is a request as a platform sees it. Assertions are replaced by a word.
type shown struct {
	URL, MediaType, Authorization, Body string
}

var compact = regexp.MustCompile(`eyJ[\w-]+\.[\w-]+\.[\w-]+`)

func show(e *endpoint) shown {
	req := e.asked[0]
	return shown{
		URL:           req.Method + " " + req.URL.String(),
		MediaType:     req.Header.Get("Content-Type"),
		Authorization: req.Header.Get("Authorization"),
		Body:          compact.ReplaceAllString(e.bodies[0], "JWT"),
	}
}

// platformRequest is what a Source sends to a platform.
type platformRequest struct {
	name, profile string
	source        *tokensource.Source
	want          shown
}

func platformRequests(t *testing.T) []platformRequest {
	const form = "application/x-www-form-urlencoded"
	es256 := newKey(t, "ES256")
	return []platformRequest{{
		"boltpay sends the secret in the body", "boltpay",
		&tokensource.Source{
			Issuer:     "https://pay.example",
			Credential: tokensource.Credential{ClientID: "shop", Secret: "a%40b+c&d@e"},
			Scope:      oauth.Scope{"openid", "roles"},
		},
		shown{
			"POST https://pay.example/auth/token", form, "",
			"grant_type=client_credentials&client_id=shop&client_secret=a%2540b%2Bc%26d%40e&scope=openid+roles",
		},
	}, {
		"boltpay takes Basic when told", "boltpay",
		&tokensource.Source{
			Issuer:     "https://pay.example/",
			Credential: tokensource.Credential{ClientID: "sh:op", Secret: "a%40b+c&d@e", Auth: oauth.AuthBasic},
		},
		shown{
			"POST https://pay.example/auth/token", form,
			"Basic c2glM0FvcDphJTI1NDBiJTJCYyUyNmQlNDBl", // sh%3Aop:a%2540b%2Bc%26d%40e
			"grant_type=client_credentials",
		},
	}, {
		"thales-d1 sends an assertion as the grant", "thales-d1",
		&tokensource.Source{
			Issuer:     "https://d1.example/authz/v1",
			Credential: tokensource.Credential{ClientID: "merchant01", Key: es256, Kid: "k1"},
		},
		shown{
			"POST https://d1.example/authz/v1/oauth2/token", form, "",
			"grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=JWT",
		},
	}, {
		"thales-etp sends JSON and an API key", "thales-etp",
		&tokensource.Source{
			Issuer:     "https://etp.example/tsh-cof",
			Credential: tokensource.Credential{APIKey: "key-in-the-test"},
			Scope:      oauth.Scope{"PAYMENT_PASSKEY"},
			Params:     url.Values{"merchantId": {`m"1`}, "tokens": {"t1", "t2"}},
		},
		shown{
			"POST https://etp.example/tsh-cof/auth/accessToken", "application/json", "APIKEY key-in-the-test",
			`{"merchantId":"m\"1","tokens":["t1","t2"],"scope":"PAYMENT_PASSKEY"}`,
		},
	}, {
		"oauth2 authenticates with a key", "oauth2",
		&tokensource.Source{
			Issuer:     "https://issuer.example",
			TokenURL:   "https://tokens.example/t?tenant=1",
			Credential: tokensource.Credential{ClientID: "shop", Key: es256},
		},
		shown{
			"POST https://tokens.example/t?tenant=1", form, "",
			"grant_type=client_credentials&client_id=shop&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=JWT",
		},
	}}
}

func TestRequestOfEachPlatform(t *testing.T) {
	for _, test := range platformRequests(t) {
		t.Run(test.name, func(t *testing.T) {
			e := always(200, `{"access_token":"a","accessToken":"a"}`)
			source := test.source
			source.Profile, source.HTTPClient = builtin(t, test.profile), e.client()
			if _, err := source.Fetch(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, show(e)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAssertion(t *testing.T) {
	key := newKey(t, "ES256")
	grant := tokensource.Credential{ClientID: "merchant01", Key: key, Kid: "k1"}
	jwtBearer := tokensource.Credential{ClientID: "shop", Key: key, Grant: oauth.JWTBearer, AssertionLifetime: 2 * time.Hour}
	named := grant
	named.Audience, named.Subject, named.AssertionLifetime, named.Typ = "stg", "customer01", time.Minute, "JWT"
	for _, test := range []struct {
		name, profile string
		credential    tokensource.Credential
		header        map[string]any
		claims        map[string]any
	}{{
		"grant", "thales-d1", grant,
		map[string]any{"alg": "ES256", "kid": "k1"},
		map[string]any{"iss": "merchant01", "sub": "merchant01", "aud": "https://issuer.example", "life": 180.0},
	}, {
		"grant with names", "thales-d1-banking", named,
		map[string]any{"alg": "ES256", "kid": "k1", "typ": "JWT"},
		map[string]any{"iss": "merchant01", "sub": "customer01", "aud": "stg", "life": 60.0},
	}, {
		"grant where client authentication would come first", "oauth2", jwtBearer,
		map[string]any{"alg": "ES256"},
		map[string]any{"iss": "shop", "sub": "shop", "aud": "https://issuer.example", "life": 3600.0},
	}, {
		"client authentication", "oauth2", tokensource.Credential{ClientID: "shop", Key: newKey(t, "EdDSA"), Kid: "k2"},
		map[string]any{"alg": "EdDSA", "kid": "k2", "typ": "client-authentication+jwt"},
		map[string]any{"iss": "shop", "sub": "shop", "aud": "https://issuer.example", "life": 180.0},
	}} {
		t.Run(test.name, func(t *testing.T) {
			e := numbered(time.Minute)
			source := &tokensource.Source{Profile: builtin(t, test.profile), Issuer: "https://issuer.example", Credential: test.credential, HTTPClient: e.client()}
			if _, err := source.Fetch(t.Context()); err != nil {
				t.Fatal(err)
			}
			header, claims := readAssertion(t, e.bodies[0], test.credential.Key.Public())
			if id, _ := claims["jti"].(string); len(id) < 16 {
				t.Errorf("jti is %q", id)
			}
			life := claims["exp"].(float64) - claims["iat"].(float64)
			claims = map[string]any{"iss": claims["iss"], "sub": claims["sub"], "aud": claims["aud"], "life": life}
			if diff := cmp.Diff(test.header, header); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(test.claims, claims); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// readAssertion verifies the assertion in a form with go-jose.
func readAssertion(t *testing.T, body string, key crypto.PublicKey) (header, claims map[string]any) {
	t.Helper()
	form, err := url.ParseQuery(body)
	if err != nil {
		t.Fatal(err)
	}
	token := form.Get("assertion") + form.Get("client_assertion")
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256, jose.RS256, jose.PS256, jose.EdDSA})
	if err != nil {
		t.Fatal(err)
	}
	var registered jwt.Claims
	if err := parsed.Claims(key, &claims, &registered); err != nil {
		t.Fatal(err)
	}
	encoded, _, _ := strings.Cut(token, ".")
	head, err := base64.RawURLEncoding.DecodeString(encoded)
	if err := errors.Join(err, json.Unmarshal(head, &header), registered.Validate(jwt.Expected{Time: time.Now()})); err != nil {
		t.Fatal(err)
	}
	return header, claims
}

func TestCorrelation(t *testing.T) {
	for name, form := range map[string]string{
		"thales-d1":  `^[A-Za-z0-9_-]{16,64}$`,
		"thales-etp": `^[!-~]{16,36}$`,
	} {
		e := always(200, `{"access_token":"a"}`)
		source := sourceFor(t, name)
		source.HTTPClient = e.client()
		for range 2 {
			token, err := source.Fetch(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !regexp.MustCompile(form).MatchString(token.Correlation) {
				t.Errorf("%s: made up %q", name, token.Correlation)
			}
		}
		token, err := source.FetchFor(t.Context(), tokensource.Request{Correlation: "mine-1"})
		if err != nil || token.Correlation != "mine-1" {
			t.Errorf("%s: %v, %v", name, token, err)
		}
		var sent []string
		for _, req := range e.asked {
			sent = append(sent, req.Header.Get("x-correlation-id"))
		}
		if sent[0] == sent[1] || sent[2] != "mine-1" {
			t.Errorf("%s: sent %q", name, sent)
		}
	}
}

// sourceFor is a Source that is ready to ask, with what the profile's demo shows.
func sourceFor(t testing.TB, name string) *tokensource.Source {
	s := &tokensource.Source{Profile: builtin(t, name), Issuer: "https://issuer.example", Params: url.Values{}}
	p := s.Profile.Definition()
	switch p.Demo.Credential {
	case platform.APIKeyCredential:
		s.Credential.APIKey = "key-in-the-test"
	case platform.KeyCredential:
		s.Credential = tokensource.Credential{ClientID: "merchant01", Key: newKey(t, p.Policy.Assertion.Algs[0]), Kid: "k1"}
	default:
		s.Credential = tokensource.Credential{ClientID: "shop", Secret: "s3cret-in-the-test"}
	}
	for _, param := range p.Wire.Params {
		if texts := p.Demo.Params[param.Name]; texts != nil {
			s.Params[param.Name] = texts
		} else if param.Means == platform.MeansScope && param.Required {
			s.Scope = p.Demo.Scope
		}
	}
	return s
}

func TestRefusedBeforeAnythingIsSent(t *testing.T) {
	type source = tokensource.Source
	for _, test := range []struct {
		name, profile string
		spoil         func(*source)
		want          string
	}{
		{"no credential", "boltpay", func(s *source) { s.Credential = tokensource.Credential{} }, "needs ClientID and Secret"},
		{"a key for a platform of secrets", "boltpay", func(s *source) { s.Credential.Secret, s.Credential.Key = "", newKey(t, "") }, "needs ClientID and Secret"},
		{"a grant that is not there", "boltpay", func(s *source) { s.Credential.Grant = oauth.JWTBearer }, "fits no grant"},
		{"no API key", "thales-etp", func(s *source) { s.Credential.APIKey = "" }, "needs APIKey"},
		{"API key of two words", "thales-etp", func(s *source) { s.Credential.APIKey = "two words" }, "without blanks"},
		{"API key too long", "thales-etp", func(s *source) { s.Credential.APIKey = strings.Repeat("k", 513) }, "1 to 512"},
		{"no kid", "thales-d1", func(s *source) { s.Credential.Kid = "" }, "wants a kid"},
		{"no client", "thales-d1", func(s *source) { s.Credential.ClientID = "" }, "needs ClientID and Key"},
		{"client id too short", "thales-d1", func(s *source) { s.Credential.ClientID = "short" }, "exactly 10 characters"},
		{"wrong kind of key", "thales-d1", func(s *source) { s.Credential.Key = newKey(t, "EdDSA") }, "takes ES256"},
		{"wrong alg for the key", "thales-d1", func(s *source) { s.Credential.Alg = "RS256" }, "tokensource: "},
		{"negative lifetime", "thales-d1", func(s *source) { s.Credential.AssertionLifetime = -1 }, "negative"},
		{"scope where none is taken", "thales-d1", func(s *source) { s.Scope = oauth.Scope{"a"} }, "takes no scope"},
		{"unknown parameter", "thales-etp", func(s *source) { s.Params.Set("merchantID", "m1") }, "it has: merchantId, tokens"},
		{"parameter of the protocol", "boltpay", func(s *source) { s.Params = url.Values{"client_secret": {"x"}} }, `no parameter "client_secret" of its own`},
		{"required parameter", "thales-etp", func(s *source) { s.Params.Del("tokens") }, `"tokens" is required`},
		{"required scope", "thales-etp", func(s *source) { s.Scope = nil }, `"scope" is required`},
		{"scope of another kind", "thales-etp", func(s *source) { s.Scope = oauth.Scope{"OTHER"} }, "must be one of: PAYMENT_PASSKEY"},
		{"two merchants", "thales-etp", func(s *source) { s.Params.Add("merchantId", "m2") }, "has one value, not 2"},
		{"empty value", "thales-etp", func(s *source) { s.Params.Set("merchantId", "") }, "empty value"},
		{"value too long", "thales-etp", func(s *source) { s.Params.Set("merchantId", strings.Repeat("m", 129)) }, "longer than 128 characters"},
		{"wrong characters", "thales-etp", func(s *source) { s.Params["tokens"] = []string{"t 1"} }, "url-safe"},
		{"the same card twice", "thales-etp", func(s *source) { s.Params["tokens"] = []string{"t1", "t1"} }, "twice"},
		{"eleven cards", "thales-etp", func(s *source) { s.Params["tokens"] = strings.Split("abcdefghijk", "") }, "at most 10 values"},
		{"plain http", "boltpay", func(s *source) { s.Issuer = "http://pay.example" }, "must be https"},
		{"no URL", "boltpay", func(s *source) { s.Issuer = "" }, "set Issuer or TokenURL"},
		{"URL with a user", "boltpay", func(s *source) { s.TokenURL = "https://u:p@pay.example/t" }, "without user"},
		{"broken URL", "boltpay", func(s *source) { s.TokenURL = "https://pay.example/%zz" }, "token endpoint"},
		{"audience without assertion", "boltpay", func(s *source) { s.Credential.Audience = "x" }, "belong to an assertion"},
		{"client assertion without issuer", "oauth2", func(s *source) {
			s.Credential.Key, s.Credential.Secret = newKey(t, ""), ""
			s.Issuer, s.TokenURL = "", "https://issuer.example/t"
		}, "needs an audience"},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := numbered(time.Minute)
			s := sourceFor(t, test.profile)
			s.HTTPClient = e.client()
			test.spoil(s)
			_, err := s.Token(t.Context())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if e.count() != 0 {
				t.Error("it was sent")
			}
		})
	}
}

func TestCorrelationThatThePlatformRefuses(t *testing.T) {
	for name, given := range map[string]string{
		"thales-d1":  "with.dot",
		"thales-etp": strings.Repeat("x", 37),
		"boltpay":    "line\nbreak",
	} {
		s := sourceFor(t, name)
		s.HTTPClient = numbered(time.Minute).client()
		if _, err := s.FetchFor(t.Context(), tokensource.Request{Correlation: given}); err == nil {
			t.Errorf("%s: sent %q", name, given)
		}
	}
}

// A profile without a file, with the dimension that no built-in one has.
func TestDigitsForCorrelation(t *testing.T) {
	p := builtin(t, "boltpay")
	correlation := &p.Definition().Wire.Correlation
	correlation.Chars, correlation.MaxLength = "digits", 12
	s := sourceFor(t, "boltpay")
	s.Profile, s.HTTPClient = p, numbered(time.Minute).client()
	token := mustToken(t, s)
	if !regexp.MustCompile(`^[0-9]{12}$`).MatchString(token.Correlation) {
		t.Errorf("made up %q", token.Correlation)
	}
}

func TestEndpointAsAudience(t *testing.T) {
	p := builtin(t, "thales-d1")
	p.Definition().Policy.Assertion.Audience = []platform.AudienceKind{"endpoint"}
	s := sourceFor(t, "thales-d1")
	e := numbered(time.Minute)
	s.Profile, s.HTTPClient = p, e.client()
	mustToken(t, s)
	if _, claims := readAssertion(t, e.bodies[0], s.Credential.Key.Public()); claims["aud"] != "https://issuer.example/oauth2/token" {
		t.Errorf("aud is %v", claims["aud"])
	}
	p.Definition().Policy.Assertion.Audience = []platform.AudienceKind{"name"}
	if _, err := s.Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "Credential.Audience") {
		t.Error(err)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	for status := range map[int]bool{http.StatusFound: true, http.StatusTemporaryRedirect: true} {
		e := always(status, "", "Location", "https://evil.example/")
		if _, err := withSecret(e).Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "redirect") {
			t.Error(err)
		}
		if e.count() != 1 {
			t.Errorf("%d requests", e.count())
		}
	}
}
