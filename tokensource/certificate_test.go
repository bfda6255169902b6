package tokensource_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moneyer/oauth"
	"moneyer/tokensource"
)

// newCertificate returns a client certificate with that serial number.
func newCertificate(t testing.TB, serial int64) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// serialOf is the serial number of the certificate of a request; 0 for none.
func serialOf(r *http.Request) int64 {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return 0
	}
	return r.TLS.PeerCertificates[0].SerialNumber.Int64()
}

// mutual is a token endpoint at /oauth2/token and an API elsewhere, which ask for a client
// certificate. A token names the certificate with which it was obtained, and the API takes
// it with that one.
type mutual struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string // for each request, the certificate's number and the form
}

func newMutual(t *testing.T) *mutual {
	m := &mutual{}
	m.Server = httptest.NewUnstartedServer(m)
	m.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	m.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	m.StartTLS()
	t.Cleanup(m.Close)
	return m
}

func (m *mutual) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.URL.Path != "/oauth2/token" {
		if r.Header.Get("Authorization") != fmt.Sprintf("Bearer of-%d", serialOf(r)) {
			w.WriteHeader(http.StatusUnauthorized)
		}
		return
	}
	body, _ := io.ReadAll(r.Body)
	m.asked = append(m.asked, fmt.Sprintf("%d %s", serialOf(r), compact.ReplaceAllString(string(body), "JWT")))
	fmt.Fprintf(w, `{"access_token":"of-%d","token_type":"Bearer","expires_in":600}`, serialOf(r))
}

func (m *mutual) requests() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.asked)
}

// switchable is a CertificateFunc that a test changes.
type switchable struct {
	mu   sync.Mutex
	pair *tls.Certificate
	err  error
}

func (s *switchable) set(pair *tls.Certificate, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pair, s.err = pair, err
}

func (s *switchable) get(context.Context) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pair, s.err
}

// TestCertificate: RFC 8705 §2. A certificate is a way by itself, with client_id in the
// body, or stands beside another, which the request shows as ever.
func TestCertificate(t *testing.T) {
	m := newMutual(t)
	key := newKey(t, "ES256")
	provider := func(context.Context) (string, error) { return "eyJh.eyJi.eyJj", nil }
	shown := (&switchable{pair: newCertificate(t, 7)}).get
	for name, row := range map[string]struct {
		credential tokensource.Credential
		want       string
	}{
		"by itself":                 {tokensource.Credential{ClientID: "shop", Certificate: shown}, "7 grant_type=client_credentials&client_id=shop"},
		"self-signed":               {tokensource.Credential{ClientID: "shop", Certificate: shown, Auth: oauth.AuthSelfSignedTLS}, "7 grant_type=client_credentials&client_id=shop"},
		"beside a secret":           {tokensource.Credential{ClientID: "shop", Secret: "s", Certificate: shown}, "7 grant_type=client_credentials"},
		"beside a secret, by name":  {tokensource.Credential{ClientID: "shop", Secret: "s", Certificate: shown, Auth: "tls_client_auth + client_secret_basic"}, "7 grant_type=client_credentials&client_id=shop"},
		"beside a secret in a form": {tokensource.Credential{ClientID: "shop", Secret: "s", Certificate: shown, Auth: "client_secret_post + tls_client_auth"}, "7 grant_type=client_credentials&client_id=shop&client_secret=s"},
		"beside an assertion":       {tokensource.Credential{ClientID: "shop", Key: key, Certificate: shown}, "7 grant_type=client_credentials&client_id=shop&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=JWT"},
		"beside the grant":          {tokensource.Credential{ClientID: "shop", Key: key, Certificate: shown, Grant: oauth.JWTBearer, Auth: oauth.AuthTLS}, "7 grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=JWT&client_id=shop"},
		"beside another's grant":    {tokensource.Credential{Assertion: provider, Certificate: shown, Grant: oauth.JWTBearer, Auth: oauth.AuthTLS}, "7 grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=JWT"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &tokensource.Source{Issuer: m.URL, Credential: row.credential, HTTPClient: m.Client()}
			if token := mustToken(t, s); token.AccessToken != "of-7" {
				t.Errorf("token %q", token.AccessToken)
			}
			if got := m.requests(); got[len(got)-1] != row.want {
				t.Errorf("got  %s\nwant %s", got[len(got)-1], row.want)
			}
		})
	}
}

