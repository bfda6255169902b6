package server

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"moneyer/internal/authority"
	"moneyer/internal/overload"
	"moneyer/internal/registry"
	"moneyer/oauth"
	"moneyer/profile"
)

// nowhere is a ResponseWriter that keeps nothing.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header         { return n.header }
func (n nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (n nowhere) WriteHeader(int)             {}

func benchEndpoint(b *testing.B, profileName string) *endpoint {
	b.Helper()
	found, err := profile.Builtin(profileName)
	p := found.Definition()
	if err != nil {
		b.Fatal(err)
	}
	issuer := &registry.Issuer{Name: "bench", URL: "https://auth.example.com", Profile: p}
	return &endpoint{Server: &Server{Now: time.Now}, name: "token", issuer: issuer, wire: newWire(issuer)}
}

// BenchmarkDecode reads a request from its body, a form and JSON.
func BenchmarkDecode(b *testing.B) {
	assertion := strings.Repeat("x", 500)
	for name, c := range map[string]struct{ profile, contentType, body string }{
		"form": {"thales-d1", "application/x-www-form-urlencoded", "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=" + assertion},
		"json": {"thales-d1", "application/json", `{"grant_type":"urn:ietf:params:oauth:grant-type:jwt-bearer","assertion":"` + assertion + `"}`},
	} {
		b.Run(name, func(b *testing.B) {
			e, limits := benchEndpoint(b, c.profile), overload.Default()
			body := strings.NewReader(c.body)
			r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "/oauth2/token", io.NopCloser(body))
			if err != nil {
				b.Fatal(err)
			}
			r.Header.Set("Content-Type", c.contentType)
			r.ContentLength = int64(len(c.body))
			w := nowhere{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				body.Reset(c.body)
				if _, err := e.wire.decode(w, r, &limits); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkEncode writes the answer with a token.
func BenchmarkEncode(b *testing.B) {
	e := benchEndpoint(b, "thales-d1")
	token := &authority.AccessToken{Token: strings.Repeat("x", 700), ExpiresIn: 900, Expires: time.Now(), Scope: oauth.Scope{"a:b:c"}}
	c := call{endpoint: e, w: nowhere{http.Header{}}}
	b.ReportAllocs()
	for b.Loop() {
		c.encode(token)
	}
}
