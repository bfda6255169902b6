package trustedkeys

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"moneyer/internal/jose"
	"moneyer/internal/registry"
	"moneyer/internal/remotekeys"
)

var start = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// clock is set by tests, and read by fetches.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return start.Add(time.Duration(c.ahead.Load())) }
func (c *clock) forward(d time.Duration) { c.ahead.Add(int64(d)) }
func issuerOf(t ...*registry.TrustedIssuer) []*registry.Issuer {
	return []*registry.Issuer{{Name: "d1", Trusted: t}}
}

// jwk is a new public key.
func jwk(t *testing.T, kid, more string) string {
	t.Helper()
	private, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	public, err := jose.NewPublicKey(private.Public(), jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	members, _, _ := strings.Cut(string(public.AppendJWK(nil, "")), `,"alg"`)
	return fmt.Sprintf(`%s,"kid":%q%s}`, members, kid, more)
}

func set(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }

// publisher serves a JWK set at a URL.
type publisher struct {
	body   atomic.Value // string
	status atomic.Int64
	asked  atomic.Int64
}

func (p *publisher) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	p.asked.Add(1)
	w.WriteHeader(int(p.status.Load()))
	_, _ = fmt.Fprint(w, p.body.Load())
}

func newPublisher(body string) *publisher {
	p := &publisher{}
	p.body.Store(body)
	p.status.Store(200)
	return p
}

// want asks for a key and wants it, or the error.
func want(t *testing.T, s *Source, of *registry.TrustedIssuer, kid string, want error) {
	t.Helper()
	key, err := s.Key(t.Context(), of, kid, "ES256")
	if want == nil && (err != nil || key == nil) || want != nil && !errors.Is(err, want) {
		t.Errorf("key %q: %v, want %v", kid, err, want)
	}
}