// TestCertificateOfHTTPClient: with a method of mutual TLS in Auth, the HTTPClient may
// have the certificate, and a RoundTripper that is not an *http.Transport always has it.
func TestCertificateOfHTTPClient(t *testing.T) {
	m := newMutual(t)
	base := m.Client().Transport.(*http.Transport).Clone()
	base.TLSClientConfig.Certificates = []tls.Certificate{*newCertificate(t, 8)}
	s := &tokensource.Source{Issuer: m.URL, Credential: tokensource.Credential{ClientID: "shop", Auth: oauth.AuthTLS}, HTTPClient: &http.Client{Transport: base}}
	if token := mustToken(t, s); token.AccessToken != "of-8" {
		t.Errorf("token %q", token.AccessToken)
	}
	own := roundTripper(base.RoundTrip)
	s = &tokensource.Source{Issuer: m.URL, HTTPClient: &http.Client{Transport: own}, Credential: tokensource.Credential{
		ClientID: "shop", Certificate: (&switchable{pair: newCertificate(t, 9)}).get}}
	if token := mustToken(t, s); token.AccessToken != "of-8" {
		t.Errorf("token %q", token.AccessToken)
	}
	want := []string{"8 grant_type=client_credentials&client_id=shop", "8 grant_type=client_credentials&client_id=shop"}
	if diff := cmp.Diff(want, m.requests()); diff != "" {
		t.Error(diff)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestCertificateChanges: RFC 8705 §6.3. With another certificate, tokens and connections
// of the old one are not used any more, also by the client for the API.
func TestCertificateChanges(t *testing.T) {
	m := newMutual(t)
	first, second := newCertificate(t, 1), newCertificate(t, 2)
	shown := &switchable{pair: first}
	base := m.Client().Transport.(*http.Transport).Clone()
	base.TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(10) // a session has the certificate of its first handshake
	s := &tokensource.Source{Issuer: m.URL, HTTPClient: &http.Client{Transport: base}, Credential: tokensource.Credential{ClientID: "shop", Certificate: shown.get}}
	client := s.Client()
	call := func(want string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, m.URL+"/api", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if token := mustToken(t, s); resp.StatusCode != 200 || token.AccessToken != want {
			t.Errorf("status %d, token %q, want %s", resp.StatusCode, token.AccessToken, want)
		}
	}
	call("of-1")
	call("of-1")
	old, err := s.TokenFor(t.Context(), tokensource.Request{Scope: oauth.Scope{"other"}})
	if err != nil {
		t.Fatal(err)
	}
	shown.set(second, nil)
	call("of-2")
	if !s.Discard(old) {
		t.Error("a dropped token cannot be discarded: a request with it is not sent again")
	}
	call("of-2")
	shown.set(&tls.Certificate{Certificate: second.Certificate, PrivateKey: second.PrivateKey}, nil) // the same
	call("of-2")
	shown.set(first, nil)
	call("of-1")
	if got := len(m.requests()); got != 4 {
		t.Errorf("%d tokens were fetched, want 4: %q", got, m.requests())
	}
	for _, broken := range []*tls.Certificate{nil, {}, {Certificate: first.Certificate}} {
		shown.set(broken, nil)
		if _, err := s.Token(t.Context()); err == nil {
			t.Errorf("a token with %v", broken)
		}
	}
	shown.set(nil, errors.New("the vault is sealed"))
	if _, err := s.Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "the vault is sealed") {
		t.Error(err)
	}
	if _, err := client.Get(m.URL); err == nil {
		t.Error("a request without the certificate was sent")
	}
}

// TestCertificateChangesInFlight: a token that an exchange brings after the certificate
// changed is not kept for the new one.
func TestCertificateChangesInFlight(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	e := &endpoint{answer: func(n int, _ *http.Request) (*http.Response, error) {
		if n == 1 {
			close(arrived)
			<-release
		}
		return reply(200, fmt.Sprintf(`{"access_token":"token-%d","expires_in":600}`, n)), nil
	}}
	shown := &switchable{pair: newCertificate(t, 1)}
	s := withSecret(e)
	s.Credential.Certificate = shown.get
	first := make(chan *tokensource.Token)
	go func() {
		token, _ := s.Token(context.Background())
		first <- token
	}()
	<-arrived
	shown.set(newCertificate(t, 2), nil)
	second := mustToken(t, s)
	close(release)
	if late := <-first; late == nil || late.AccessToken == second.AccessToken || !s.Discard(late) {
		t.Errorf("late %v", late)
	}
	if again := mustToken(t, s); again != second || e.count() != 2 {
		t.Errorf("%v after %d requests, want %v", again, e.count(), second)
	}
}

// TestCertificateChainChanges: a chain that is completed, or another one for the same
// certificate, is shown from then on. A file that was read half-written may have only its
// first certificate.
func TestCertificateChainChanges(t *testing.T) {
	lengths := make(chan int, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { lengths <- len(r.TLS.PeerCertificates) }))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	t.Cleanup(server.Close)
	leaf, between := newCertificate(t, 1), newCertificate(t, 2)
	shown := &switchable{pair: leaf}
	client := &http.Client{Transport: tokensource.WithCertificate(server.Client().Transport.(*http.Transport), shown.get)}
	for want, pair := range []*tls.Certificate{1: leaf, 2: {Certificate: [][]byte{leaf.Certificate[0], between.Certificate[0]}, PrivateKey: leaf.PrivateKey}} {
		if pair == nil {
			continue
		}
		shown.set(pair, nil)
		resp, err := client.Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if got := <-lengths; got != want {
			t.Errorf("the server got %d certificates, want %d", got, want)
		}
	}
}

