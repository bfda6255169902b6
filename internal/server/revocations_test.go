package server_test

import (
	"io"
	"net/http"
	"testing"

	"moneyer/internal/jose"
)

// published verifies a signed document by the keys that its issuer publishes.
func (h *house) published(t testing.TB, issuer, signed string) *jose.JWS {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, issuer+"/.well-known/jwks.json", nil)
	must(t, err)
	resp, err := h.client.Do(req)
	must(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	keys, err := jose.ParseJWKS(body)
	must(t, err)
	jws, err := jose.ParseDocument(signed)
	must(t, err)
	for _, key := range keys {
		if key.Kid == jws.Header.Kid {
			must(t, jws.Verify(key.Key))
			return jws
		}
	}
	t.Fatalf("%s publishes no key %q", issuer, jws.Header.Kid)
	return nil
}
