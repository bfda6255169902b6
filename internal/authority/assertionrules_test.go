package authority_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/asn1"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"moneyer/internal/authority"
	"moneyer/internal/evidence"
	"moneyer/internal/jose"
	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

// use is one way to offer an assertion: as a grant under a profile, or as client
// authentication.
type use struct {
	name, profile string
	isGrant       bool
}

var uses = []use{
	{"thales-d1", "thales-d1", true},
	{"thales-d1-banking", "thales-d1-banking", true},
	{"oauth2", "oauth2", true},
	{"client-auth", "oauth2", false},
	{"thales-d1-outbound", "thales-d1-outbound", true},
}

func (u use) request(assertion string) *authority.Request {
	if u.isGrant {
		return grantRequest(assertion)
	}
	return clientAuthRequest(assertion)
}

// ok stands for "no rule is broken".
const ok = ""

// ruleCase is one assertion and the rule that refuses it.
type ruleCase struct {
	name string
	edit func(*spec)
	rule string
	// but names the rule for the uses where it is another one.
	but map[string]string
}

func (c ruleCase) want(u use) string {
	if rule, other := c.but[u.name]; other {
		return rule
	}
	return c.rule
}

// The time rules are the same in all profiles under test.
const (
	leeway      = 60 * time.Second
	maxLifetime = 15 * time.Minute
)

func header(name string, value any) func(*spec) {
	return func(s *spec) { s.header[name] = value }
}

func claim(name string, value any) func(*spec) {
	return func(s *spec) { s.claims[name] = value }
}

// at sets a claim to a time that far from the clock.
func at(name string, d time.Duration) func(*spec) {
	return func(s *spec) { s.claims[name] = s.at(d) }
}

func without(name string) func(*spec) {
	return func(s *spec) { delete(s.claims, name) }
}

func all(edits ...func(*spec)) func(*spec) {
	return func(s *spec) {
		for _, edit := range edits {
			edit(s)
		}
	}
}

func key(edit func(*registry.Key)) func(*spec) {
	return func(s *spec) { edit(&s.client().Keys[0]) }
}

var formCases = []ruleCase{
	{"as it should be", func(*spec) {}, ok, nil},
	{"empty", func(s *spec) { s.rewrite = func(string) string { return "" } }, "form", map[string]string{
		"thales-d1": "assertion", "thales-d1-banking": "assertion", "thales-d1-outbound": "assertion", "oauth2": "assertion"}},
	{"Bearer before it", func(s *spec) { s.rewrite = func(c string) string { return "Bearer " + c } }, "form", nil},
	{"line break after it", func(s *spec) { s.rewrite = func(c string) string { return c + "\n" } }, "form", nil},
	{"padding", func(s *spec) { s.rewrite = func(c string) string { return c + "=" } }, "form", nil},
	{"no signature", func(s *spec) { s.resign = func([]byte) []byte { return nil } }, "form", nil},
	{"JWE", func(s *spec) { s.rewrite = func(c string) string { return c + ".AA.AA" } }, "form", nil},
	{"JSON serialization", func(s *spec) { s.rewrite = func(string) string { return `{"payload":"e30"}` } }, "form", nil},
	{"alg none", all(header("alg", "none"), func(s *spec) { s.resign = func([]byte) []byte { return nil } }), "form", nil},
	{"alg none with a signature", header("alg", "nOnE"), "form", nil},
	{"alg empty", header("alg", ""), "form", nil},
	{"crit", header("crit", []string{"exp"}), "form", nil},
	{"a key of its own", header("jwk", map[string]string{"kty": "EC"}), "form", nil},
	{"header not JSON", func(s *spec) { s.rawHeader = "alg" }, "form", nil},
	{"alg twice", func(s *spec) { s.rawHeader = `{"alg":"ES256","alg":"ES256","kid":"key-1"}` }, "form", nil},
	{"claims not JSON", func(s *spec) { s.rawClaims = "iss" }, "claims", nil},
	{"claims an array", func(s *spec) { s.rawClaims = "[]" }, "claims", nil},
	{"iss twice", func(s *spec) { s.rawClaims = `{"iss":"` + clientID + `","iss":"` + clientID + `"}` }, "claims", nil},
	{"exp a string", claim("exp", "1793620800"), "claims", nil},
	{"exp a fraction", func(s *spec) { s.claims["exp"] = float64(s.at(5*time.Minute)) + 0.5 }, ok, nil},
	{"exp a fraction, over", func(s *spec) { s.claims["exp"] = float64(s.at(-leeway-time.Second)) + 0.9 }, "exp not past", nil},
	{"exp with an exponent", func(s *spec) { s.rawClaims = `{"iss":"` + clientID + `","exp":1.7936208e9}` }, "claims", nil},
	{"exp negative", claim("exp", -1), "claims", nil},
	{"exp 2^53", claim("exp", 1<<53), "claims", nil},
	{"nbf 2^63-1", claim("nbf", int64(1<<63-1)), "claims", nil},
	{"iss a number", claim("iss", 7), "claims", nil},
	{"aud null", claim("aud", nil), "claims", nil},
	{"sub null", claim("sub", nil), "claims", nil},
}