// TestCertificateOwnHTTP2: connections of HTTP/2 are not shared with the transport that was
// given, nor between two certificates, also where something like golang.org/x/net/http2 made
// that transport keep them in a pool of its own.
func TestCertificateOwnHTTP2(t *testing.T) {
	m := &mutual{}
	m.Server = httptest.NewUnstartedServer(m)
	m.TLS, m.EnableHTTP2 = &tls.Config{ClientAuth: tls.RequestClientCert}, true
	m.StartTLS()
	t.Cleanup(m.Close)
	base := m.Client().Transport.(*http.Transport).Clone()
	pool := roundTripper(func(*http.Request) (*http.Response, error) {
		return nil, errors.New("over a connection with another certificate")
	})
	base.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{"h2": func(string, *tls.Conn) http.RoundTripper { return pool }}
	base.TLSClientConfig.NextProtos = []string{"h2", "http/1.1"}
	s := &tokensource.Source{Issuer: m.URL, HTTPClient: &http.Client{Transport: base}, Credential: tokensource.Credential{
		ClientID: "shop", Certificate: (&switchable{pair: newCertificate(t, 4)}).get}}
	if token := mustToken(t, s); token.AccessToken != "of-4" {
		t.Errorf("token %q", token.AccessToken)
	}
}

// TestServerNamesAuthorities: the certificate is shown also to a server whose list of
// authorities does not have its issuer.
func TestServerNamesAuthorities(t *testing.T) {
	m := &mutual{}
	m.Server = httptest.NewUnstartedServer(m)
	pool := x509.NewCertPool()
	other, err := x509.ParseCertificate(newCertificate(t, 5).Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(other)
	m.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, ClientCAs: pool}
	m.StartTLS()
	t.Cleanup(m.Close)
	s := &tokensource.Source{Issuer: m.URL, HTTPClient: m.Client(), Credential: tokensource.Credential{ClientID: "shop", Certificate: (&switchable{pair: newCertificate(t, 6)}).get}}
	if token := mustToken(t, s); token.AccessToken != "of-6" {
		t.Errorf("token %q", token.AccessToken)
	}
}

