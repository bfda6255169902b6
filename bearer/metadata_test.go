package bearer_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"moneyer/bearer"
	"moneyer/internal/jose"
	"moneyer/oauth"
)

// TestMetadata follows RFC 9728: a request without a token learns where the metadata are (§5.1), and their
// resource is the very identifier (§3.3).
func TestMetadata(t *testing.T) {
	for _, test := range []struct{ resource, url string }{
		{"https://api.example.com", "https://api.example.com/.well-known/oauth-protected-resource"},
		{"https://api.example.com/", "https://api.example.com/.well-known/oauth-protected-resource"},
		{"https://api.example.com:8443/d1", "https://api.example.com:8443/.well-known/oauth-protected-resource/d1"},
		{"https://api.example.com/a%2Fb/%7Bc%7D", "https://api.example.com/.well-known/oauth-protected-resource/a%2Fb/%7Bc%7D"},
		{"http://127.0.0.1:8080/d1", "http://127.0.0.1:8080/.well-known/oauth-protected-resource/d1"},
	} {
		t.Run(test.resource, func(t *testing.T) {
			v := newMint(t, jose.ES256, "k1", "at+jwt").verifier(t)
			v.Resource, v.Scopes = test.resource, oauth.Scope{"read", "write"}
			path, metadata, err := v.Metadata()
			if err != nil {
				t.Fatal(err)
			}
			mux := http.NewServeMux()
			mux.Handle("GET "+path, metadata)
			mux.Handle("/", v.Require()(http.NotFoundHandler()))

			w := httptest.NewRecorder()
			mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/cards", nil))
			if got, want := w.Header().Get("WWW-Authenticate"), `Bearer resource_metadata="`+test.url+`"`; got != want {
				t.Errorf("challenge %s, want %s", got, want)
			}
			w = httptest.NewRecorder()
			mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, test.url, nil))
			var got map[string]any
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Header().Get("Content-Type") != "application/json" {
				t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
			}
			if want := map[string]any{
				"resource": test.resource, "authorization_servers": []any{v.Issuer}, "scopes_supported": []any{"read", "write"},
				"bearer_methods_supported": []any{"header"},
			}; !reflect.DeepEqual(got, want) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
		})
	}
}

// TestMetadataLeavesOut: members without elements are left out (RFC 9728 §3.2), and bound tokens are announced
// where the API says how it learns of certificates.
func TestMetadataLeavesOut(t *testing.T) {
	v := &bearer.Verifier{Issuer: "https://issuer.example", Resource: "https://api.example",
		ClientCertificate: func(*http.Request) (digest [32]byte, ok bool) { return digest, false }}
	_, metadata, err := v.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	metadata.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	want := `{"resource":"https://api.example","authorization_servers":["https://issuer.example"],"bearer_methods_supported":["header"],"tls_client_certificate_bound_access_tokens":true}`
	if w.Body.String() != want {
		t.Errorf("got  %s\nwant %s", w.Body, want)
	}
}

// TestUnusableResource: no metadata, and no request is let in, as with any other field that is wrong.
func TestUnusableResource(t *testing.T) {
	m := newMint(t, jose.ES256, "k1", "at+jwt")
	for _, resource := range []string{"", "api", "http://api.example", "https://", "https://me@api.example", "https://api.example?", "https://api.example?a=b", "https://api.example#x", "https://api.example/{c}", "HTTPS://api.example", ":", "https://api.example\x00"} {
		v := m.verifier(t)
		v.Resource = resource
		if _, _, err := v.Metadata(); err == nil {
			t.Errorf("%q has metadata", resource)
		}
		if _, err := v.Verify(t.Context(), m.token(t, nil)); (err == nil) != (resource == "") {
			t.Errorf("%q: %v", resource, err)
		}
	}
	v := &bearer.Verifier{Resource: "https://api.example"}
	if _, _, err := v.Metadata(); err == nil || !strings.Contains(err.Error(), "Issuer") {
		t.Errorf("without an issuer: %v", err)
	}
}