var clientCases = []ruleCase{
	{"iss missing", without("iss"), "iss", nil},
	{"iss empty", claim("iss", ""), "iss", nil},
	{"iss unknown", claim("iss", "NOBODY0000"), "iss", nil},
	{"iss in other case", claim("iss", strings.ToLower(clientID)), "iss", nil},
	{"ISS for iss", all(without("iss"), claim("ISS", clientID)), "iss", nil},
	{"client disabled", func(s *spec) { s.client().Disabled = true }, "client enabled", nil},
	{"kid missing", func(s *spec) { delete(s.header, "kid") }, "kid", nil},
	{"kid missing, one key", func(s *spec) {
		delete(s.header, "kid")
		s.client().Keys = s.client().Keys[:1]
	}, "kid", map[string]string{"thales-d1-outbound": ok, "oauth2": ok, "client-auth": ok}},
	{"kid empty", header("kid", ""), "kid", nil},
	{"KID for kid", func(s *spec) {
		delete(s.header, "kid")
		s.header["KID"] = kid
	}, "kid", nil},
	{"kid unknown", header("kid", "key-9"), "kid", nil},
	{"kid of another client", all(header("kid", "key-2"), func(s *spec) { s.key = secondKey }), "kid", nil},
	{"no key at all", func(s *spec) { s.client().Keys = nil }, "kid", nil},
	{"key disabled", key(func(k *registry.Key) { k.Disabled = true }), "key active", nil},
	{"key not yet in force", key(func(k *registry.Key) { k.NotBefore = noon.Add(time.Nanosecond) }), "key active", nil},
	{"key just in force", key(func(k *registry.Key) { k.NotBefore = noon }), ok, nil},
	{"key no longer in force", key(func(k *registry.Key) { k.NotAfter = noon }), "key active", nil},
	{"key only just in force", key(func(k *registry.Key) { k.NotAfter = noon.Add(time.Nanosecond) }), ok, nil},
	{"client_id of another client", func(s *spec) { s.clientID = otherID }, "iss", nil},
	{"client_id the same", func(s *spec) { s.clientID = clientID }, ok, nil},
}