// TestCertificateCannotBeShown: a transport that makes its TLS connections by itself is
// refused, instead of sending without the certificate.
func TestCertificateCannotBeShown(t *testing.T) {
	m := newMutual(t)
	base := m.Client().Transport.(*http.Transport).Clone()
	base.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		return (&tls.Dialer{Config: base.TLSClientConfig}).DialContext(ctx, network, address)
	}
	s := &tokensource.Source{Issuer: m.URL, HTTPClient: &http.Client{Transport: base}, Credential: tokensource.Credential{
		ClientID: "shop", Certificate: (&switchable{pair: newCertificate(t, 1)}).get}}
	if _, err := s.Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "DialTLS") || len(m.requests()) > 0 {
		t.Errorf("%v, requests %q", err, m.requests())
	}
}

// writePair writes a certificate and its key.
func writePair(t *testing.T, pair *tls.Certificate, cert, key string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: der}} {
		if name == "" {
			continue
		}
		if err := os.WriteFile(name+".new", pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(name+".new", name); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCertificateFiles: changed files are read again, and a pair that is half replaced
// does not count.
func TestCertificateFiles(t *testing.T) {
	dir := t.TempDir()
	var log strings.Builder
	f := &tokensource.CertificateFiles{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key"), Logger: slog.New(slog.NewTextHandler(&log, nil))}
	want := func(pair *tls.Certificate) *tls.Certificate {
		t.Helper()
		got, err := f.Certificate(t.Context())
		if err != nil || !slices.Equal(got.Certificate[0], pair.Certificate[0]) {
			t.Fatalf("another certificate: %v", err)
		}
		return got
	}
	if _, err := f.Certificate(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without files: %v", err)
	}
	first, second := newCertificate(t, 1), newCertificate(t, 2)
	writePair(t, first, f.Cert, f.Key)
	if once := want(first); once != want(first) {
		t.Error("it was read twice")
	}
	writePair(t, second, f.Cert, "")
	want(first)
	want(first)
	if got := strings.Count(log.String(), "level=WARN"); got != 1 {
		t.Errorf("%d warnings:\n%s", got, log.String())
	}
	writePair(t, second, "", f.Key)
	want(second)
	if err := os.Remove(f.Cert); err != nil {
		t.Fatal(err)
	}
	want(second)
	if got := strings.Count(log.String(), "level=WARN"); got != 2 || strings.Contains(log.String(), "PRIVATE") {
		t.Errorf("%d warnings:\n%s", got, log.String())
	}
	writePair(t, first, f.Cert, f.Key)
	want(first)

	both := filepath.Join(dir, "both.pem")
	cert, err1 := os.ReadFile(f.Cert)
	key, err2 := os.ReadFile(f.Key)
	if err := errors.Join(err1, err2, os.WriteFile(both, append(cert, key...), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, one := range []*tokensource.CertificateFiles{{Cert: both}, {Key: both}} {
		if f = one; want(first) == nil {
			t.Error("no pair")
		}
	}
}

// The files are taken as other programs write them, as those of a listener are, and a refusal says what
// they hold.
func TestCertificateFilesOfOtherPrograms(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePair(t, newCertificate(t, 1), cert, key)
	for _, name := range []string{cert, key} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, append([]byte("\xef\xbb\xbf"), data...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if pair, err := (&tokensource.CertificateFiles{Cert: cert, Key: key}).Certificate(t.Context()); err != nil || pair == nil {
		t.Errorf("with byte order marks: %v", err)
	}
	_, err := (&tokensource.CertificateFiles{Cert: cert, Key: cert}).Certificate(t.Context())
	if err == nil || !strings.Contains(err.Error(), "private key") || !strings.Contains(err.Error(), cert) {
		t.Errorf("a certificate as the key: %v", err)
	}
}

// TestCredentialWithFunctionsIsNotShown: a credential with functions is printed without them.
func TestCredentialWithFunctionsIsNotShown(t *testing.T) {
	c := tokensource.Credential{ClientID: "shop", Certificate: (&switchable{}).get, Assertion: tokensource.AssertionFile("x"), AssertionType: oauth.AssertionTypeSPIFFE}
	if got := fmt.Sprintf("%+v %#v", c, c); got != `credential of client "shop" credential of client "shop"` {
		t.Error(got)
	}
	if _, err := json.Marshal(c); err != nil {
		t.Error(err)
	}
}
