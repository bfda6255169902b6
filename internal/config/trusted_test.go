package config_test

import (
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"moneyer/internal/config"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
)

// trusted is a good table in the good file.
const trusted = `
[issuers.d1.trusted.kc]
issuer = "https://sso.example/realms/r"
jwks_uri = "https://sso.example/realms/r/certs"
`

const edKey = `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"k1"`

// TestTrustedDefaults: what is left out depends on the kind.
func TestTrustedDefaults(t *testing.T) {
	for text, want := range map[string]registry.TrustedIssuer{
		trusted: {Name: "kc", Kind: registry.TrustedJWT, Issuer: "https://sso.example/realms/r", JWKSURI: "https://sso.example/realms/r/certs",
			MaxLifetime: 15 * time.Minute, Replay: platform.ReplayOnce},
		"[issuers.d1.trusted.k8s]\nkind = \"kubernetes\"\nissuer = \"https://kubernetes.default.svc\"\nbundle = \"jwks.json\"": {Name: "k8s", Kind: registry.TrustedKubernetes,
			Issuer: "https://kubernetes.default.svc", Bundle: filepath.Join("dir", "jwks.json"), MaxLifetime: time.Hour, Replay: platform.ReplayUntilExp},
		"[issuers.d1.trusted.spire]\nkind = \"spiffe\"\ntrust_domain = \"example.org\"\njwks_uri = \"https://bundle.example\"\nca = \"/ca.pem\"": {Name: "spire", Kind: registry.TrustedSPIFFE,
			TrustDomain: "example.org", JWKSURI: "https://bundle.example", CA: "/ca.pem", MaxLifetime: 15 * time.Minute, Replay: platform.ReplayUntilExp},
	} {
		c, err := config.Parse(filepath.Join("dir", "moneyer.toml"), []byte(good+text))
		if err != nil {
			t.Error(err)
			continue
		}
		want.Algs, want.Claims = []string{"ES256", "RS256"}, []string{"sub"}
		if got := c.Served()[0].Trusted[0]; !reflect.DeepEqual(*got, want) {
			t.Errorf("%s:\n%+v, want\n%+v", text, *got, want)
		}
	}
}

// TestEd25519Alg: the name of RFC 9864 is EdDSA.
func TestEd25519Alg(t *testing.T) {
	c := parse(t, strings.Replace(good, "[issuers.d1]", "[issuers.d1]\nalg = \"Ed25519\"", 1))
	if alg := c.Served()[0].Alg; alg != "EdDSA" {
		t.Error(alg)
	}
}

func TestTrustedKeysInTheFile(t *testing.T) {
	for _, alg := range []string{"EdDSA", "Ed25519"} { // two names of one algorithm (RFC 9864 §2.2)
		c := parse(t, good+fmt.Sprintf("[issuers.d1.trusted.t]\nissuer = \"i\"\nalgs = [%q]\njwks = '{\"keys\":[%s}]}'", alg, edKey))
		of := c.Served()[0].Trusted[0]
		if key := of.Keys.Find("k1", "EdDSA"); len(of.Keys.Keys) != 1 || key == nil || key.Alg() != "EdDSA" || of.Algs[0] != "EdDSA" {
			t.Errorf("%s: %+v", alg, of)
		}
	}
}