var signatureCases = []ruleCase{
	{"alg of another kind of key", header("alg", "RS256"), "alg", nil},
	{"alg HS256", header("alg", "HS256"), "alg", nil},
	{"alg in other case", header("alg", "es256"), "alg", nil},
	{"a key that the profile does not take", func(s *spec) {
		s.key = edKey
		s.header["alg"] = "EdDSA"
		s.client().Keys[0].Public = publicOf(edKey)
	}, "alg", map[string]string{"oauth2": ok, "client-auth": ok}},
	{"RS256 with an RSA key", func(s *spec) {
		s.key = rsaKey
		s.header["alg"] = "RS256"
		s.client().Keys[0].Public = publicOf(rsaKey)
	}, "alg", map[string]string{"oauth2": ok, "client-auth": ok}},
	{"another private key", func(s *spec) { s.key = strangerKey }, "signature", nil},
	{"another client's private key", func(s *spec) { s.key = secondKey }, "signature", nil},
	{"signature in DER", func(s *spec) { s.resign = der }, "signature", nil},
	{"signature of P-384", func(s *spec) { s.key = p384Key }, "signature", nil},
	{"signature all zeros", func(s *spec) { s.resign = func([]byte) []byte { return make([]byte, 64) } }, "signature", nil},
	{"signature cut", func(s *spec) { s.resign = func(sig []byte) []byte { return sig[:63] } }, "signature", nil},
	{"claims changed afterwards", func(s *spec) { s.rewrite = changeClaims }, "signature", nil},
	{"signature malleated", func(s *spec) { s.resign = malleate }, ok, nil},
}

var typeCases = []ruleCase{
	{"typ empty", header("typ", ""), ok, nil},
	{"typ JWT", header("typ", "JWT"), ok, nil},
	{"typ jwt", header("typ", "jwt"), ok, nil},
	{"typ application/jwt", header("typ", "Application/JWT"), ok, nil},
	{"typ application/", header("typ", "application/"), "typ", nil},
	{"typ of a grant", header("typ", "authorization-grant+jwt"), ok, map[string]string{"client-auth": "typ"}},
	{"typ of client authentication", header("typ", "application/client-authentication+jwt"), "typ", map[string]string{"client-auth": ok}},
	{"typ of an access token", header("typ", "at+jwt"), "typ", nil},
	{"typ JOSE", header("typ", "JOSE"), "typ", nil},
}

var timeCases = []ruleCase{
	{"exp missing", without("exp"), "required claims", nil},
	{"exp zero", claim("exp", 0), "exp not past", nil},
	{"exp now", at("exp", 0), ok, nil},
	{"exp last second of the leeway", at("exp", time.Second-leeway), ok, nil},
	{"exp past the leeway", at("exp", -leeway), "exp not past", nil},
	{"exp last that is accepted", at("exp", maxLifetime+leeway), ok, nil},
	{"exp one second too far", at("exp", maxLifetime+leeway+time.Second), "exp not too far", nil},
	{"exp far by its own iat", all(at("iat", -time.Hour), at("exp", maxLifetime)), ok, nil},
	{"exp near by its own iat", all(at("exp", time.Hour), at("iat", time.Hour-time.Minute)), "exp not too far", nil},
	{"exp in milliseconds", func(s *spec) { s.claims["exp"] = 1000 * s.at(5*time.Minute) }, "exp not too far", nil},
	{"exp 2^53-1", claim("exp", 1<<53-1), "exp not too far", nil},
	{"nbf zero", claim("nbf", 0), ok, nil},
	{"nbf last of the leeway", at("nbf", leeway), ok, nil},
	{"nbf one second ahead", at("nbf", leeway+time.Second), "nbf not ahead", nil},
	{"nbf in milliseconds", func(s *spec) { s.claims["nbf"] = 1000 * s.at(0) }, "nbf not ahead", nil},
	{"nbf 2^53-1", claim("nbf", 1<<53-1), "nbf not ahead", nil},
	{"iat zero", claim("iat", 0), ok, nil},
	{"iat last of the leeway", at("iat", leeway), ok, nil},
	{"iat one second ahead", at("iat", leeway+time.Second), "iat not ahead", nil},
	{"iat 2^53-1", claim("iat", 1<<53-1), "iat not ahead", nil},
	{"jti empty", claim("jti", ""), ok, nil},
}

const endpoint = "https://auth.example/d1/oauth2/token"

