package assertion_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"moneyer/assertion"
	"moneyer/internal/jose"
)

// verified returns the header and payload of a token that key signed.
func verified(t *testing.T, token string, key crypto.Signer) (jose.Header, string) {
	t.Helper()
	j, err := jose.Parse(token)
	if err != nil {
		t.Fatal(err)
	}
	public, err := jose.NewPublicKey(key.Public(), jose.Alg(j.Header.Alg))
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Verify(public); err != nil {
		t.Fatal(err)
	}
	return j.Header, string(j.Payload)
}

func newKey(t *testing.T, alg string) crypto.Signer {
	t.Helper()
	key, err := assertion.GenerateKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestSign(t *testing.T) {
	now := time.Date(2026, time.November, 23, 12, 0, 0, 999, time.FixedZone("east", 3600))
	for name, tc := range map[string]struct {
		assertion assertion.Assertion
		want      string
	}{
		"nothing": {assertion.Assertion{}, `{}`},
		"all": {
			assertion.Assertion{
				Issuer: "i", Subject: "s", Audience: []string{"a"}, ID: "j",
				IssuedAt: now, NotBefore: now.Add(-time.Minute), Expiry: now.Add(time.Minute),
			},
			`{"iss":"i","sub":"s","aud":"a","jti":"j","iat":1795431600,"nbf":1795431540,"exp":1795431660}`,
		},
		"several audiences": {assertion.Assertion{Audience: []string{"a", "b"}}, `{"aud":["a","b"]}`},
		"1970":              {assertion.Assertion{IssuedAt: time.Unix(0, 0)}, `{"iat":0}`},
	} {
		t.Run(name, func(t *testing.T) {
			key := newKey(t, "")
			signer, err := assertion.NewSigner(key, "", "k", "client-authentication+jwt")
			if err != nil {
				t.Fatal(err)
			}
			token, err := signer.Sign(tc.assertion)
			if err != nil {
				t.Fatal(err)
			}
			header, payload := verified(t, token, key)
			if want := (jose.Header{Alg: "ES256", Kid: "k", Typ: "client-authentication+jwt"}); header != want {
				t.Errorf("header %+v", header)
			}
			if payload != tc.want {
				t.Errorf("payload %s, want %s", payload, tc.want)
			}
		})
	}
}

func TestSignKeepsEveryCharacter(t *testing.T) {
	key := newKey(t, "EdDSA")
	signer, err := assertion.NewSigner(key, "", "", "")
	if err != nil {
		t.Fatal(err)
	}
	want := "<a&b>\"\\\n\u2028é😀"
	token, err := signer.Sign(assertion.Assertion{Issuer: want})
	if err != nil {
		t.Fatal(err)
	}
	_, payload := verified(t, token, key)
	claims, err := jose.ParseClaims([]byte(payload))
	if err != nil || claims.Issuer != want {
		t.Errorf("%q, %v", payload, err)
	}
}

func TestSignRefuses(t *testing.T) {
	signer, err := assertion.NewSigner(newKey(t, ""), "", "", "")
	if err != nil {
		t.Fatal(err)
	}
	for name, a := range map[string]assertion.Assertion{
		"not UTF-8":          {Issuer: "a\xff"},
		"audience not UTF-8": {Audience: []string{"a", "\xff"}},
		"before 1970":        {Expiry: time.Unix(-1, 0)},
		"too long":           {Subject: strings.Repeat("s", 1<<14)},
	} {
		if token, err := signer.Sign(a); err == nil || token != "" || !strings.HasPrefix(err.Error(), "assertion: ") {
			t.Errorf("%s: %q, %v", name, token, err)
		}
	}
}

func TestAlgorithms(t *testing.T) {
	for _, tc := range []struct{ key, alg, want string }{
		{"ES256", "", "ES256"}, {"RS256", "", "RS256"}, {"RS256", "PS256", "PS256"}, {"PS256", "RS256", "RS256"}, {"EdDSA", "", "EdDSA"}, {"", "ES256", "ES256"},
	} {
		key := newKey(t, tc.key)
		signer, err := assertion.NewSigner(key, tc.alg, "k", "")
		if err != nil {
			t.Fatal(err)
		}
		if signer.Alg() != tc.want {
			t.Errorf("%s for %s is %s", tc.alg, tc.key, signer.Alg())
		}
		token, err := signer.Sign(assertion.Assertion{Issuer: "i"})
		if err != nil {
			t.Fatal(err)
		}
		verified(t, token, key)
	}
}

func TestKeys(t *testing.T) {
	for _, alg := range []string{"ES256", "RS256", "EdDSA"} {
		key := newKey(t, alg)
		pem, err := assertion.MarshalKey(key)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "key.pem")
		if err := os.WriteFile(path, pem, 0o600); err != nil {
			t.Fatal(err)
		}
		loaded, err := assertion.LoadKey(path)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := assertion.ParseKey(pem)
		if err != nil {
			t.Fatal(err)
		}
		want, err := assertion.Thumbprint(key)
		if err != nil {
			t.Fatal(err)
		}
		for _, again := range []crypto.Signer{loaded, parsed} {
			if got, err := assertion.Thumbprint(again); err != nil || got != want {
				t.Errorf("%s: thumbprint %s, %v, want %s", alg, got, err, want)
			}
		}
		public, err := assertion.PublicPEM(key)
		if err != nil {
			t.Fatal(err)
		}
		registered, _, err := jose.ParsePublic(public, jose.Alg(alg))
		if err != nil || registered.Thumbprint() != want {
			t.Errorf("%s: registered as %v, %v", alg, registered, err)
		}
		if _, err := assertion.ParseKey(public); err == nil {
			t.Error("a public key was taken for a private one")
		}
	}
}

func TestKeysRefused(t *testing.T) {
	if _, err := assertion.LoadKey(filepath.Join(t.TempDir(), "none.pem")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	path := filepath.Join(t.TempDir(), "bad.pem")
	if err := os.WriteFile(path, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := assertion.LoadKey(path); err == nil || !strings.Contains(err.Error(), "bad.pem") {
		t.Error(err)
	}
	if _, err := assertion.GenerateKey("HS256"); err == nil {
		t.Error("an HMAC key was made")
	}
	wrong, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := assertion.Thumbprint(wrong); err == nil {
		t.Error("a key on P-384 has a thumbprint here")
	}
	if _, err := assertion.PublicPEM(wrong); err == nil {
		t.Error("a key on P-384 can be registered")
	}
	for _, alg := range []string{"", "ES256", "ES384"} {
		if _, err := assertion.NewSigner(wrong, alg, "", ""); err == nil {
			t.Errorf("a key on P-384 signs as %q", alg)
		}
	}
	if _, err := assertion.NewSigner(nil, "", "", ""); err == nil {
		t.Error("nothing signs")
	}
	if _, err := assertion.MarshalKey(struct{ crypto.Signer }{wrong}); err == nil {
		t.Error("a key in hardware was written")
	}
}

func TestNewID(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := assertion.NewID()
		if len(id) != 21 || seen[id] {
			t.Fatalf("%q", id)
		}
		if _, err := base64.RawURLEncoding.DecodeString(id[:20]); err != nil {
			t.Fatalf("%q: %v", id, err)
		}
		seen[id] = true
	}
}