// TestOutage: keys at a URL are kept for a day through an outage, in which nobody can tell whether
// an unknown kid is one of the trusted issuer's.
func TestOutage(t *testing.T) {
	p, c := newPublisher(set(jwk(t, "k1", ""))), &clock{}
	server := httptest.NewServer(p)
	defer server.Close()
	of := &registry.TrustedIssuer{Name: "kc", JWKSURI: server.URL, Algs: []string{"ES256"}}
	s := New(issuerOf(of), nil, c.now)
	want(t, s, of, "k1", nil)
	want(t, s, of, "k2", registry.ErrNotFound)
	p.status.Store(500)
	c.forward(10 * time.Minute)
	want(t, s, of, "k2", remotekeys.ErrUnavailable)
	want(t, s, of, "k1", nil)
	c.forward(24*time.Hour - 11*time.Minute)
	want(t, s, of, "k1", nil)
	c.forward(time.Minute)
	want(t, s, of, "k1", remotekeys.ErrUnavailable)
	p.status.Store(200)
	c.forward(time.Minute)
	want(t, s, of, "k1", nil)
	want(t, s, of, "k2", registry.ErrNotFound)
	for what, err := range s.Errors() {
		if err != nil || !strings.HasSuffix(what, " keys of trusted issuer kc of issuer d1") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestNeverAnyKeys: before the first fetch nobody can tell anything.
func TestNeverAnyKeys(t *testing.T) {
	of := &registry.TrustedIssuer{Name: "kc", JWKSURI: "http://127.0.0.1:1/", Algs: []string{"ES256"}}
	s := New(issuerOf(of), nil, (&clock{}).now)
	want(t, s, of, "k1", remotekeys.ErrUnavailable)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Key(ctx, of, "k1", "ES256"); err == nil || errors.Is(err, registry.ErrNotFound) {
		t.Error(err)
	}
}

// TestReload: what was read stays known where the place is the same, also during an outage; another
// place is read anew, and a trusted issuer that is disabled is not read.
func TestReload(t *testing.T) {
	p, c := newPublisher(set(jwk(t, "k1", ""))), &clock{}
	server := httptest.NewServer(p)
	defer server.Close()
	settings := registry.TrustedIssuer{Name: "kc", JWKSURI: server.URL, Algs: []string{"ES256"}}
	first := settings
	s := New(issuerOf(&first), nil, c.now)
	want(t, s, &first, "k1", nil)
	p.status.Store(500)
	same := settings
	same.MaxLifetime = time.Hour
	s = New(issuerOf(&same), s, c.now)
	want(t, s, &same, "k1", nil)
	other := settings
	other.JWKSURI += "/other"
	s = New(issuerOf(&other), s, c.now)
	want(t, s, &other, "k1", remotekeys.ErrUnavailable)
	asked := p.asked.Load()
	disabled := settings
	disabled.Disabled = true
	s = New(issuerOf(&disabled), s, c.now)
	s.Refresh(t.Context())
	for what := range s.Errors() {
		t.Errorf("%s", what)
	}
	if p.asked.Load() != asked {
		t.Error("the keys of a disabled trusted issuer are read")
	}
}

// TestBundle: a file is read again when it changes, and the keys stay when it is gone; of a SPIFFE
// bundle only keys for JWT-SVIDs count.
func TestBundle(t *testing.T) {
	file, c := filepath.Join(t.TempDir(), "bundle.json"), &clock{}
	write := func(body string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first, x509 := jwk(t, "k1", `,"use":"jwt-svid"`), jwk(t, "x1", `,"use":"x509-svid"`)
	write(set(first, x509, jwk(t, "none", "")))
	of := &registry.TrustedIssuer{Name: "spire", Kind: registry.TrustedSPIFFE, Bundle: file, Algs: []string{"ES256"}}
	s := New(issuerOf(of), nil, c.now)
	want(t, s, of, "k1", nil)
	want(t, s, of, "", nil) // the only one
	want(t, s, of, "x1", registry.ErrNotFound)
	want(t, s, of, "none", registry.ErrNotFound)
	write(set(first, jwk(t, "k2", `,"use":"jwt-svid"`)))
	c.forward(unknownInFiles)
	want(t, s, of, "k2", nil)
	want(t, s, of, "", registry.ErrNotFound) // which of two?
	write(set(x509))
	c.forward(fileFresh)
	want(t, s, of, "x1", remotekeys.ErrUnavailable)
	want(t, s, of, "k2", nil)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	c.forward(time.Hour)
	want(t, s, of, "k1", nil)
	want(t, s, of, "k3", remotekeys.ErrUnavailable)
}

func TestInline(t *testing.T) {
	set, err := jose.ParseKeySet([]byte(set(jwk(t, "k1", ""), jwk(t, "k2", ""))), jose.KeySetRules{})
	keys := set.Keys
	if err != nil {
		t.Fatal(err)
	}
	two, one := &registry.TrustedIssuer{Name: "two", Keys: jose.NewKeySet(keys...)}, &registry.TrustedIssuer{Name: "one", Keys: jose.NewKeySet(keys[:1]...)}
	s := New(issuerOf(two, one), nil, (&clock{}).now)
	want(t, s, two, "k1", nil)
	want(t, s, two, "k3", registry.ErrNotFound)
	want(t, s, two, "", registry.ErrNotFound)
	want(t, s, one, "", nil)
	s.Refresh(t.Context())
}

// TestPrivateAuthority: the certificate of the address is compared with the configured authorities.
func TestPrivateAuthority(t *testing.T) {
	server := httptest.NewUnstartedServer(newPublisher(set(jwk(t, "k1", ""))))
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	server.Config.ErrorLog = nil
	server.StartTLS()
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	known := &registry.TrustedIssuer{Name: "known", JWKSURI: server.URL, CA: ca, Algs: []string{"ES256"}}
	unknown := &registry.TrustedIssuer{Name: "unknown", JWKSURI: server.URL, Algs: []string{"ES256"}}
	s := New(issuerOf(known, unknown), nil, (&clock{}).now)
	want(t, s, known, "k1", nil)
	want(t, s, unknown, "k1", remotekeys.ErrUnavailable)
	if err := Check(issuerOf(known, unknown)); err != nil {
		t.Error(err)
	}
	known.CA += ".none"
	if err := Check(issuerOf(known)); err == nil || !strings.Contains(err.Error(), "issuers.d1.trusted.known.ca") {
		t.Error(err)
	}
}

// TestWhatIsNoKeySet: a web page, a redirect and a set without usable keys are no keys.
func TestWhatIsNoKeySet(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"page":     func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "<html>") },
		"redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"empty":    func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, `{"keys":[]}`) },
		"long": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprint(w, set(), strings.Repeat(" ", jose.MaxJWKS))
		},
	} {
		server := httptest.NewServer(answer)
		of := &registry.TrustedIssuer{Name: name, JWKSURI: server.URL, Algs: []string{"ES256"}}
		want(t, New(issuerOf(of), nil, (&clock{}).now), of, "", remotekeys.ErrUnavailable)
		server.Close()
	}
}
