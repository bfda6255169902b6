package interop

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	josejwt "github.com/go-jose/go-jose/v4/jwt"
	"github.com/golang-jwt/jwt/v5"
)

// judging is one access token to verify.
type judging struct {
	Token    string `json:"token"`
	Issuer   string `json:"issuer"`
	Audience string `json:"audience"`
	JWKSURI  string `json:"jwks_uri"`
	Alg      string `json:"alg"`
	// Ahead is how many seconds the verifier's clock is ahead.
	Ahead int `json:"ahead"`
}

// verifier is a program or library that verifies access tokens. It returns "" for a valid token,
// otherwise the reason.
type verifier struct {
	name   string
	need   func(*testing.T)
	verify func(*testing.T, []judging) []string
	// strict verifiers accept only access tokens as in RFC 9068.
	strict bool
}

func verifiers() []verifier {
	node := func(script, library string) func(*testing.T, []judging) []string {
		return func(t *testing.T, work []judging) (verdicts []string) {
			askNode(t, script, library, work, &verdicts)
			return verdicts
		}
	}
	python := func(library string) func(*testing.T, []judging) []string {
		return func(t *testing.T, work []judging) (verdicts []string) {
			askPython(t, "verify.py", library, work, &verdicts)
			return verdicts
		}
	}
	newest := func(library string) func(*testing.T, []judging) []string {
		return func(t *testing.T, work []judging) (verdicts []string) {
			askNewestPython(t, "verify.py", library, work, &verdicts)
			return verdicts
		}
	}
	return []verifier{
		{"go-oidc", needNothing, eachJudged(verifyWithGoOIDC), false},
		{"golang-jwt", needNothing, eachJudged(verifyWithGolangJWT), false},
		{"go-jose", needNothing, eachJudged(verifyWithGoJOSE), false},
		{"npm jose 3", needNode("jose-3"), node("verify.mjs", "jose-3"), false},
		{"npm jose newest", needNode("jose"), node("verify.mjs", "jose"), false},
		{"npm oauth4webapi", needNode("oauth4webapi"), node("oauth4webapi-verify.mjs", ""), true},
		{"python jwcrypto", needPython("jwcrypto", "python3-jwcrypto"), python("jwcrypto"), false},
		{"python authlib", needPython("authlib", "python3-authlib"), python("authlib"), false},
		{"pypi authlib", needNewestPython, newest("authlib"), false},
		{"pypi joserfc", needNewestPython, newest("joserfc"), false},
		{"java spring-security", needJava, verifyWithSpring, true},
		{"haproxy", needProgram("haproxy"), verifyWithHAProxy, false},
	}
}

func verifyWithSpring(t *testing.T, work []judging) (verdicts []string) {
	askJava(t, "SpringResourceServer", work, &verdicts)
	return verdicts
}

func eachJudged(verify func(*testing.T, judging) error) func(*testing.T, []judging) []string {
	return func(t *testing.T, work []judging) (verdicts []string) {
		for _, w := range work {
			verdict := ""
			if err := verify(t, w); err != nil {
				verdict = err.Error()
			}
			verdicts = append(verdicts, verdict)
		}
		return verdicts
	}
}

func verifyWithGoOIDC(t *testing.T, w judging) error {
	keys := oidc.NewRemoteKeySet(t.Context(), w.JWKSURI)
	_, err := oidc.NewVerifier(w.Issuer, keys, &oidc.Config{ClientID: w.Audience, SupportedSigningAlgs: []string{w.Alg},
		Now: func() time.Time { return ahead(w) }}).Verify(t.Context(), w.Token)
	return err
}

func ahead(w judging) time.Time { return time.Now().Add(time.Duration(w.Ahead) * time.Second) }

func verifyWithGolangJWT(t *testing.T, w judging) error {
	keys := publishedKeys(t, w.JWKSURI)
	_, err := jwt.Parse(w.Token, func(token *jwt.Token) (any, error) {
		kid, _ := token.Header["kid"].(string)
		if found := keys.Key(kid); len(found) == 1 {
			return found[0].Key, nil
		}
		return nil, errors.New("no such key")
	}, jwt.WithValidMethods([]string{w.Alg}), jwt.WithIssuer(w.Issuer), jwt.WithAudience(w.Audience), jwt.WithExpirationRequired(),
		jwt.WithTimeFunc(func() time.Time { return ahead(w) }))
	return err
}

