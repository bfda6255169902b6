package interop

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
)

const jwtBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"

// signing is one assertion to sign.
type signing struct {
	// PEM is the private key in PKCS #8.
	PEM    string         `json:"pem"`
	Alg    string         `json:"alg"`
	Kid    string         `json:"kid,omitempty"`
	Claims map[string]any `json:"claims"`

	key *key
}

// signer is a program or library that makes compact JWTs.
type signer struct {
	name string
	need func(*testing.T)
	sign func(*testing.T, []signing) []string
}

func signers() []signer {
	node := func(library string) func(*testing.T, []signing) []string {
		return func(t *testing.T, work []signing) (tokens []string) {
			askNode(t, "sign.mjs", library, work, &tokens)
			return tokens
		}
	}
	python := func(library string) func(*testing.T, []signing) []string {
		return func(t *testing.T, work []signing) (tokens []string) {
			askPython(t, "sign.py", library, work, &tokens)
			return tokens
		}
	}
	newest := func(library string) func(*testing.T, []signing) []string {
		return func(t *testing.T, work []signing) (tokens []string) {
			askNewestPython(t, "sign.py", library, work, &tokens)
			return tokens
		}
	}
	return []signer{
		{"openssl", needProgram("openssl"), eachSigned(signWithOpenSSL)},
		{"npm jose 3", needNode("jose-3"), node("jose-3")},
		{"npm jose newest", needNode("jose"), node("jose")},
		{"python jwcrypto", needPython("jwcrypto", "python3-jwcrypto"), python("jwcrypto")},
		{"python authlib", needPython("authlib", "python3-authlib"), python("authlib")},
		{"pypi authlib", needNewestPython, newest("authlib")},
		{"pypi joserfc", needNewestPython, newest("joserfc")},
		{"golang-jwt", needNothing, eachSigned(signWithGolangJWT)},
		{"go-jose", needNothing, eachSigned(signWithGoJOSE)},
	}
}

func eachSigned(sign func(*testing.T, signing) string) func(*testing.T, []signing) []string {
	return func(t *testing.T, work []signing) (tokens []string) {
		for _, w := range work {
			tokens = append(tokens, sign(t, w))
		}
		return tokens
	}
}

// signWithOpenSSL signs with the openssl program and its own key file.
func signWithOpenSSL(t *testing.T, w signing) string {
	t.Helper()
	der, input := derFromOpenSSL(t, w)
	if w.Alg != "ES256" {
		return input + "." + b64(der)
	}
	var sig struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &sig); err != nil {
		t.Fatal(err)
	}
	raw := make([]byte, 64) // RFC 7518 §3.4
	sig.R.FillBytes(raw[:32])
	sig.S.FillBytes(raw[32:])
	return input + "." + b64(raw)
}

// derFromOpenSSL returns the signature in DER and the signed input.
func derFromOpenSSL(t *testing.T, w signing) (sig []byte, input string) {
	t.Helper()
	header := map[string]any{"alg": w.Alg}
	if w.Kid != "" {
		header["kid"] = w.Kid
	}
	input = b64JSON(t, header) + "." + b64JSON(t, w.Claims)
	file := filepath.Join(t.TempDir(), "input")
	if err := os.WriteFile(file, []byte(input), 0o600); err != nil {
		t.Fatal(err)
	}
	switch w.Alg {
	case "EdDSA":
		return program(t, nil, "openssl", "pkeyutl", "-sign", "-rawin", "-inkey", w.key.own, "-in", file), input
	case "PS256":
		return program(t, nil, "openssl", "dgst", "-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest",
			"-sign", w.key.own, file), input
	default:
		return program(t, nil, "openssl", "dgst", "-sha256", "-sign", w.key.own, file), input
	}
}

func signWithGolangJWT(t *testing.T, w signing) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.GetSigningMethod(w.Alg), jwt.MapClaims(w.Claims))
	if w.Kid != "" {
		token.Header["kid"] = w.Kid
	}
	compact, err := token.SignedString(privateKey(t, w.Alg, w.PEM))
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