var audienceCases = []ruleCase{
	{"aud missing", without("aud"), "required claims", map[string]string{"thales-d1-banking": ok}},
	{"aud empty", claim("aud", ""), "aud", nil},
	{"aud the endpoint", claim("aud", endpoint), ok, map[string]string{"client-auth": "aud"}},
	{"aud a name", claim("aud", "prd"), ok, map[string]string{"oauth2": "aud", "client-auth": "aud"}},
	{"aud a name in other case", claim("aud", "PRD"), "aud", nil},
	{"aud an array of one", claim("aud", []string{"https://auth.example/d1"}), ok, nil},
	{"aud an array of one name", claim("aud", []string{"stg"}), ok, map[string]string{"oauth2": "aud", "client-auth": "aud"}},
	{"aud an array of the endpoint", claim("aud", []string{endpoint}), ok, map[string]string{"client-auth": "aud"}},
	{"aud an array with a stranger", claim("aud", []string{"https://auth.example/d1", "https://evil.example"}), "aud", nil},
	{"aud an array of good names", claim("aud", []string{"https://auth.example/d1", endpoint}), "aud", nil},
	{"aud an empty array", claim("aud", []string{}), "aud", nil},
	{"aud an array of one empty name", claim("aud", []string{""}), "aud", nil},
	{"aud another issuer", claim("aud", "https://auth.example/d2"), "aud", nil},
	{"aud with a slash", claim("aud", "https://auth.example/d1/"), "aud", nil},
	{"aud below the issuer", claim("aud", "https://auth.example/d1/oauth2"), "aud", nil},
	{"aud the API behind", claim("aud", "https://api.example"), "aud", nil},
	{"sub missing", without("sub"), "required claims", map[string]string{"thales-d1-banking": ok}},
	{"sub empty", claim("sub", ""), "required claims", map[string]string{"thales-d1-banking": "sub"}},
	{"sub another client", claim("sub", otherID), "sub", nil},
	{"sub in other case", claim("sub", strings.ToLower(clientID)), "sub", nil},
}

func ruleCases() []ruleCase {
	return slices.Concat(formCases, clientCases, signatureCases, typeCases, timeCases, audienceCases)
}

// Keys that not every profile takes.
var (
	edKey   = newKey(jose.EdDSA)
	rsaKey  = newKey(jose.RS256)
	p384Key = crypto.Signer(must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)))
)

// der is the form in which openssl writes r and s.
func der(sig []byte) []byte {
	half := len(sig) / 2
	return must(asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(sig[:half]), new(big.Int).SetBytes(sig[half:])}))
}

// malleate turns (r, s) into (r, n-s), which anybody can do.
func malleate(sig []byte) []byte {
	s := new(big.Int).SetBytes(sig[32:])
	s.Sub(elliptic.P256().Params().N, s)
	return append(slices.Clone(sig[:32]), s.FillBytes(make([]byte, 32))...)
}

// changeClaims replaces the claims and keeps the signature.
func changeClaims(compact string) string {
	parts := strings.Split(compact, ".")
	other := encode(`{"iss":"` + clientID + `","sub":"` + clientID + `","aud":"https://auth.example/d1","exp":9}`)
	return parts[0] + "." + other + "." + parts[2]
}

func TestAssertionRules(t *testing.T) {
	for _, u := range uses {
		t.Run(u.name, func(t *testing.T) {
			for _, c := range ruleCases() {
				t.Run(c.name, func(t *testing.T) { testRule(t, u, c) })
			}
		})
	}
}

// As client authentication sub and aud must be there whatever the profile says of
// grants (RFC 7523 section 3).
func TestClientAuthenticationRequiresByTheRFC(t *testing.T) {
	for _, name := range []string{"iss", "sub", "aud", "exp"} {
		h := newFixture(t, "oauth2")
		p := *h.issuer.Profile
		p.Policy.Assertion.Require = nil
		h.issuer.Profile = &p
		s := h.spec()
		delete(s.claims, name)
		token, err := h.exchange(clientAuthRequest(s.String()))
		refusalOf(t, token, err)
		if _, err := h.exchange(grantRequest(s.String())); (err == nil) != (name == "sub" || name == "aud") {
			t.Errorf("without %s as a grant: %v", name, err)
		}
	}
}