func verifyWithGoJOSE(t *testing.T, w judging) error {
	token, err := josejwt.ParseSigned(w.Token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(w.Alg)})
	if err != nil {
		return err
	}
	var claims josejwt.Claims
	if err := token.Claims(publishedKeys(t, w.JWKSURI), &claims); err != nil {
		return err
	}
	return claims.ValidateWithLeeway(josejwt.Expected{Issuer: w.Issuer, AnyAudience: josejwt.Audience{w.Audience}, Time: ahead(w)}, 0)
}

// publishedKeys fetches an issuer's keys with go-jose.
func publishedKeys(t *testing.T, uri string) *jose.JSONWebKeySet {
	t.Helper()
	resp, err := http.Get(uri)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var keys jose.JSONWebKeySet
	if err := json.Unmarshal(body, &keys); err != nil || len(keys.Keys) == 0 {
		t.Fatalf("%s: %v, %s", uri, err, body)
	}
	for _, k := range keys.Keys {
		if !k.Valid() || !k.IsPublic() || k.Use != "sig" || k.KeyID == "" || k.Algorithm == "" {
			t.Fatalf("%s publishes %s", uri, body)
		}
	}
	return &keys
}

// publicPEM returns the published key that signed a token, as PEM.
func publicPEM(t *testing.T, uri, kid string) []byte {
	t.Helper()
	found := publishedKeys(t, uri).Key(kid)
	if len(found) != 1 {
		t.Fatalf("%s has %d keys %q", uri, len(found), kid)
	}
	der, err := x509.MarshalPKIXPublicKey(found[0].Key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func kidOf(t *testing.T, compact string) string {
	t.Helper()
	head, _, _ := strings.Cut(compact, ".")
	text, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		t.Fatal(err)
	}
	var header struct{ Kid string }
	if err := json.Unmarshal(text, &header); err != nil || header.Kid == "" {
		t.Fatalf("the header of a token: %s", text)
	}
	return header.Kid
}

// minted gets a token of an issuer for its demo partner, with the command that the sandbox prints.
func (i issuer) minted(t *testing.T) string {
	t.Helper()
	needProgram("curl")(t)
	out := program(t, nil, "bash", "-c", i.demo(t).Token)
	var tokens struct {
		AccessToken  string `json:"access_token"`
		AccessToken2 string `json:"accessToken"`
	}
	if err := json.Unmarshal(out, &tokens); err != nil {
		t.Fatalf("%s: %v\n%s", i, err, out)
	}
	return tokens.AccessToken + tokens.AccessToken2
}

// opinion is a judging with its expected result.
type opinion struct {
	name string
	judging
	good bool
}

// opinions returns valid and invalid tokens of one issuer.
func opinions(t *testing.T, i issuer, tokens map[issuer]string) []opinion {
	meta := i.metadata(t)
	claims := claimsOf(t, tokens[i])
	audience, ok := claims["aud"].(string)
	if !ok {
		t.Fatalf("%s: aud is %v", i, claims["aud"])
	}
	right := judging{Token: tokens[i], Issuer: meta.Issuer, Audience: audience, JWKSURI: meta.JWKSURI, Alg: "ES256"}
	other := d1
	switch i {
	case boltpay:
		right.Alg = "RS256"
	case d1:
		other = d1Banking
	}
	var all []opinion
	add := func(name string, good bool, change func(*judging)) {
		o := opinion{name, right, good}
		change(&o.judging)
		all = append(all, o)
	}
	add("good", true, func(*judging) {})
	add("good, a minute later", true, func(j *judging) { j.Ahead = 60 })
	add("tampered claims", false, func(j *judging) { j.Token = tamperClaims(j.Token) })
	add("tampered signature", false, func(j *judging) { j.Token = tamperSignature(j.Token) })
	add("no signature", false, func(j *judging) { j.Token = j.Token[:strings.LastIndexByte(j.Token, '.')+1] })
	add("alg none", false, func(j *judging) { j.Token = withoutAlg(t, j.Token) })
	add("public key as HMAC key", false, func(j *judging) { j.Token = withPublicKeyAsSecret(t, j.JWKSURI, j.Token) })
	add("wrong audience", false, func(j *judging) { j.Audience = "https://api.example.org" })
	add("wrong issuer", false, func(j *judging) { j.Issuer = "https://auth.example.org" })
	add("another issuer's token", false, func(j *judging) { j.Token = tokens[other] })
	add("another issuer's keys", false, func(j *judging) { j.JWKSURI = other.metadata(t).JWKSURI })
	add("expired", false, func(j *judging) { j.Ahead = 3600 })
	return all
}

// withoutAlg returns the unsigned token of RFC 7519 section 6.
func withoutAlg(t *testing.T, compact string) string {
	parts := strings.Split(compact, ".")
	return b64JSON(t, map[string]string{"alg": "none", "typ": "at+jwt", "kid": kidOf(t, compact)}) + "." + parts[1] + "."
}

// withPublicKeyAsSecret signs with HS256 and the published key (RFC 8725 section 2.1).
func withPublicKeyAsSecret(t *testing.T, uri, compact string) string {
	kid := kidOf(t, compact)
	input := b64JSON(t, map[string]string{"alg": "HS256", "typ": "at+jwt", "kid": kid}) + "." + strings.Split(compact, ".")[1]
	mac := hmac.New(sha256.New, publicPEM(t, uri, kid))
	mac.Write([]byte(input))
	return input + "." + b64(mac.Sum(nil))
}

// TestVerifiers: real verifiers accept our tokens with our published keys, and no others. Each
// issuer's tokens go through every verifier: ES256 and RS256.
func TestVerifiers(t *testing.T) {
	issuers := []issuer{d1, d1Banking, oauth2AS, etp, boltpay}
	tokens := map[issuer]string{}
	for _, i := range issuers {
		tokens[i] = i.minted(t)
	}
	for _, v := range verifiers() {
		t.Run(v.name, func(t *testing.T) {
			v.need(t)
			var all []opinion
			var work []judging
			for _, i := range issuers {
				for _, o := range opinions(t, i, tokens) {
					o.name = string(i) + ": " + o.name
					if v.strict && !(slices.Contains([]issuer{d1, d1Banking, oauth2AS}, i)) {
						o.good = false // the claims of ETP and boltpay are not those of RFC 9068 section 2.2
					}
					all, work = append(all, o), append(work, o.judging)
				}
			}
			verdicts := v.verify(t, work)
			if len(verdicts) != len(all) {
				t.Fatalf("%d verdicts on %d", len(verdicts), len(all))
			}
			for n, o := range all {
				switch verdict := verdicts[n]; {
				case o.good && verdict != "":
					t.Errorf("%s: refused: %s", o.name, verdict)
				case !o.good && verdict == "":
					t.Errorf("%s: taken", o.name)
				default:
					t.Logf("%s: %s", o.name, cmp.Or(verdict, "taken"))
				}
			}
		})
	}
}

// TestGoOIDCDiscovery: go-oidc discovers issuer and keys, at the path of OpenID Connect Discovery.
func TestGoOIDCDiscovery(t *testing.T) {
	for _, i := range []issuer{d1, d1Banking, oauth2AS, etp, boltpay} {
		provider, err := oidc.NewProvider(t.Context(), i.url(t))
		if err != nil {
			t.Errorf("%s: %v", i, err)
			continue
		}
		if got := provider.Endpoint().TokenURL; got != i.endpoint(t) {
			t.Errorf("%s: token endpoint %s", i, got)
		}
		compact := i.minted(t)
		check := func(config *oidc.Config) error {
			_, err := provider.VerifierContext(t.Context(), config).Verify(context.Background(), compact)
			return err
		}
		audience, _ := claimsOf(t, compact)["aud"].(string)
		algs := []string{"ES256", "RS256"}
		if err := check(&oidc.Config{ClientID: audience, SupportedSigningAlgs: algs}); err != nil {
			t.Errorf("%s: %v", i, err)
		}
		if err := check(&oidc.Config{ClientID: "somebody else", SupportedSigningAlgs: algs}); err == nil {
			t.Errorf("%s: taken by another audience", i)
		}
	}
	if _, err := oidc.NewProvider(t.Context(), d1.url(t)+"/"); err == nil {
		t.Error("an issuer that differs by a slash was found")
	}
}