// TestTrustedRefusals: contradictions are refused, with what to do.
func TestTrustedRefusals(t *testing.T) {
	jwks := func(key string) string { return `jwks = '{"keys":[` + key + `]}'` }
	const uri = `jwks_uri = "https://sso.example/realms/r/certs"`
	const iss = `issuer = "https://sso.example/realms/r"`
	for _, test := range []struct{ old, text, want string }{
		{"trusted.kc", "trusted.KC", "issuers.d1.trusted.KC: a name is 1 to 40 of a-z, 0-9 and -"},
		{iss, `isuer = "x"`, `unknown setting; did you mean "issuer"?`},
		{iss, ``, "trusted.kc.issuer: must be the iss of its tokens, exactly"},
		{iss, `issuer = "` + strings.Repeat("x", 257) + `"`, "trusted.kc.issuer: must be"},
		{iss, `issuer = "https://auth.example.com/d1"`, "is this issuer itself"},
		{iss, iss + "\nbundle = \"x\"\n[issuers.d1.trusted.twin]\n" + iss + "\n", `trusted.twin: trusted issuer kc is for "https://sso.example/realms/r" already`},
		{iss, iss + "\nkind = \"oidc\"", `trusted.kc.kind: must be "jwt", "kubernetes" or "spiffe"`},
		{iss, iss + "\ntrust_domain = \"example.org\"", `trusted.kc.trust_domain: is for the kind "spiffe"`},
		{iss, iss + "\nkind = \"spiffe\"\ntrust_domain = \"example.org\"", `trusted.kc.issuer: does not go with the kind "spiffe"`},
		{iss, `kind = "spiffe"`, "trusted.kc.trust_domain: must be the trust domain"},
		{iss, "kind = \"spiffe\"\ntrust_domain = \"spiffe://example.org\"", "without spiffe://"},
		{uri, ``, "set one of jwks_uri, bundle and jwks"},
		{uri, uri + "\nbundle = \"x\"", "set one of jwks_uri, bundle and jwks"},
		{uri, `jwks_uri = "http://sso.example/certs"`, "must be an https URL without user and fragment (plain http only on loopback)"},
		{uri, `jwks_uri = "https://me@sso.example/certs"`, "must be an https URL"},
		{uri, `jwks_uri = "https://sso.example/certs#x"`, "must be an https URL"},
		{uri, "bundle = \"x\"\nca = \"y\"", "trusted.kc.ca: is for a jwks_uri with https"},
		{uri, "jwks_uri = \"http://127.0.0.1/certs\"\nca = \"y\"", "trusted.kc.ca: is for a jwks_uri with https"},
		{uri, "jwks = \"{}\"", "trusted.kc.jwks: not a usable key: JWK set without keys"},
		{uri, jwks(edKey + "}"), "trusted.kc.jwks: has no usable key: one with an algorithm of algs"},
		{uri, jwks(edKey + `,"d":"AQAB"}`), "private key"},
		{uri, uri + "\nalgs = [\"HS256\"]", `trusted.kc.algs: "HS256" is none of`},
		{uri, uri + "\nalgs = []", "trusted.kc.algs: must name an algorithm"},
		{uri, uri + "\naudience = [\"\"]", "trusted.kc.audience: a value has 1 to 1024 bytes"},
		{uri, uri + "\nclaims = []", "trusted.kc.claims: must name 1 to 8 claims"},
		{uri, uri + "\nclaims = [\"iss\"]", `trusted.kc.claims: "iss" names no client`},
		{uri, uri + "\nclaims = [\"sub\", \"azp\", \"sub\"]", `trusted.kc.claims: "sub" is there twice`},
		{uri, uri + "\nmax_lifetime = \"61m\"", `trusted.kc.max_lifetime: must be "1m" to "1h"`},
		{uri, uri + "\nmax_lifetime = \"59s\"", `trusted.kc.max_lifetime: must be "1m" to "1h"`},
		{uri, uri + "\nreplay = \"same-token\"", `trusted.kc.replay: "same-token" is for assertions that clients sign themselves`},
		{uri, uri + "\nreplay = \"twice\"", `trusted.kc.replay: must be "once" or "until-exp"`},
	} {
		text := good + strings.Replace(trusted, test.old, test.text, 1)
		if _, err := config.Parse("moneyer.toml", []byte(text)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s:\n%v, want\n%s", test.text, err, test.want)
		}
	}
	other := strings.NewReplacer("[issuers.d1]", "[issuers.a]\nurl = \"https://auth.example.com/a\"\nprofile = \"thales-d1\"\nresource_audience = \"https://a\"\nenvironment = \"stg\"\naudience_names = [\"x\"]\n[issuers.d1]\nenvironment = \"prd\"").Replace(good)
	if _, err := config.Parse("moneyer.toml", []byte(other+trusted+"audience = [\"x\"]")); err == nil || !strings.Contains(err.Error(), `issuers.d1.trusted.kc.audience: "x" is also a name in environment "stg"`) {
		t.Error(err)
	}
	bolt := strings.Replace(strings.Replace(good, "thales-d1", "boltpay", 1), "resource_audience = \"https://api.example.com\"", "", 1)
	if _, err := config.Parse("moneyer.toml", []byte(bolt+trusted)); err == nil || !strings.Contains(err.Error(), "issuers.d1.trusted: profile boltpay takes no assertions") {
		t.Error(err)
	}
}
