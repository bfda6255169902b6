package bearer_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/golang-jwt/jwt/v5"

	"moneyer/bearer"
	"moneyer/internal/jose"
)

// oracles are libraries that are not ours, set up to want what m.verifier wants.
type oracles struct {
	oidc *oidc.IDTokenVerifier
	jwt  *jwt.Parser
	key  crypto.PublicKey
}

func (m *mint) oracles() *oracles {
	key := m.key.Public()
	return &oracles{
		oidc: oidc.NewVerifier(issuer, &oidc.StaticKeySet{PublicKeys: []crypto.PublicKey{key}}, &oidc.Config{
			ClientID: audience, SupportedSigningAlgs: []string{string(m.signer.Alg())}, Now: atNoon,
		}),
		jwt: jwt.NewParser(jwt.WithValidMethods([]string{string(m.signer.Alg())}), jwt.WithIssuer(issuer),
			jwt.WithAudience(audience), jwt.WithExpirationRequired(), jwt.WithTimeFunc(atNoon)),
		key: key,
	}
}

func (o *oracles) golangJWT(token string) error {
	_, err := o.jwt.Parse(token, func(*jwt.Token) (any, error) { return o.key, nil })
	return err
}

// What Verify accepts, the others accept; what all others refuse, Verify refuses.
func TestOthersAgree(t *testing.T) {
	for _, alg := range []jose.Alg{jose.ES256, jose.RS256, jose.PS256, jose.EdDSA} {
		m := newMint(t, alg, "k1", "at+jwt")
		stranger := newMint(t, alg, "k1", "at+jwt")
		v, others := m.verifier(t), m.oracles()
		accepted := 0
		for name, token := range map[string]string{
			"good":              m.token(t, nil),
			"several audiences": m.token(t, map[string]any{"aud": []string{"x", audience}}),
			"no optional claim": m.token(t, map[string]any{"sub": nil, "iat": nil, "jti": nil, "client_id": nil, "scope": nil}),
			"nbf now":           m.token(t, map[string]any{"nbf": noon.Unix()}),
			"exp in a second":   m.token(t, map[string]any{"exp": noon.Unix() + 1}),
			"exp now":           m.token(t, map[string]any{"exp": noon.Unix()}),
			"nbf in an hour":    m.token(t, map[string]any{"nbf": noon.Unix() + 3600}),
			"no exp":            m.token(t, map[string]any{"exp": nil}),
			"exp in words":      m.token(t, map[string]any{"exp": "later"}),
			"another issuer":    m.token(t, map[string]any{"iss": "https://evil.example"}),
			"another audience":  m.token(t, map[string]any{"aud": "https://evil.example"}),
			"no audience":       m.token(t, map[string]any{"aud": nil}),
			"a stranger":        stranger.token(t, nil),
			"another payload":   swap(m.token(t, nil), m.token(t, map[string]any{"sub": "x"})),
			"no signature":      strings.TrimRight(m.token(t, nil), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
			"alg none":          base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + m.token(t, nil)[strings.Index(m.token(t, nil), "."):],
		} {
			_, ours := v.Verify(t.Context(), token)
			_, byOIDC := others.oidc.Verify(t.Context(), token)
			byJWT := others.golangJWT(token)
			if ours == nil {
				accepted++
			}
			if ours == nil && (byOIDC != nil || byJWT != nil) {
				t.Errorf("%s: %s: accepted, but go-oidc says %v, golang-jwt %v", alg, name, byOIDC, byJWT)
			}
			if ours != nil && byOIDC == nil && byJWT == nil && name != "exp now" {
				t.Errorf("%s: %s: refused with %v, but the others accept", alg, name, ours)
			}
		}
		if accepted != 5 {
			t.Errorf("%s: %d accepted", alg, accepted)
		}
	}
}

// FuzzVerify: under a good signature by the issuer, whatever header and payload
// are, what Verify accepts golang-jwt accepts too; and Verify never accepts what
// the issuer did not sign.
func FuzzVerify(f *testing.F) {
	m := newMint(f, jose.ES256, "k1", "at+jwt")
	key, ok := m.key.(*ecdsa.PrivateKey)
	if !ok {
		f.Fatal("another kind of key")
	}
	f.Add(`{"alg":"ES256","kid":"k1","typ":"at+jwt"}`, `{"iss":"https://issuer.example","aud":"https://api.example","exp":1795435300,"scope":"a b"}`)
	f.Add(`{"alg":"ES256","kid":"k1","typ":"at+jwt","crit":[]}`, `{"iss":"https://issuer.example","aud":["https://api.example"],"exp":1795435300,"nbf":1}`)
	f.Add(`{"alg":"none","kid":"k1"}`, `{"iss":"https://issuer.example","iss":"x"}`)
	v, others := m.verifier(f), m.oracles()
	v.Keys = bearer.StaticKeys{"k1": m.bearerKey(f)}
	f.Fuzz(func(t *testing.T, header, payload string) {
		input := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
		token := input + "." + base64.RawURLEncoding.EncodeToString(rawSignature(t, key, input))
		claims, err := v.Verify(t.Context(), token)
		if (claims == nil) == (err == nil) {
			t.Fatalf("claims %v, error %v", claims, err)
		}
		if err != nil {
			return
		}
		if err := others.golangJWT(token); err != nil {
			t.Errorf("accepted, but golang-jwt says: %v", err)
		}
		if claims.Issuer != issuer || !claims.Expiry.After(noon) {
			t.Errorf("accepted %+v", claims)
		}
		if _, err := v.Verify(t.Context(), token[:len(token)-8]+"AAAAAAAA"); err == nil {
			t.Error("accepted what was not signed")
		}
	})
}

// rawSignature signs as ES256 does (RFC 7518 §3.4).
func rawSignature(t testing.TB, key *ecdsa.PrivateKey, input string) []byte {
	t.Helper()
	digest := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	sig := make([]byte, 64)
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	return sig
}
