package bearer_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"moneyer/bearer"
	"moneyer/internal/jose"
	"moneyer/oauth"
)

// newCertificate returns a self-signed certificate, which no authority vouches for and
// which has expired: a resource server judges neither (RFC 8705 §6.2).
func newCertificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: crypto.PrivateKey(key)}
}

func thumbprint(c tls.Certificate) string {
	digest := sha256.Sum256(c.Certificate[0])
	return base64.RawURLEncoding.EncodeToString(digest[:])
}

// showing is a request with a token, over a connection with those certificates.
func showing(t testing.TB, token string, certificates ...tls.Certificate) *http.Request {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "https://api.example/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	for _, c := range certificates {
		leaf, err := x509.ParseCertificate(c.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		r.TLS.PeerCertificates = append(r.TLS.PeerCertificates, leaf)
	}
	return r
}

// wantInvalid checks that a bound token is refused as RFC 8705 §3 says.
func wantInvalid(t *testing.T, err error) {
	t.Helper()
	if err == nil || oauth.AsError(err).Code != oauth.InvalidToken {
		t.Errorf("%v, want invalid_token", err)
	}
}

// TestBoundToken: RFC 8705 §3. A token with x5t#S256 is accepted with the first
// certificate of its own connection, whoever issued it, and in no other way: also when it
// is in the cache, and also without a request.
func TestBoundToken(t *testing.T) {
	mine, other := newCertificate(t), newCertificate(t)
	for _, size := range []int{0, 10} {
		m := newMint(t, jose.ES256, "k1", "at+jwt")
		v := m.verifier(t)
		v.CacheSize = size
		bound := m.token(t, map[string]any{"cnf": map[string]any{"x5t#S256": thumbprint(mine)}})
		for range 2 {
			c, err := v.VerifyRequest(showing(t, bound, mine))
			if err != nil || c.Confirmation == nil || c.Confirmation.Thumbprint() != thumbprint(mine) {
				t.Fatalf("with its certificate: %v, %v", c, err)
			}
			_, err = v.VerifyRequest(showing(t, bound, mine, other)) // an intermediate one follows
			if err != nil {
				t.Error(err)
			}
			for name, shown := range map[string][]tls.Certificate{"none": nil, "another": {other}, "not the first": {other, mine}} {
				_, err := v.VerifyRequest(showing(t, bound, shown...))
				if wantInvalid(t, err); err == nil {
					t.Errorf("certificate: %s", name)
				}
			}
			plain := showing(t, bound)
			plain.TLS = nil
			_, err = v.VerifyRequest(plain)
			wantInvalid(t, err)
			_, err = v.Verify(t.Context(), bound)
			if wantInvalid(t, err); !strings.Contains(err.Error(), "VerifyRequest") {
				t.Errorf("the cause does not say what to do: %v", err)
			}
		}
		free := m.token(t, nil)
		if c, err := v.VerifyRequest(showing(t, free, other)); err != nil || c.Confirmation != nil {
			t.Errorf("a token that is not bound: %v, %v", c, err)
		}
	}
}

