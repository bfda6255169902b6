package bearer_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"testing"

	"moneyer/bearer"
	"moneyer/internal/jose"
)

// BenchmarkVerify: an ES256 token by this package, without and with its cache,
// beside the signature alone. interop/differential measures other libraries.
func BenchmarkVerify(b *testing.B) {
	m := newMint(b, jose.ES256, "k1", "at+jwt")
	token := m.token(b, nil)
	b.Run("signature-alone", func(b *testing.B) {
		key, ok := m.key.(*ecdsa.PrivateKey)
		if !ok {
			b.Fatal("another kind of key")
		}
		digest := sha256.Sum256([]byte(token))
		sig, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			digest := sha256.Sum256([]byte(token))
			if !ecdsa.VerifyASN1(&key.PublicKey, digest[:], sig) {
				b.Fatal("does not verify")
			}
		}
	})
	for name, size := range map[string]int{"bearer": 0, "bearer-cached": 100} {
		b.Run(name, func(b *testing.B) {
			v := m.verifier(b)
			v.CacheSize = size
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRevocationList: a cached token by an issuer that revoked none, or ten
// thousand others by their jti, or by a claim.
func BenchmarkRevocationList(b *testing.B) {
	ids := manyIDs(10_000)
	claim := make([]map[string]any, len(ids))
	for i, id := range ids {
		claim[i] = map[string]any{"claim": "client_id", "value": id, "before": noon.Unix()}
	}
	for name, changes := range map[string]map[string]any{"none": nil, "10000-jti": revokes(ids...), "10000-claim": {"claim": claim}} {
		r := newRevoker(b, changes)
		token := r.mint.token(b, nil)
		b.Run(name, func(b *testing.B) {
			v, list := r.verifier(b)
			v.Now, list.Now, v.CacheSize = atNoon, atNoon, 100
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/read", func(b *testing.B) {
			for b.Loop() {
				_, list := r.verifier(b)
				list.Now = atNoon
				if _, err := list.Revoked(b.Context(), &bearer.Claims{Payload: []byte("{}")}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRequire: a request through the middleware with a cached token.
func BenchmarkRequire(b *testing.B) {
	m := newMint(b, jose.ES256, "k1", "at+jwt")
	v := m.verifier(b)
	v.CacheSize = 100
	handler := v.Require("read")(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	req := httptest.NewRequest(http.MethodGet, "/", nil)
	req.Header.Set("Authorization", "Bearer "+m.token(b, nil))
	w := httptest.NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		handler.ServeHTTP(w, req)
	}
	if w.Code != http.StatusOK {
		b.Fatal(w.Code)
	}
}