// privateKey reads PKCS #8 with golang-jwt.
func privateKey(t *testing.T, alg, text string) crypto.PrivateKey {
	t.Helper()
	var key crypto.PrivateKey
	var err error
	switch alg {
	case "ES256":
		key, err = jwt.ParseECPrivateKeyFromPEM([]byte(text))
	case "EdDSA":
		key, err = jwt.ParseEdPrivateKeyFromPEM([]byte(text))
	default:
		key, err = jwt.ParseRSAPrivateKeyFromPEM([]byte(text))
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func signWithGoJOSE(t *testing.T, w signing) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(w.Alg),
		Key: jose.JSONWebKey{Key: privateKey(t, w.Alg, w.PEM), KeyID: w.Kid}}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(w.Claims)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := s.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

// attempt is one assertion with its expected result.
type attempt struct {
	name string
	signing
	// spoil changes the signed assertion.
	spoil func(string) string
	want  string
}

const token = "token"

// assertionsFor returns the valid and invalid assertions to sign for an issuer.
func assertionsFor(t *testing.T, i issuer, client string, registered, stranger *key) []attempt {
	meta := i.metadata(t)
	claims := func(change map[string]any) map[string]any {
		c := assertionClaims(client, meta.Issuer)
		for name, value := range change {
			if c[name] = value; value == nil {
				delete(c, name)
			}
		}
		return c
	}
	with := func(name, want string, change map[string]any) attempt {
		return attempt{name: name, want: want,
			signing: signing{PEM: registered.pem(t), Alg: registered.alg, Kid: registered.kid, Claims: claims(change), key: registered}}
	}
	good := with("issuer as audience", token, nil)
	spoilt := func(name string, spoil func(string) string) attempt {
		a := with(name, "400 invalid_grant", nil)
		a.spoil = spoil
		return a
	}
	othersKey := with("another's key", "400 invalid_grant", nil)
	othersKey.PEM, othersKey.key = stranger.pem(t), stranger
	strangeKid := with("unknown kid", "400 invalid_grant", nil)
	strangeKid.Kid = "nobody-registered-this"
	now := time.Now().Unix()
	all := []attempt{
		good,
		with("endpoint as audience", token, map[string]any{"aud": meta.TokenEndpoint}),
		with("array of one audience", token, map[string]any{"aud": []string{meta.Issuer}}),
		with("no iat, no jti", token, map[string]any{"iat": nil, "jti": nil, "exp": now + 299}),
		with("15 minutes", token, map[string]any{"exp": now + 900}),
		spoilt("tampered claims", tamperClaims),
		spoilt("tampered signature", tamperSignature),
		spoilt("cut", func(s string) string { return s[:len(s)-4] }),
		othersKey, strangeKid,
		with("wrong audience", "400 invalid_grant", map[string]any{"aud": "https://auth.example.org"}),
		with("a foreign audience in addition", "400 invalid_grant", map[string]any{"aud": []string{meta.Issuer, "https://auth.example.org"}}),
		with("two hours", "400 invalid_grant", map[string]any{"exp": now + 7200}),
		with("expired", "400 invalid_grant", map[string]any{"iat": now - 1200, "exp": now - 600}),
		with("not yet", "400 invalid_grant", map[string]any{"nbf": now + 600}),
		with("no exp", "400 invalid_grant", map[string]any{"exp": nil}),
		with("another subject", "400 invalid_grant", map[string]any{"sub": "somebody01"}),
	}
	switch i {
	case d1, d1Banking:
		noKid := with("no kid", "400 invalid_grant", nil)
		noKid.Kid = ""
		lenient := map[issuer]string{d1: "400 invalid_grant", d1Banking: token}[i]
		all = append(all, noKid,
			with("name as audience", token, map[string]any{"aud": "stg"}),
			with("another environment's name", "400 invalid_grant", map[string]any{"aud": "prd"}),
			with("no audience", lenient, map[string]any{"aud": nil}),
			with("no subject", lenient, map[string]any{"sub": nil}))
	default:
		all = append(all, with("no audience", "400 invalid_grant", map[string]any{"aud": nil}))
	}
	return append(all, attempt{name: "the first one again", signing: good.signing, want: "400 invalid_grant"})
}

// assertionClaims returns the claims that every platform accepts.
func assertionClaims(client, audience string) map[string]any {
	now := time.Now()
	return map[string]any{"iss": client, "sub": client, "aud": audience, "iat": now.Unix(), "exp": now.Unix() + 300, "jti": fmt.Sprint("jti-", now.UnixNano())}
}

// TestSigners: signatures of real libraries are verified correctly, on both D1 profiles, and with
// every algorithm of plain OAuth 2.0.
func TestSigners(t *testing.T) {
	for _, s := range signers() {
		t.Run(s.name, func(t *testing.T) {
			s.need(t)
			for _, c := range []struct {
				issuer issuer
				alg    string
			}{
				{d1, "ES256"}, {d1Banking, "ES256"},
				{oauth2AS, "ES256"}, {oauth2AS, "RS256"}, {oauth2AS, "PS256"}, {oauth2AS, "EdDSA"},
			} {
				t.Run(string(c.issuer)+"/"+c.alg, func(t *testing.T) { s.try(t, c.issuer, c.alg) })
			}
		})
	}
}

func (s *signer) try(t *testing.T, i issuer, alg string) {
	client := i.newClient(t, newID())
	registered, stranger := newKey(t, alg), newKey(t, alg)
	registered.register(t, i, client)
	attempts := assertionsFor(t, i, client, registered, stranger)
	var work []signing
	for _, a := range attempts[:len(attempts)-1] {
		work = append(work, a.signing)
	}
	assertions := s.sign(t, work)
	if len(assertions) != len(work) {
		t.Fatalf("%d assertions for %d", len(assertions), len(work))
	}
	assertions = append(assertions, assertions[0])
	endpoint := i.endpoint(t)
	got, want := map[string]string{}, map[string]string{}
	for n, a := range attempts {
		want[a.name] = a.want
		if a.spoil != nil {
			assertions[n] = a.spoil(assertions[n])
		}
		got[a.name] = post(t, endpoint, url.Values{"grant_type": {jwtBearer}, "assertion": {assertions[n]}}).outcome()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
}

// answer is a response of a token endpoint.
type answer struct {
	status      int
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"`
	Scope       string `json:"scope"`
	Error       string `json:"error"`
}

func (a answer) outcome() string {
	if a.status == http.StatusOK && strings.Count(a.AccessToken, ".") == 2 && a.TokenType == "Bearer" {
		return token
	}
	return fmt.Sprint(a.status, " ", a.Error)
}

func post(t *testing.T, endpoint string, form url.Values) answer {
	t.Helper()
	resp, err := http.PostForm(endpoint, form)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode}
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		t.Fatalf("%s: %v", resp.Status, err)
	}
	return a
}

// tamperClaims changes one claim and keeps the signature.
func tamperClaims(compact string) string {
	parts := strings.Split(compact, ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		panic(err)
	}
	parts[1] = b64(bytes.Replace(payload, []byte(`{`), []byte(`{"admin":true,`), 1))
	return strings.Join(parts, ".")
}

// tamperSignature changes one bit in the middle of the signature.
func tamperSignature(compact string) string {
	at := strings.LastIndexByte(compact, '.') + 1
	sig, err := base64.RawURLEncoding.DecodeString(compact[at:])
	if err != nil {
		panic(err)
	}
	sig[len(sig)/2] ^= 1
	return compact[:at] + b64(sig)
}

func b64(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

func b64JSON(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b64(data)
}
