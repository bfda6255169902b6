package agent

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"moneyer/assertion"
)

// pair writes a server's certificate and key, which are also used as a client certificate.
func pair(t *testing.T, dir string, s *httptest.Server) {
	t.Helper()
	c := s.TLS.Certificates[0]
	write(t, filepath.Join(dir, "cert.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})))
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
}

// TestTLS: an upstream that requires mutual TLS gets the configured certificate, and the token is
// not sent to a server without a trusted certificate.
func TestTLS(t *testing.T) {
	var arrived int
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived++
		fmt.Fprint(w, len(r.TLS.PeerCertificates), " ", r.Header.Get("Authorization"))
	}))
	s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo) // handshakes fail intentionally
	s.StartTLS()
	t.Cleanup(s.Close)
	p, dir := newPlatform(t), folder(t)
	pair(t, dir, s)
	r := start(t, dir, settings(p.URL, s.URL, "ca_file = \"cert.pem\"\ntls_cert = \"cert.pem\"\ntls_key = \"key.pem\"\n"))
	resp := r.do(t, "GET", "/api/x", nil)
	if got := text(t, resp); got != "1 Bearer token-1" {
		t.Errorf("%d %s", resp.StatusCode, got)
	}
	for _, lacking := range []string{"", "ca_file = \"cert.pem\"\n", "tls_cert = \"cert.pem\"\ntls_key = \"key.pem\"\n"} {
		wantStatus(t, start(t, dir, settings(p.URL, s.URL, lacking)).do(t, "GET", "/api/x", nil), 502, "upstream_unreachable")
	}
	if arrived != 1 {
		t.Errorf("%d requests arrived", arrived)
	}
}

// TestUpstreamSessionsAreResumed: when the upstream has closed its connection, the next one resumes the session, with
// the client certificate.
func TestUpstreamSessionsAreResumed(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, len(r.TLS.PeerCertificates), " ", r.TLS.DidResume)
	}))
	s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	s.Config.SetKeepAlivesEnabled(false)
	s.StartTLS()
	t.Cleanup(s.Close)
	p, dir := newPlatform(t), folder(t)
	pair(t, dir, s)
	r := start(t, dir, settings(p.URL, s.URL, "ca_file = \"cert.pem\"\ntls_cert = \"cert.pem\"\ntls_key = \"key.pem\"\n"))
	for i, want := range []string{"1 false", "1 true", "1 true"} {
		if got := text(t, r.do(t, "GET", "/api/x", nil)); got != want {
			t.Errorf("request %d: %s, want %s", i, got, want)
		}
	}
}

// TestTLSToThePlatform is TestTLS for the platform.
func TestTLSToThePlatform(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token":"token-1","token_type":"Bearer","expires_in":600}`)
	}))
	s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo) // handshakes fail intentionally
	s.StartTLS()
	t.Cleanup(s.Close)
	dir, a := folder(t), newAPI(t, nil)
	pair(t, dir, s)
	key, err := assertion.GenerateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	text, err := assertion.MarshalKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "sign.pem"), string(text))
	d1 := "listen = \"127.0.0.1:0\"\n[tokens.d1]\nprofile = \"thales-d1\"\nissuer = %q\nclient = \"merchant01\"\nkey_file = \"sign.pem\"\nkid = \"k\"\n" +
		"ca_file = \"cert.pem\"\ntls_cert = \"cert.pem\"\ntls_key = \"key.pem\"\n[upstreams.api]\npath = \"/\"\nurl = %q\ntoken = \"d1\"\n"
	r := start(t, dir, fmt.Sprintf(d1, s.URL, a.URL))
	wantStatus(t, r.do(t, "GET", "/anything", nil), 200, "")
	if got := a.only(t); got.uri != "/anything" || got.header.Get("Authorization") != "Bearer token-1" {
		t.Errorf("%+v", got)
	}
}

// writeCertificate writes a client certificate with that serial number, and its key, as client.pem.
func writeCertificate(t *testing.T, dir string, serial int64) {
	t.Helper()
	key, err := assertion.GenerateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := assertion.MarshalKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "client.pem")
	write(t, file+".new", string(private)+string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

// TestCertificateIsReadAgain: when the files of a certificate change, the agent shows the new one
// without a reload, gets a token for it, and calls the API with both.
func TestCertificateIsReadAgain(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		serial := r.TLS.PeerCertificates[0].SerialNumber
		switch {
		case r.URL.Path != "/oauth2/token":
			fmt.Fprintf(w, "certificate %s, %s", serial, r.Header.Get("Authorization"))
		case r.PostFormValue("client_id") != "shop" || r.PostForm.Has("client_secret"):
			w.WriteHeader(http.StatusBadRequest)
		default:
			fmt.Fprintf(w, `{"access_token":"token-%s","token_type":"Bearer","expires_in":600}`, serial)
		}
	}))
	s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	s.StartTLS()
	t.Cleanup(s.Close)
	dir := folder(t)
	pair(t, dir, s)
	writeCertificate(t, dir, 1)
	const mutual = "ca_file = \"cert.pem\"\ntls_cert = \"client.pem\"\n"
	r := start(t, dir, tcp+fmt.Sprintf("[tokens.shop]\nprofile = \"oauth2\"\nissuer = %q\nclient = \"shop\"\n", s.URL)+mutual+
		fmt.Sprintf("[upstreams.api]\npath = \"/api/\"\nurl = %q\ntoken = \"shop\"\n", s.URL)+mutual+"[files.f]\npath = \"f\"\ntoken = \"shop\"\n")
	for serial := int64(1); serial <= 2; serial++ {
		if serial > 1 {
			writeCertificate(t, dir, serial)
		}
		if got, want := text(t, r.do(t, "GET", "/api/x", nil)), fmt.Sprintf("certificate %d, Bearer token-%[1]d", serial); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		eventually(t, "the file has the token of the certificate", func() bool {
			data, _ := os.ReadFile(filepath.Join(dir, "f"))
			return string(data) == fmt.Sprintf("token-%d", serial)
		})
	}
}
