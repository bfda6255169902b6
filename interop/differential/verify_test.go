package differential

import (
	"strings"
	"testing"

	"moneyer/internal/jose"
)

// TestOthersAgree: what Verify accepts, the others accept; what all others refuse, Verify refuses.
func TestOthersAgree(t *testing.T) {
	for _, alg := range []jose.Alg{jose.ES256, jose.RS256, jose.PS256, jose.EdDSA} {
		m := newMint(t, alg)
		stranger := newMint(t, alg)
		v, others := m.verifier(t), m.others()
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
			"another key":       stranger.token(t, nil),
			"another payload":   swap(m.token(t, nil), m.token(t, map[string]any{"sub": "x"})),
			"no signature":      strings.TrimRight(m.token(t, nil), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
			"alg none":          b64(`{"alg":"none"}`) + m.token(t, nil)[strings.Index(m.token(t, nil), "."):],
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

// FuzzVerify: for any header and payload signed by the issuer, golang-jwt accepts what Verify
// accepts; and Verify never accepts what the issuer did not sign.
func FuzzVerify(f *testing.F) {
	m := newMint(f, jose.ES256)
	f.Add(`{"alg":"ES256","kid":"k1","typ":"at+jwt"}`, `{"iss":"https://issuer.example","aud":"https://api.example","exp":1795435300,"scope":"a b"}`)
	f.Add(`{"alg":"ES256","kid":"k1","typ":"at+jwt","crit":[]}`, `{"iss":"https://issuer.example","aud":["https://api.example"],"exp":1795435300,"nbf":1}`)
	f.Add(`{"alg":"none","kid":"k1"}`, `{"iss":"https://issuer.example","iss":"x"}`)
	v, others := m.verifier(f), m.others()
	f.Fuzz(func(t *testing.T, header, payload string) {
		input := b64(header) + "." + b64(payload)
		token := input + "." + b64(rawSignature(t, jose.ES256, m.key, input))
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

// BenchmarkVerify verifies an ES256 token with the other libraries; bearer's BenchmarkVerify
// measures ours.
func BenchmarkVerify(b *testing.B) {
	m := newMint(b, jose.ES256)
	token, others := m.token(b, nil), m.others()
	b.Run("go-oidc", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := others.oidc.Verify(b.Context(), token); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("golang-jwt", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := others.golangJWT(token); err != nil {
				b.Fatal(err)
			}
		}
	})
}
