package tokensource_test

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"moneyer/internal/deadline/deadlinetest"
	"moneyer/oauth"
	"moneyer/profile"
	"moneyer/tokensource"
)

// discoverable is an issuer with metadata, and whatever they name, without a network.
type discoverable struct {
	issuer  string
	members string // of the metadata, behind the issuer
	down    bool
	fetched int      // metadata
	sent    []string // token requests: URL
}

func (d *discoverable) client() *http.Client {
	return &http.Client{Transport: &endpoint{answer: func(_ int, r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodGet {
			if d.fetched++; d.down {
				return reply(503, ""), nil
			}
			return reply(200, fmt.Sprintf(`{"issuer":%q,%s}`, d.issuer, d.members)), nil
		}
		d.sent = append(d.sent, r.URL.String())
		return reply(200, tokenBody(len(d.sent), time.Minute)), nil
	}}}
}

// TestDiscover: RFC 8414. The token endpoint is what the metadata of exactly that issuer
// say, and what a request looks like is still the profile's.
func TestDiscover(t *testing.T) {
	const plain, alias = `"token_endpoint":"https://as.example/plain"`, `,"mtls_endpoint_aliases":{"token_endpoint":"https://mtls.example/t"}`
	certificate := (&switchable{pair: newCertificate(t, 1)}).get
	secret := tokensource.Credential{ClientID: "shop", Secret: "s"}
	for name, row := range map[string]struct {
		issuer, named, members string
		credential             tokensource.Credential
		want                   string // URL, or what the error says
	}{
		"the endpoint":                     {"https://as.example", "", plain + alias, secret, "https://as.example/plain"},
		"for a certificate":                {"https://as.example", "", plain + alias, tokensource.Credential{ClientID: "shop", Certificate: certificate}, "https://mtls.example/t"},
		"for a certificate beside":         {"https://as.example", "", plain + alias, tokensource.Credential{ClientID: "shop", Secret: "s", Certificate: certificate}, "https://mtls.example/t"},
		"for the HTTPClient's certificate": {"https://as.example", "", plain + alias, tokensource.Credential{ClientID: "shop", Auth: oauth.AuthTLS}, "https://mtls.example/t"},
		"no alias":                         {"https://as.example", "", plain, tokensource.Credential{ClientID: "shop", Certificate: certificate}, "https://as.example/plain"},
		"another issuer":                   {"https://as.example", "https://evil.example", plain, secret, `name the issuer "https://evil.example"`},
		"a slash more":                     {"https://as.example", "https://as.example/", plain, secret, "name the issuer"},
		"no endpoint":                      {"https://as.example", "", `"x":1`, secret, "name no token_endpoint"},
		"not https":                        {"https://as.example", "", `"token_endpoint":"http://as.example/t"`, secret, "must be https"},
		"to this machine":                  {"https://as.example", "", `"token_endpoint":"http://127.0.0.1/t"`, secret, "is not https"},
		"an alias that is not https":       {"https://as.example", "", plain + `,"mtls_endpoint_aliases":{"token_endpoint":"http://localhost/t"}`, tokensource.Credential{ClientID: "shop", Certificate: certificate}, "is not https"},
		"an issuer on this machine":        {"http://127.0.0.1:1", "", `"token_endpoint":"http://127.0.0.1:1/t"`, secret, "http://127.0.0.1:1/t"},
		"a user":                           {"https://as.example", "", `"token_endpoint":"https://me@as.example/t"`, secret, "without user and fragment"},
		"a fragment":                       {"https://as.example", "", `"token_endpoint":"https://as.example/t#x"`, secret, "without user and fragment"},
	} {
		t.Run(name, func(t *testing.T) {
			if row.named == "" {
				row.named = row.issuer
			}
			d := &discoverable{issuer: row.named, members: row.members}
			s := &tokensource.Source{Issuer: row.issuer, Discover: true, Credential: row.credential, HTTPClient: d.client()}
			_, err := s.Fetch(t.Context())
			if err == nil && (len(d.sent) != 1 || d.sent[0] != row.want) {
				t.Errorf("sent to %q, want %s", d.sent, row.want)
			}
			if err != nil && (len(d.sent) != 0 || !strings.Contains(err.Error(), row.want)) {
				t.Errorf("%v, sent to %q, want %s", err, d.sent, row.want)
			}
		})
	}
	d := &discoverable{issuer: "https://as.example", members: plain}
	s := &tokensource.Source{Issuer: d.issuer, TokenURL: "https://as.example/t", Discover: true, Credential: secret, HTTPClient: d.client()}
	if _, err := s.Fetch(t.Context()); err == nil || d.fetched != 0 {
		t.Errorf("with a TokenURL: %v", err)
	}
	s = &tokensource.Source{Issuer: d.issuer, Discover: true, Scope: oauth.Scope{"a"}, Profile: builtin(t, "thales-d1"), Credential: secret, HTTPClient: d.client()}
	if _, err := s.Fetch(t.Context()); err == nil || d.fetched != 0 {
		t.Errorf("metadata were fetched for a request that the profile refuses: %v", err)
	}
}

