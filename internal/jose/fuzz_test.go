package jose_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	josev4 "github.com/go-jose/go-jose/v4"

	"moneyer/internal/jose"
)

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "..", "a.b.c", rfc7515RS256, rfc7515ES256, rfc8037EdDSA, rfc7515ES256 + "=",
		withHeader(`{"alg":"none"}`), withHeader(`{"alg":"ES256","kid":"\ud83d\ude00","typ":"JWT"}`),
		withHeader(`{"alg":"ES256","crit":["b64"],"b64":false}`), withHeader(`{"alg":"ES256","alg":"HS256"}`),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, compact string) {
		j, err := jose.Parse(compact)
		if err != nil {
			if j != nil || !errors.Is(err, jose.ErrMalformed) && !errors.Is(err, jose.ErrHeader) {
				t.Fatalf("%v, %v", j, err)
			}
			return
		}
		if len(compact) > jose.MaxLength || j.Header.Alg == "" || strings.EqualFold(j.Header.Alg, "none") {
			t.Fatalf("accepted %+v", j.Header)
		}
		header, _, _ := strings.Cut(compact, ".")
		again := header + "." + b64(string(j.Payload)) + "." + b64(string(j.Signature))
		if again != compact || !strings.HasPrefix(compact, string(j.SigningInput)+".") {
			t.Fatalf("a second encoding of %s", again)
		}
	})
}

func FuzzParseClaims(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"iss":"a","sub":"b","aud":["c","d"],"exp":1,"nbf":2,"iat":3,"jti":"e","client_id":"f","scope":"g h"}`,
		`{"aud":"a"}`, `{"exp":1e3}`, `{"exp":1700000000.9}`, `{"exp":-0}`, `{"exp":-0.5}`, `{"EXP":1,"exp":2}`, `{"\u0069ss":"\ud83d\ude00"}`, ` { "a" : [ 1 , { } ] } `,
		`{"sub":"` + strings.Repeat("x", jose.MaxClaim+1) + `"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		c, err := jose.ParseClaims(payload)
		if wide, err := jose.ParseClaimsOf(payload, jose.MaxSubject); err == nil && (len(wide.Subject) > jose.MaxClaim) == reflect.DeepEqual(c, wide) {
			t.Fatalf("with another bound of sub: %+v, want %+v", wide, c)
		}
		if err != nil {
			if c != nil || !errors.Is(err, jose.ErrClaims) {
				t.Fatalf("%v, %v", c, err)
			}
			return
		}
		var theirs map[string]any
		decoder := json.NewDecoder(bytes.NewReader(payload))
		decoder.UseNumber()
		if err := decoder.Decode(&theirs); err != nil {
			t.Fatalf("accepted what encoding/json refuses: %v", err)
		}
		for name, has := range map[string]jose.ClaimSet{"iss": jose.ClaimIssuer, "exp": jose.ClaimExpiry, "aud": jose.ClaimAudience} {
			if _, ok := theirs[name]; ok != c.Has(has) {
				t.Fatalf("presence of %s: %t", name, c.Has(has))
			}
		}
		if c.Has(jose.ClaimIssuer) && theirs["iss"] != c.Issuer {
			t.Fatalf("iss %q, want %q", c.Issuer, theirs["iss"])
		}
		if c.Has(jose.ClaimExpiry) {
			text := string(theirs["exp"].(json.Number))
			whole, _, _ := strings.Cut(text, ".")
			if n, err := strconv.ParseInt(whole, 10, 64); err != nil || n != c.Expiry || n < 0 || strings.ContainsAny(text, "eE-") {
				t.Fatalf("exp %d, want %v", c.Expiry, theirs["exp"])
			}
		}
	})
}

