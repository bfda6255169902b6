package differential

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"moneyer/internal/jose"
)

// registered returns fixed keys by algorithm, so that a token signed by one fuzzing process
// verifies in all others: those of RFC 7515 appendix A.2 and A.3 and of RFC 8037 appendix A.1.
func registered(t testing.TB) map[jose.Alg]crypto.Signer {
	t.Helper()
	keys := map[jose.Alg]crypto.Signer{}
	for alg, file := range map[jose.Alg]string{
		jose.ES256: "rfc7515-ec.json", jose.RS256: "rfc7515-rsa.json", jose.PS256: "rfc7515-rsa.json", jose.EdDSA: "rfc8037-okp.json",
	} {
		jwk, err := os.ReadFile(filepath.Join("../../internal/jose/testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		if keys[alg], err = jose.ParsePrivate(jwk); err != nil {
			t.Fatal(err)
		}
	}
	return keys
}

// FuzzJWS signs a header and a payload, or uses a given token. Whatever jose.Parse and Verify
// accept with a registered key, golang-jwt must accept with the same key.
func FuzzJWS(f *testing.F) {
	keys := registered(f)
	for alg := range keys {
		f.Add(signAnyHeader(f, keys, `{"alg":"`+string(alg)+`","kid":"a"}`, `{"iss":"joe","exp":1300819380}`), "", "")
	}
	for _, header := range []string{
		`{"alg":"ES256"}`, `{"alg":"EdDSA","kid":"a","typ":"JWT"}`, `{"alg":"PS256"}`, `{"alg":"RS256"}`, `{"ALG":"none","alg":"ES256"}`,
		`{"alg":"ES256","Alg":"RS256"}`, `{"alg":"ES256","KID":1}`, `{"alg":"ES256","x5t":1}`, `{"alg":"ES256","nonce":1}`, `{"alg":"ES256","cty":1}`,
	} {
		f.Add("", header, `{"iss":"a","exp":1}`)
		f.Add("", header, `text`)
	}
	f.Fuzz(func(t *testing.T, token, header, payload string) {
		if token == "" {
			token = signAnyHeader(t, keys, header, payload)
		}
		j, err := jose.Parse(token)
		if err != nil {
			return
		}
		alg := jose.Alg(j.Header.Alg)
		key, ok := keys[alg]
		if !ok {
			return
		}
		public, err := jose.NewPublicKey(key.Public(), alg)
		if err != nil {
			t.Fatal(err)
		}
		if j.Verify(public) != nil {
			return
		}
		parser := jwt.NewParser(jwt.WithValidMethods([]string{string(alg)}), jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation())
		_, err = parser.ParseWithClaims(token, jwt.MapClaims{}, func(*jwt.Token) (any, error) { return key.Public(), nil })
		if errors.Is(err, jwt.ErrTokenMalformed) && json.Unmarshal(j.Payload, &map[string]any{}) != nil {
			return // a JWS that is not a JWT
		}
		if errors.Is(err, jwt.ErrTokenUnverifiable) && alg == jose.EdDSA {
			return // golang-jwt does not know the name Ed25519 (RFC 9864)
		}
		if err != nil {
			t.Fatalf("golang-jwt does not verify %s: %v", token, err)
		}
	})
}

// signAnyHeader signs with the key for the algorithm in header, whatever else it says; "" if there
// is none.
func signAnyHeader(t testing.TB, keys map[jose.Alg]crypto.Signer, header, payload string) string {
	t.Helper()
	input := b64(header) + "." + b64(payload)
	j, err := jose.Parse(input + ".AAAA")
	if err != nil {
		return ""
	}
	alg := jose.Alg(j.Header.Alg)
	key, ok := keys[alg]
	if !ok {
		return ""
	}
	return input + "." + b64(rawSignature(t, alg, key, input))
}

// rawSignature signs as in RFC 7518 section 3 and RFC 8037 section 3.1.
func rawSignature(t testing.TB, alg jose.Alg, key crypto.Signer, input string) []byte {
	t.Helper()
	digest := sha256.Sum256([]byte(input))
	message, options := digest[:], crypto.SignerOpts(crypto.SHA256)
	switch alg {
	case jose.EdDSA:
		message, options = []byte(input), crypto.Hash(0)
	case jose.PS256:
		options = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
	case jose.ES256:
		return rawES256(t, key, message)
	}
	sig, err := key.Sign(rand.Reader, message, options)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

func rawES256(t testing.TB, key crypto.Signer, digest []byte) []byte {
	t.Helper()
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		t.Fatalf("a key of type %T", key)
	}
	r, s, err := ecdsa.Sign(rand.Reader, ec, digest)
	if err != nil {
		t.Fatal(err)
	}
	sig := make([]byte, 64)
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	return sig
}