// TestBoundTokenIsChecked: what a Verifier cannot check it refuses (RFC 7800 §3.1).
func TestBoundTokenIsChecked(t *testing.T) {
	mine := newCertificate(t)
	print := thumbprint(mine)
	m := newMint(t, jose.ES256, "k1", "at+jwt")
	digest := sha256.Sum256(mine.Certificate[0])
	for name, cnf := range map[string]any{
		"DPoP":           map[string]any{"jkt": print},
		"a key":          map[string]any{"jwk": map[string]any{"kty": "EC"}},
		"two members":    map[string]any{"x5t#S256": print, "jkt": print},
		"unknown beside": map[string]any{"x5t#S256": print, "x": 1},
		"none":           map[string]any{},
		"no object":      print,
		"an array":       []string{print},
		"a number":       map[string]any{"x5t#S256": 1},
		"null inside":    map[string]any{"x5t#S256": nil},
		"padded":         map[string]any{"x5t#S256": print + "="},
		"hexadecimal":    map[string]any{"x5t#S256": hex.EncodeToString(digest[:])},
		"base64":         map[string]any{"x5t#S256": base64.RawStdEncoding.EncodeToString(append([]byte{0xff, 0xff}, digest[2:]...))},
		"short":          map[string]any{"x5t#S256": print[:42]},
		"a line end":     map[string]any{"x5t#S256": print[:42] + "\n"},
		"SHA-1":          map[string]any{"x5t": "AAAAAAAAAAAAAAAAAAAAAAAAAAA"},
		"another case":   map[string]any{"X5T#S256": print},
		"spare bits":     map[string]any{"x5t#S256": print[:42] + "_"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := m.verifier(t).VerifyRequest(showing(t, m.token(t, map[string]any{"cnf": cnf}), mine))
			wantInvalid(t, err)
		})
	}
	payload := `{"iss":"` + issuer + `","aud":"` + audience + `","exp":32503680000,"cnf":`
	for _, cnf := range []string{`null`, `{"x5t#S256":"` + print + `","x5t#S256":"` + print + `"}`, `{"x5t#S256":"` + print + `"},"cnf":{}`} {
		_, err := m.verifier(t).VerifyRequest(showing(t, m.sign(t, payload+cnf+`}`), mine))
		wantInvalid(t, err)
	}
}

// TestBoundTokenChallenge: the refusal is 401 with error="invalid_token" (RFC 8705 §3).
func TestBoundTokenChallenge(t *testing.T) {
	m := newMint(t, jose.ES256, "k1", "at+jwt")
	bound := m.token(t, map[string]any{"cnf": map[string]any{"x5t#S256": thumbprint(newCertificate(t))}})
	for _, shown := range [][]tls.Certificate{nil, {newCertificate(t)}} {
		w := httptest.NewRecorder()
		m.verifier(t).Require()(http.NotFoundHandler()).ServeHTTP(w, showing(t, bound, shown...))
		if challenge := w.Header().Get("WWW-Authenticate"); w.Code != 401 || !strings.HasPrefix(challenge, `Bearer error="invalid_token"`) {
			t.Errorf("%d %s", w.Code, challenge)
		}
	}
}

// TestClientCertificate: behind its own proxy an API says which certificate a request
// shows, and that of the connection, the proxy's, does not count.
func TestClientCertificate(t *testing.T) {
	mine, proxys := newCertificate(t), newCertificate(t)
	m := newMint(t, jose.ES256, "k1", "at+jwt")
	v := m.verifier(t)
	v.ClientCertificate = func(r *http.Request) (digest [sha256.Size]byte, ok bool) {
		der, err := base64.StdEncoding.DecodeString(strings.Trim(r.Header.Get("Client-Cert"), ":"))
		return sha256.Sum256(der), err == nil && len(der) > 0
	}
	header := func(c tls.Certificate) string {
		return ":" + base64.StdEncoding.EncodeToString(c.Certificate[0]) + ":"
	}
	for _, row := range []struct {
		header string
		bound  tls.Certificate
		good   bool
	}{
		{header(mine), mine, true}, {header(mine), proxys, false}, {header(proxys), mine, false},
		{"", mine, false}, {"", proxys, false}, {"!", proxys, false},
	} {
		r := showing(t, m.token(t, map[string]any{"cnf": map[string]any{"x5t#S256": thumbprint(row.bound)}}), proxys)
		r.Header.Set("Client-Cert", row.header)
		if _, err := v.VerifyRequest(r); (err == nil) != row.good {
			t.Errorf("header %.20q: %v", row.header, err)
		}
	}
	if _, err := v.Verify(t.Context(), m.token(t, map[string]any{"cnf": map[string]any{"x5t#S256": thumbprint(mine)}})); !errors.As(err, new(*oauth.Error)) {
		t.Errorf("without a request: %v", err)
	}
}