func FuzzParseConfirmation(f *testing.F) {
	const thumbprint = "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2" // RFC 8705 §3.1
	for _, seed := range []string{
		`{"x5t#S256":"` + thumbprint + `"}`, `{"x5t\u0023S256":"` + thumbprint + `"}`, `{}`, `null`, `{"jkt":"` + thumbprint + `"}`,
		`{"x5t#S256":"` + thumbprint + `","jkt":1}`, `{"x5t#S256":["` + thumbprint + `"]}`, `{"x5t#S256":"` + thumbprint[:42] + `\n"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, cnf []byte) {
		digest, err := jose.ParseConfirmation(cnf)
		if err != nil {
			if !errors.Is(err, jose.ErrClaims) {
				t.Fatal(err)
			}
			return
		}
		var theirs map[string]string
		if err := json.Unmarshal(cnf, &theirs); err != nil || len(theirs) != 1 {
			t.Fatalf("accepted %q, of which encoding/json says %v, %v", cnf, theirs, err)
		}
		if text := theirs["x5t#S256"]; text != base64.RawURLEncoding.EncodeToString(digest[:]) {
			t.Fatalf("%q was read as %x", text, digest)
		}
	})
}

func FuzzParseJWK(f *testing.F) {
	for _, seed := range []string{
		`{}`, rfc7638RSA, rfc7515EC, rfc8037OKP, rfc7520EC, `{"kty":"oct","k":"AA"}`,
		`{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","use":"sig"}`,
		`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"a"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if signer, err := jose.ParsePrivate(data); err == nil {
			if _, err := jose.KeyAlg(signer.Public()); err != nil {
				t.Fatal(err)
			}
		}
		key, kid, err := jose.ParseJWK(data, "")
		if err != nil {
			return
		}
		var theirs josev4.JSONWebKey
		if err := json.Unmarshal(data, &theirs); err == nil && !theirs.IsPublic() {
			t.Fatal("accepted a private key")
		}
		again, kidAgain, err := jose.ParseJWK(key.AppendJWK(nil, kid), key.Alg())
		if err != nil || again.Thumbprint() != key.Thumbprint() || kidAgain != kid {
			t.Fatalf("round trip failed: %v", err)
		}
	})
}

func FuzzParsePublic(f *testing.F) {
	for _, alg := range algs {
		public := newSigner(f, alg, "", "").Public()
		private, err := jose.MarshalPrivatePEM(testKey(f, alg))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(public.PEM())
		f.Add(public.AppendJWK(nil, "k"))
		f.Add(private)
		f.Add(bytes.ReplaceAll(public.PEM(), []byte("\n"), []byte(" \r\n")))
	}
	for _, folder := range []string{"key-files", "key-sets"} {
		names, err := filepath.Glob("testdata/" + folder + "/*")
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if block, _ := pem.Decode(data); block != nil {
			_, _ = jose.ParseCertificate(block.Bytes)
			_, _ = jose.ParseCertificate(data)
		}
		for want := jose.WantPublic; want <= jose.WantCertificate; want++ {
			if err := jose.NearMiss(data, want); err == nil || len(err.Error()) > 500 || strings.ContainsAny(err.Error(), "\n\x00") {
				t.Fatalf("a near miss is told as %v", err)
			}
		}
		_, _ = jose.ParsePrivate(data)
		for _, rules := range []jose.KeySetRules{{}, {SPIFFE: true, Algs: []jose.Alg{jose.PS256}}} {
			if set, err := jose.ParseKeySet(data, rules); err == nil {
				checkSet(t, &set)
			}
		}
		key, kid, err := jose.ParsePublic(data, "")
		if err != nil {
			if key != nil {
				t.Fatal("a key came with the error")
			}
			return
		}
		if bytes.Contains(data, []byte("PRIVATE KEY-----")) && !bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
			t.Fatal("accepted a private key")
		}
		again, _, err := jose.ParsePublic(key.PEM(), key.Alg())
		if err != nil || again.Thumbprint() != key.Thumbprint() || !utf8.ValidString(kid) {
			t.Fatalf("round trip failed: %v", err)
		}
	})
}

// checkSet checks that each key of a set is found as itself, by its kid or thumbprint and its algorithm.
func checkSet(t *testing.T, set *jose.KeySet) {
	t.Helper()
	for _, named := range set.Keys {
		kid := named.Kid
		if kid == "" {
			kid = named.Key.Thumbprint()
		}
		found := set.Find(kid, string(named.Key.Alg()))
		if found == nil || found.Alg() != named.Key.Alg() || named.Kid != "" && found.Thumbprint() != named.Key.Thumbprint() {
			t.Fatalf("kid %q of %s is found as %v", kid, named.Key.Alg(), found)
		}
	}
	if report := set.Report(); (report == "") != (len(set.Skipped) == 0) || strings.Contains(report, "\n") {
		t.Fatalf("%d left out, told as %q", len(set.Skipped), report)
	}
}

// FuzzAgainstGoJOSE signs a header and a payload, or takes a token as it comes,
// under registered keys. Whatever Parse and Verify accept, go-jose must accept under
// the same key with the same payload. interop/differential does it with golang-jwt.
func FuzzAgainstGoJOSE(f *testing.F) {
	signers := map[jose.Alg]*jose.Signer{}
	for alg, jwk := range map[jose.Alg]string{jose.ES256: rfc7515EC, jose.RS256: rfc7515RSA, jose.PS256: rfc7515RSA, jose.EdDSA: rfc8037OKP} {
		key, err := jose.ParsePrivate([]byte(jwk))
		if err != nil {
			f.Fatal(err)
		}
		if signers[alg], err = jose.NewSigner(key, alg, "", ""); err != nil {
			f.Fatal(err)
		}
	}
	for _, token := range []string{rfc7515RS256, rfc7515ES256, rfc8037EdDSA} {
		f.Add(token, "", "")
	}
	for _, header := range []string{
		`{"alg":"ES256"}`, `{"alg":"Ed25519"}`, `{"alg":"EdDSA","kid":"a","typ":"JWT"}`, `{"alg":"PS256"}`, `{"ALG":"none","alg":"ES256"}`,
		`{"alg":"ES256","Alg":"RS256"}`, `{"alg":"ES256","KID":1}`, `{"alg":"ES256","x5t":1}`, `{"alg":"ES256","nonce":1}`, `{"alg":"ES256","cty":1}`,
	} {
		f.Add("", header, `{"iss":"a","exp":1}`)
		f.Add("", header, `text`)
	}
	f.Fuzz(func(t *testing.T, token, header, payload string) {
		if token == "" {
			token = signAnyHeader(signers, header, payload)
		}
		j, err := jose.Parse(token)
		if err != nil {
			return
		}
		signer, ok := signers[jose.Alg(j.Header.Alg)]
		if !ok || j.Verify(signer.Public()) != nil {
			return
		}
		agree(t, token, j, signer.Public())
	})
}

// signAnyHeader signs with the key that header names, whatever else it says.
func signAnyHeader(signers map[jose.Alg]*jose.Signer, header, payload string) string {
	input := b64(header) + "." + b64(payload)
	j, err := jose.Parse(input + ".AAAA")
	if err != nil {
		return ""
	}
	signer, ok := signers[jose.Alg(j.Header.Alg)]
	if !ok {
		return ""
	}
	sig, err := jose.SignInput(signer, []byte(input))
	if err != nil {
		return ""
	}
	return input + "." + b64(string(sig))
}

// agree verifies an accepted token with go-jose.
func agree(t *testing.T, token string, j *jose.JWS, key *jose.PublicKey) {
	t.Helper()
	theirs, err := josev4.ParseSignedCompact(token, []josev4.SignatureAlgorithm{josev4.SignatureAlgorithm(key.Alg())})
	switch {
	case err == nil:
		payload, err := theirs.Verify(key.CryptoKey())
		if err != nil || !bytes.Equal(payload, j.Payload) {
			t.Fatalf("go-jose reads %q, not %q: %v", payload, j.Payload, err)
		}
	case key.Alg() == jose.EdDSA && strings.Contains(err.Error(), "Ed25519"):
		// go-jose does not know that name (RFC 9864).
	case strings.Contains(err.Error(), "json: cannot unmarshal") || foldedName(token):
		// go-jose checks the types of members that we ignore, and matches names without case.
	default:
		t.Fatalf("go-jose does not parse %s: %v", token, err)
	}
}

// foldedName reports whether the header has a name that equals one of ours except for case.
func foldedName(token string) bool {
	encoded, _, _ := strings.Cut(token, ".")
	header, _ := base64.RawURLEncoding.DecodeString(encoded)
	var members map[string]json.RawMessage
	if json.Unmarshal(header, &members) != nil {
		return false
	}
	for name := range members {
		for _, ours := range []string{"alg", "kid", "typ", "crit", "b64", "zip", "enc", "jwk", "jku", "x5u", "x5c", "nonce", "cty", "x5t"} {
			if name != ours && strings.EqualFold(name, ours) {
				return true
			}
		}
	}
	return false
}