// What a profile requires must be there, and a text must not be empty.
func TestClaimsThatAProfileRequires(t *testing.T) {
	full := map[string]any{"iat": noon.Unix(), "nbf": noon.Unix(), "jti": "one"}
	for name := range full {
		h := newFixture(t, "oauth2")
		p := *h.issuer.Profile
		p.Policy.Assertion.Require = []string{"iat", "nbf", "jti"}
		h.issuer.Profile = &p
		s := h.spec()
		maps.Copy(s.claims, full)
		h.gets(t, grantRequest(s.String()))
		for _, edit := range []func(){func() { delete(s.claims, name) }, func() { s.claims["jti"] = "" }} {
			edit()
			token, err := h.exchange(grantRequest(s.String()))
			_, refusal := refusalOf(t, token, err)
			if refusal.Rule != "required claims" || refusal.Expected != "all of iss exp iat nbf jti" {
				t.Errorf("without %s: refused by %q, which expects %s", name, refusal.Rule, refusal.Expected)
			}
			maps.Copy(s.claims, full)
		}
	}
}

func testRule(t *testing.T, u use, c ruleCase) {
	h := newFixture(t, u.profile)
	s := h.spec()
	c.edit(s)
	req := u.request(s.String())
	req.ClientID = s.clientID
	token, err := h.exchange(req)
	want := c.want(u)
	if want == ok {
		if err != nil {
			t.Fatalf("refused: %v", err)
		}
		if len(h.ledger.of(ledger.KindToken)) != 1 || len(h.ledger.used) != 1 {
			t.Error("the token is not recorded, or its assertion not consumed")
		}
		return
	}
	e, refusal := refusalOf(t, token, err)
	if refusal.Rule != want {
		t.Fatalf("rule %q refused it, want %q: %v", refusal.Rule, want, err)
	}
	if refusal.Expected == "" || refusal.Found == "" {
		t.Errorf("the refusal does not tell what was expected and found: %v", err)
	}
	testAnswer(t, u, e, want)
	if len(h.ledger.used) != 0 || len(h.ledger.of(ledger.KindToken)) != 0 {
		t.Error("a refused assertion was consumed or recorded as a token")
	}
}

// testAnswer holds what the caller is told to what it may know.
func testAnswer(t *testing.T, u use, e *oauth.Error, rule string) {
	t.Helper()
	switch {
	case rule == "assertion":
		if e.Code != oauth.InvalidRequest {
			t.Errorf("code %s, want invalid_request", e.Code)
		}
	case !u.isGrant:
		want := "client authentication failed"
		if rule == "aud" { // the signature is good, and the metadata name the issuer
			want += ": aud must be the issuer identifier, https://auth.example/d1"
		}
		if e.Code != oauth.InvalidClient || e.Description != want {
			t.Errorf("answer %s: %q, want the one answer to a failed client authentication", e.Code, e.Description)
		}
	default:
		if e.Code != oauth.InvalidGrant || e.Description == "" {
			t.Errorf("answer %s: %q, want invalid_grant with a description", e.Code, e.Description)
		}
		if told := e.Description == "the assertion cannot be verified"; told != preSignature(rule) {
			t.Errorf("description %q for rule %s", e.Description, rule)
		}
	}
}

// preSignature reports whether a rule looks at what is registered, up to the
// signature: nobody is told which of them it was.
func preSignature(rule string) bool {
	names := evidence.RuleNames()
	at := slices.Index(names, rule)
	return at >= slices.Index(names, "iss") && at <= slices.Index(names, "signature")
}

// A rule without a case that it refuses would be a rule that nobody tests.
func TestEveryRuleHasACase(t *testing.T) {
	for _, u := range uses {
		for _, name := range evidence.RuleNames() {
			if name == "forbidden claims" {
				continue // no built-in profile forbids one: TestForbiddenClaims
			}
			if !slices.ContainsFunc(ruleCases(), func(c ruleCase) bool { return c.want(u) == name }) {
				t.Errorf("%s: no case is refused by rule %q", u.name, name)
			}
		}
	}
}