// TestBoundTokenOverTLS: with real connections, the API asks for a certificate and
// requires none. A resumed session has the certificate of its first handshake.
func TestBoundTokenOverTLS(t *testing.T) {
	mine := newCertificate(t)
	m := newMint(t, jose.ES256, "k1", "at+jwt")
	v := m.verifier(t)
	api := httptest.NewUnstartedServer(v.Require()(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	api.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	api.StartTLS()
	defer api.Close()
	bound := m.token(t, map[string]any{"cnf": map[string]any{"x5t#S256": thumbprint(mine)}})
	for name, c := range map[string]struct {
		show   []tls.Certificate
		status int
	}{"none": {nil, 401}, "mine": {[]tls.Certificate{mine}, 200}, "another": {[]tls.Certificate{newCertificate(t)}, 401}} {
		t.Run(name, func(t *testing.T) {
			base := api.Client().Transport.(*http.Transport).Clone()
			base.TLSClientConfig.Certificates = c.show
			base.TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(4)
			base.DisableKeepAlives = true
			for range 2 { // the second resumes the session
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, api.URL, nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Authorization", "Bearer "+bound)
				resp, err := base.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
				if resp.StatusCode != c.status {
					t.Errorf("status %d, want %d", resp.StatusCode, c.status)
				}
			}
		})
	}
}

// TestForwardedCertificate: the header counts from a proxy on loopback, or from one with
// a certificate of its own that was verified, and from nobody else.
func TestForwardedCertificate(t *testing.T) {
	mine, proxys := newCertificate(t), newCertificate(t)
	m := newMint(t, jose.ES256, "k1", "at+jwt")
	v := m.verifier(t)
	v.ClientCertificate = bearer.ForwardedCertificate("Client-Cert", netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("10.0.0.0/8"))
	bound := m.token(t, map[string]any{"cnf": map[string]any{"x5t#S256": thumbprint(mine)}})
	der := base64.StdEncoding.EncodeToString(mine.Certificate[0])
	digest := sha256.Sum256(mine.Certificate[0])
	for name, row := range map[string]struct {
		peer     string
		verified bool
		shown    []tls.Certificate
		header   []string
		good     bool
	}{
		"RFC 9440":                   {"127.0.0.1:1", false, nil, []string{":" + der + ":"}, true},
		"escaped PEM":                {"[::1]:1", false, nil, []string{url.PathEscape("-----BEGIN CERTIFICATE-----\n" + der + "\n-----END CERTIFICATE-----\n")}, true},
		"Envoy's digest":             {"127.0.0.1:1", false, nil, []string{"Hash=" + hex.EncodeToString(digest[:])}, true},
		"a mapped address":           {"[::ffff:127.0.0.1]:1", false, nil, []string{":" + der + ":"}, true},
		"a verified proxy":           {"10.1.2.3:1", true, []tls.Certificate{proxys}, []string{":" + der + ":"}, true},
		"one that is not verified":   {"10.1.2.3:1", false, []tls.Certificate{proxys}, []string{":" + der + ":"}, false},
		"one without TLS":            {"10.1.2.3:1", false, nil, []string{":" + der + ":"}, false},
		"a stranger":                 {"192.0.2.1:1", true, []tls.Certificate{proxys}, []string{":" + der + ":"}, false},
		"a stranger's own":           {"192.0.2.1:1", false, []tls.Certificate{mine}, []string{"!"}, true},
		"no header":                  {"127.0.0.1:1", false, []tls.Certificate{mine}, nil, false},
		"an empty header":            {"127.0.0.1:1", false, []tls.Certificate{mine}, []string{""}, false},
		"two headers":                {"127.0.0.1:1", false, nil, []string{":" + der + ":", ":" + der + ":"}, false},
		"another":                    {"127.0.0.1:1", false, nil, []string{":" + base64.StdEncoding.EncodeToString(proxys.Certificate[0]) + ":"}, false},
		"an address that is no such": {"@", false, []tls.Certificate{mine}, []string{":" + der + ":"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := showing(t, bound, row.shown...)
			r.RemoteAddr = row.peer
			r.Header["Client-Cert"] = row.header
			if row.verified {
				r.TLS.VerifiedChains = [][]*x509.Certificate{r.TLS.PeerCertificates}
			}
			if _, err := v.VerifyRequest(r); (err == nil) != row.good {
				t.Error(err)
			}
		})
	}
}
