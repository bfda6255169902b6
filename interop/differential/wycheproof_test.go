package differential

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/c2sp/wycheproof"

	"moneyer/internal/jose"
)

// The parts of Project Wycheproof's files that are used.
type (
	wycheproofFile struct {
		TestGroups []wycheproofGroup `json:"testGroups"`
	}
	wycheproofGroup struct {
		Comment      string           `json:"comment"`
		PublicKeyPEM string           `json:"publicKeyPem"`
		Public       json.RawMessage  `json:"public"`
		Private      json.RawMessage  `json:"private"`
		Tests        []wycheproofTest `json:"tests"`
	}
	wycheproofTest struct {
		ID      int             `json:"tcId"`
		Comment string          `json:"comment"`
		JWS     json.RawMessage `json:"jws"`
		Msg     string          `json:"msg"`
		Sig     string          `json:"sig"`
		Result  string          `json:"result"`
		Flags   []string        `json:"flags"`
	}
)

func wycheproofGroups(t *testing.T, name string) []wycheproofGroup {
	t.Helper()
	data, err := fs.ReadFile(wycheproof.TestVectors, name)
	if err != nil {
		t.Fatal(err)
	}
	var file wycheproofFile
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	return file.TestGroups
}

// TestWycheproofSignatures verifies bare signatures with keys in PEM. The only exception is RSA
// keys with the exponent 3, which we refuse by policy.
func TestWycheproofSignatures(t *testing.T) {
	for name, alg := range map[string]jose.Alg{
		"ecdsa_secp256r1_sha256_p1363_test.json": jose.ES256,
		"ed25519_test.json":                      jose.EdDSA,
		"rsa_signature_2048_sha256_test.json":    jose.RS256,
		"rsa_signature_3072_sha256_test.json":    jose.RS256,
		"rsa_signature_4096_sha256_test.json":    jose.RS256,
		"rsa_pss_2048_sha256_mgf1_32_test.json":  jose.PS256,
		"rsa_pss_3072_sha256_mgf1_32_test.json":  jose.PS256,
		"rsa_pss_4096_sha256_mgf1_32_test.json":  jose.PS256,
	} {
		t.Run(name, func(t *testing.T) {
			for _, group := range wycheproofGroups(t, name) {
				key, _, err := jose.ParsePublic([]byte(group.PublicKeyPEM), alg)
				if err != nil {
					if !exponent3(group.PublicKeyPEM) {
						t.Errorf("key: %v\n%s", err, group.PublicKeyPEM)
					}
					continue
				}
				for _, test := range group.Tests {
					msg, _ := hex.DecodeString(test.Msg)
					sig, _ := hex.DecodeString(test.Sig)
					got := key.Verify(msg, sig) == nil
					if want := test.Result == "valid"; got != want {
						t.Errorf("%d %s (%s): verifies %t, want %s", test.ID, test.Comment, test.Flags, got, test.Result)
					}
				}
			}
		})
	}
}

func exponent3(text string) bool {
	block, _ := pem.Decode([]byte(text))
	pub, _ := x509.ParsePKIXPublicKey(block.Bytes)
	key, ok := pub.(*rsa.PublicKey)
	return ok && key.E == 3
}

// TestWycheproofOtherPSS: signatures with another salt length or mask are valid RSASSA-PSS but not
// PS256.
func TestWycheproofOtherPSS(t *testing.T) {
	for _, name := range []string{"rsa_pss_2048_sha256_mgf1_0_test.json", "rsa_pss_2048_sha256_mgf1sha1_20_test.json"} {
		for _, group := range wycheproofGroups(t, name) {
			key, _, err := jose.ParsePublic([]byte(group.PublicKeyPEM), jose.PS256)
			if err != nil {
				t.Fatal(err)
			}
			for _, test := range group.Tests {
				msg, _ := hex.DecodeString(test.Msg)
				sig, _ := hex.DecodeString(test.Sig)
				if test.Result == "valid" && key.Verify(msg, sig) == nil {
					t.Errorf("%s: %d %s verifies", name, test.ID, test.Comment)
				}
			}
		}
	}
}

// TestWycheproofJOSE verifies tokens with keys in a JWK or a JWK set. Valid tokens with algorithms
// that internal/jose does not support (HMAC, the SHA-384 and SHA-512 families, JWE) must be
// refused; there is no other exception.
func TestWycheproofJOSE(t *testing.T) {
	accepted := 0
	for _, name := range []string{"json_web_signature_test.json", "json_web_crypto_test.json", "json_web_key_test.json"} {
		t.Run(name, func(t *testing.T) {
			for _, group := range wycheproofGroups(t, name) {
				for _, test := range group.Tests {
					got := wycheproofAccepts(group, test)
					want := test.Result == "valid" && wycheproofAlg(test).Known()
					if got != want {
						t.Errorf("%s %d %s (%s): accepted %t, want %t\n%s", group.Comment, test.ID, test.Comment, test.Flags, got, want, test.JWS)
					}
					if got {
						accepted++
					}
				}
			}
		})
	}
	if accepted < 15 {
		t.Errorf("only %d tokens were accepted", accepted)
	}
}

// wycheproofAlg parses the alg of a token leniently.
func wycheproofAlg(test wycheproofTest) jose.Alg {
	var compact string
	_ = json.Unmarshal(test.JWS, &compact)
	encoded, _, _ := strings.Cut(compact, ".")
	decoded, _ := base64.RawURLEncoding.DecodeString(encoded)
	var header struct{ Alg jose.Alg }
	_ = json.Unmarshal(decoded, &header)
	return header.Alg
}

func wycheproofAccepts(group wycheproofGroup, test wycheproofTest) bool {
	var compact string
	if json.Unmarshal(test.JWS, &compact) != nil {
		return false
	}
	j, err := jose.Parse(compact)
	if err != nil {
		return false
	}
	key := group.Public
	if key == nil {
		key = group.Private
	}
	set, err := jose.ParseKeySet(key, jose.KeySetRules{})
	keys := set.Keys
	if err != nil {
		public, kid, err := jose.ParseJWK(key, "")
		if err != nil {
			return false
		}
		keys = []jose.NamedKey{{Kid: kid, Key: public}}
	}
	return slices.ContainsFunc(keys, func(k jose.NamedKey) bool {
		return k.Kid == j.Header.Kid && j.Verify(k.Key) == nil
	})
}
