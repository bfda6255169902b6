package jose_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"moneyer/internal/jose"
)

func TestParseClaims(t *testing.T) {
	for name, tc := range map[string]struct {
		payload string
		want    jose.Claims
	}{
		"empty": {`{}`, jose.Claims{}},
		"all": {
			`{"iss":"i","sub":"s","aud":"a","exp":3,"nbf":1,"iat":2,"jti":"j","client_id":"c","scope":"x y"}`,
			jose.Claims{
				Present: 1<<9 - 1, Issuer: "i", Subject: "s", Audience: []string{"a"},
				Expiry: 3, NotBefore: 1, IssuedAt: 2, ID: "j", ClientID: "c", Scope: "x y",
			},
		},
		"array of one":      {`{"aud":["a"]}`, jose.Claims{Present: jose.ClaimAudience, Audience: []string{"a"}}},
		"array of none":     {`{"aud":[]}`, jose.Claims{Present: jose.ClaimAudience}},
		"present but empty": {`{"iss":"","exp":0}`, jose.Claims{Present: jose.ClaimIssuer | jose.ClaimExpiry}},
		"largest date":      {`{"exp":9007199254740991}`, jose.Claims{Present: jose.ClaimExpiry, Expiry: 1<<53 - 1}},
		"other names":       {`{"ISS":"x","Exp":"x","i\u017fs":1,"a":{"iss":1}}`, jose.Claims{}},
		"escaped":           {`{"\u0069ss":"\u0061\ud83d\ude00"}`, jose.Claims{Present: jose.ClaimIssuer, Issuer: "a😀"}},
		"longest":           {fmt.Sprintf(`{"jti":%q}`, strings.Repeat("j", 256)), jose.Claims{Present: jose.ClaimID, ID: strings.Repeat("j", 256)}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := jose.ParseClaims([]byte(tc.payload))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, *got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseClaimsRefuses(t *testing.T) {
	many := strings.Repeat(`"a",`, 16) + `"a"`
	for _, payload := range []string{
		``, `null`, `[]`, `{"iss":"a"}x`, `{"iss":"a","iss":"a"}`, `{"a":{"b":1,"b":1}}`,
		`{"iss":null}`, `{"iss":1}`, `{"sub":["a"]}`, `{"jti":1}`, `{"client_id":{}}`, `{"scope":["a"]}`,
		`{"aud":null}`, `{"aud":1}`, `{"aud":[1]}`, `{"aud":["a",null]}`, `{"aud":[["a"]]}`, `{"aud":[` + many + `]}`,
		`{"exp":"1"}`, `{"exp":"1.5"}`, `{"exp":1.5e3}`, `{"exp":-0.5}`, `{"exp":1e3}`, `{"exp":1E0}`, `{"exp":-1}`, `{"exp":-0}`, `{"exp":null}`,
		`{"exp":9007199254740992}`, `{"exp":99999999999999999999}`, `{"nbf":9223372036854775807}`, `{"iat":true}`, `{"exp":01}`,
		`{"iss":"` + strings.Repeat("i", 257) + `"}`, `{"aud":"` + strings.Repeat("a", 1025) + `"}`, `{"scope":"` + strings.Repeat("s", 2049) + `"}`,
	} {
		claims, err := jose.ParseClaims([]byte(payload))
		if !errors.Is(err, jose.ErrClaims) || claims != nil {
			t.Errorf("%.60s: %v", payload, err)
		}
	}
}

func TestParseClaimsNamesTheClaim(t *testing.T) {
	_, err := jose.ParseClaims([]byte(`{"iss":"a","exp":"soon"}`))
	if want := "JWT claims not acceptable: exp: JSON at byte 17: want a number of seconds, have a string: write it without quotes"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// TestFractionalDates: libraries that write moments as floats are understood; the part of a second is
// left out, so that nothing lives longer than it says.
func TestFractionalDates(t *testing.T) {
	compact, err := os.ReadFile("testdata/fractional-dates/float.jwt")
	if err != nil {
		t.Fatal(err)
	}
	jws, err := jose.Parse(strings.TrimSpace(string(compact)))
	if err != nil {
		t.Fatal(err)
	}
	claims, err := jose.ParseClaims(jws.Payload)
	if err != nil || claims.Expiry != 1796048209 || claims.IssuedAt != 1796048089 || !claims.Has(jose.ClaimExpiry|jose.ClaimIssuedAt) {
		t.Errorf("%+v, %v", claims, err)
	}
}

// TestEd25519Name: the name of RFC 9864 means EdDSA, in a header and in a JWK; the key decides the
// algorithm as for every other name.
func TestEd25519Name(t *testing.T) {
	read := func(name string) []byte {
		data, err := os.ReadFile("testdata/ed25519/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	jws, err := jose.Parse(strings.TrimSpace(string(read("Ed25519.jwt"))))
	if err != nil || jws.Header.Alg != "EdDSA" {
		t.Fatalf("%+v, %v", jws, err)
	}
	for _, alg := range []jose.Alg{"", jose.EdDSA, jose.AlgOf("Ed25519")} {
		key, kid, err := jose.ParseJWK(read("jwk.Ed25519.json"), alg)
		if err != nil || kid != "ed1" || key.Alg() != jose.EdDSA || key.Thumbprint() != caseEd {
			t.Fatalf("%q: %v", alg, err)
		}
		if err := jws.Verify(key); err != nil {
			t.Error(err)
		}
	}
	set, err := jose.ParseKeySet(read("jwks.Ed25519.json"), jose.KeySetRules{Algs: []jose.Alg{jose.EdDSA}})
	if key := set.Find("ed1", jws.Header.Alg); err != nil || key == nil || jws.Verify(key) != nil {
		t.Error(err, key)
	}
	ec := newSigner(t, jose.ES256, "", "").Public()
	if err := jws.Verify(ec); !errors.Is(err, jose.ErrAlgMismatch) {
		t.Error(err)
	}
	for _, name := range []string{"ed25519", "Ed448", "ED25519"} {
		if jose.AlgOf(name).Known() {
			t.Error(name)
		}
	}
	if _, _, err := jose.ParseJWK([]byte(`{"kty":"EC","crv":"P-256","alg":"Ed25519","x":"AAAA","y":"AAAA"}`), ""); err == nil {
		t.Error("Ed25519 for an EC key")
	}
}

func TestParseClaimsAllocatesLittle(t *testing.T) {
	payload := []byte(`{"iss":"issuer","sub":"subject","aud":"audience","exp":1636033366,"iat":1636033186,"jti":"abc"}`)
	allocs := testing.AllocsPerRun(100, func() {
		if _, err := jose.ParseClaims(payload); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 5 {
		t.Errorf("%v allocations", allocs)
	}
}

// TestEd25519Words: whoever names an algorithm may say Ed25519; what is made of it says EdDSA.
func TestEd25519Words(t *testing.T) {
	private, err := jose.GenerateKey("Ed25519")
	if err != nil {
		t.Fatal(err)
	}
	public, err := jose.NewPublicKey(private.Public(), "Ed25519")
	if err != nil || public.Alg() != jose.EdDSA {
		t.Fatal(err)
	}
	if again, _, err := jose.ParsePublic(public.PEM(), "Ed25519"); err != nil || again.Alg() != jose.EdDSA {
		t.Error(err)
	}
	signer, err := jose.NewSigner(private, "Ed25519", "", "")
	if err != nil || signer.Alg() != jose.EdDSA {
		t.Fatal(err)
	}
	compact, err := signer.Sign(nil, []byte("{}"))
	if err != nil || !strings.HasPrefix(string(compact), b64(`{"alg":"EdDSA"}`)+".") {
		t.Errorf("%s, %v", compact, err)
	}
}