// TestDiscoveredAudience: the aud of assertions is the issuer, or the token endpoint, and
// never the alias for mutual TLS (RFC 8705 §5 does not change who is meant).
func TestDiscoveredAudience(t *testing.T) {
	key := newKey(t, "ES256")
	file := filepath.Join(t.TempDir(), "endpoint.toml")
	text := strings.Replace(string(builtin(t, "oauth2").Source()), `audience = ["issuer", "endpoint"]`, `audience = ["endpoint"]`, 1)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	endpointOnly, err := profile.Load(file)
	if err != nil || len(text) == len(builtin(t, "oauth2").Source()) {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		profile    *profile.Profile
		credential tokensource.Credential
		audience   string
	}{
		"authentication":         {nil, tokensource.Credential{ClientID: "shop", Key: key}, "https://as.example"},
		"the grant":              {nil, tokensource.Credential{ClientID: "shop", Key: key, Grant: oauth.JWTBearer}, "https://as.example"},
		"the grant, by endpoint": {endpointOnly, tokensource.Credential{ClientID: "shop", Key: key, Grant: oauth.JWTBearer}, "https://as.example/plain"},
	} {
		t.Run(name, func(t *testing.T) {
			d := &discoverable{issuer: "https://as.example", members: `"token_endpoint":"https://as.example/plain","mtls_endpoint_aliases":{"token_endpoint":"https://mtls.example/t"}`}
			row.credential.Certificate = (&switchable{pair: newCertificate(t, 1)}).get
			client := d.client()
			s := &tokensource.Source{Profile: row.profile, Issuer: d.issuer, Discover: true, Credential: row.credential, HTTPClient: client}
			mustToken(t, s)
			bodies := client.Transport.(*endpoint).bodies
			_, claims := readAssertion(t, bodies[len(bodies)-1], key.Public())
			if d.sent[0] != "https://mtls.example/t" || claims["aud"] != row.audience {
				t.Errorf("sent to %s, aud %v", d.sent[0], claims["aud"])
			}
		})
	}
}

// TestDiscoveryIsCached: for 10 minutes, and for a day while newer metadata cannot be had.
func TestDiscoveryIsCached(t *testing.T) {
	now := noon
	var log strings.Builder
	d := &discoverable{issuer: "https://as.example", members: `"token_endpoint":"https://as.example/1"`}
	s := &tokensource.Source{Issuer: d.issuer, Discover: true, HTTPClient: d.client(), Now: func() time.Time { return now },
		Credential: tokensource.Credential{ClientID: "shop", Secret: "s"}, Logger: slog.New(slog.NewTextHandler(&log, nil))}
	step := func(after time.Duration, fetched int, last string) {
		t.Helper()
		now = now.Add(after)
		if _, err := s.Fetch(t.Context()); (err == nil) != (last != "") {
			t.Fatal(err)
		}
		if d.fetched != fetched || last != "" && d.sent[len(d.sent)-1] != "https://as.example/"+last {
			t.Errorf("fetched %d times, want %d; sent to %q", d.fetched, fetched, d.sent)
		}
	}
	step(0, 1, "1")
	d.members = `"token_endpoint":"https://as.example/2"`
	step(9*time.Minute, 1, "1")
	step(time.Minute, 2, "2")
	d.down = true
	step(11*time.Minute, 3, "2")
	step(30*time.Second, 3, "2")
	step(30*time.Second, 4, "2")
	if !strings.Contains(log.String(), "the old ones are used") {
		t.Errorf("log: %s", log.String())
	}
	d.down, d.issuer = false, "https://evil.example"
	step(time.Hour, 5, "2")
	step(24*time.Hour, 6, "")
	d.issuer = "https://as.example"
	step(0, 7, "2")
}

// TestDiscoveryEndsByEitherClock: metadata do not live longer by a suspend.
func TestDiscoveryEndsByEitherClock(t *testing.T) {
	start := time.Now()
	now := start
	d := &discoverable{issuer: "https://as.example", members: `"token_endpoint":"https://as.example/1"`}
	s := &tokensource.Source{Issuer: d.issuer, Discover: true, HTTPClient: d.client(), Now: func() time.Time { return now },
		Credential: tokensource.Credential{ClientID: "shop", Secret: "s"}}
	for i, slept := range []time.Duration{0, time.Hour} {
		now = deadlinetest.Suspend(start, slept)
		if _, err := s.Fetch(t.Context()); err != nil || d.fetched != i+1 {
			t.Errorf("after %s: fetched %d times, %v", slept, d.fetched, err)
		}
	}
	d.down = true
	now = deadlinetest.Suspend(start, 26*time.Hour)
	if _, err := s.Fetch(t.Context()); err == nil {
		t.Error("metadata of yesterday are used")
	}
}

// TestDiscoverOverTLS finds the alias on another listener that asks for the certificate.
func TestDiscoverOverTLS(t *testing.T) {
	m := newMutual(t)
	var plain *httptest.Server
	plain = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/.well-known/oauth-authorization-server/t" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		fmt.Fprintf(w, `{"issuer":%q,"token_endpoint":%q,"mtls_endpoint_aliases":{"token_endpoint":%q}}`, plain.URL+"/t", plain.URL+"/token", m.URL+"/oauth2/token")
	}))
	t.Cleanup(plain.Close)
	base := m.Client().Transport.(*http.Transport).Clone()
	base.TLSClientConfig = &tls.Config{RootCAs: base.TLSClientConfig.RootCAs}
	base.TLSClientConfig.RootCAs.AddCert(plain.Certificate())
	s := &tokensource.Source{Issuer: plain.URL + "/t", Discover: true, HTTPClient: &http.Client{Transport: base},
		Credential: tokensource.Credential{ClientID: "shop", Certificate: (&switchable{pair: newCertificate(t, 3)}).get}}
	if token := mustToken(t, s); token.AccessToken != "of-3" {
		t.Errorf("token %q", token.AccessToken)
	}
}
