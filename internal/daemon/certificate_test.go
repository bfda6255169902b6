package daemon

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"moneyer/internal/clientcert"
	"moneyer/internal/clientcert/certtest"
	"moneyer/internal/ledger"
	"moneyer/internal/registry"
)

// TestClientCertificates: a listener that asks serves clients with and without a certificate; what
// authenticates by one follows the registry and the file of authorities, on connections that are open.
func TestClientCertificates(t *testing.T) {
	ca, other, dir := certtest.NewCA(t, time.Now()), certtest.NewCA(t, time.Now()), t.TempDir()
	roots, server := filepath.Join(dir, "ca.pem"), certificate(t)
	write := func(ca *certtest.CA) {
		if err := os.WriteFile(roots, ca.PEM(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(ca)
	_, err := Init(t.Context(), dir, fmt.Sprintf(`store = "sqlite:moneyer.db"
master_key = "file:master.key"
[listen]
address = "127.0.0.1:0"
tls_cert = %[1]q
tls_key = %[1]q
client_cert = "ask"
[admin]
address = "localhost:0"
url = "http://127.0.0.1:1"
[limits]
drain_delay = "-1s"
[issuers.plain]
url = "https://127.0.0.1:2/plain"
profile = "oauth2"
resource_audience = "https://api.example"
tls_client_auth_ca = %[2]q
`, server, roots), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	s := newTestServer(t, filepath.Join(dir, ConfigFile), io.Discard)
	put := func(disabled bool) {
		t.Helper()
		client := registry.Client{Issuer: "plain", ID: "app-1", Created: time.Now()}
		if found, _, err := s.db.FindClient(t.Context(), "plain", "app-1"); err == nil {
			client = *found
		}
		client.Certificates = []registry.Certificate{{ID: "c1", Match: registry.MatchSANDNS, Value: "pay.example", Disabled: disabled}}
		if err := s.db.PutClient(t.Context(), &client, &ledger.Entry{Kind: ledger.KindAdmin, Time: time.Now(), Actor: "test"}); err != nil {
			t.Fatal(err)
		}
	}
	put(false)
	caller := func(shown ...tls.Certificate) func() int {
		// The certificate is shown whatever the server would verify it by.
		config := &tls.Config{InsecureSkipVerify: true, Certificates: shown}
		c := &http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}}
		t.Cleanup(c.CloseIdleConnections)
		return func() int {
			t.Helper()
			resp, err := c.PostForm("https://"+s.Addr()+"/plain/oauth2/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {"app-1"}})
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if resp.ProtoMajor != 2 || resp.StatusCode == http.StatusOK != strings.Contains(string(body), "access_token") {
				t.Errorf("%s: %s", resp.Proto, body)
			}
			return resp.StatusCode
		}
	}
	pair := ca.Client(t, "pay-1", nil)
	named := ca.Client(t, "pay-1", withDNSName)
	mine := caller(named)
	want := func(when string, ask func() int, status int) {
		t.Helper()
		if got := ask(); got != status {
			t.Errorf("%s: %d, want %d", when, got, status)
		}
	}
	want("with it", mine, http.StatusOK)
	want("without one", caller(), http.StatusUnauthorized)
	want("with another", caller(pair), http.StatusUnauthorized)
	put(true)
	want("disabled", mine, http.StatusUnauthorized)
	put(false)
	want("enabled", mine, http.StatusOK)
	write(other)
	s.refresh(t.Context())
	want("after another authority took over", mine, http.StatusUnauthorized)
	if err := os.WriteFile(roots, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.refresh(t.Context())
	want("with a broken file", caller(other.Client(t, "pay-1", withDNSName)), http.StatusOK)
	if err := s.Reload(t.Context()); err == nil {
		t.Error("a broken file was loaded")
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func withDNSName(c *x509.Certificate) { c.DNSNames = []string{"pay.example"} }

// TestCertificateHeaderIsReloaded: the proxies that may forward certificates, and the authorities, are those
// of the configuration that was loaded last; one that names a file which is not there is refused.
func TestCertificateHeaderIsReloaded(t *testing.T) {
	file := newFolder(t)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	configure := func(listen, issuer string) {
		t.Helper()
		next := strings.Replace(string(text), "[listen]\n", "[listen]\n"+listen+"\n", 1) + issuer + "\n"
		if err := os.WriteFile(file, []byte(next), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := newTestServer(t, file, io.Discard)
	mine := certtest.SelfSigned(t, time.Now(), "pay-1", nil).Leaf
	shown := clientcert.FromTLS(&tls.ConnectionState{PeerCertificates: []*x509.Certificate{mine}})
	client := &registry.Client{Issuer: "plain", ID: "app-1", Created: time.Now(), Certificates: []registry.Certificate{{ID: "c1", Match: registry.MatchCertificate, Value: shown.Thumbprint()}}}
	if err := s.db.PutClient(t.Context(), client, &ledger.Entry{Kind: ledger.KindAdmin, Time: time.Now(), Actor: "test"}); err != nil {
		t.Fatal(err)
	}
	ask := func() int {
		t.Helper()
		form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"app-1"}}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.Addr()+"/plain/oauth2/token", strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Client-Cert", ":"+base64.StdEncoding.EncodeToString(mine.Raw)+":")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	const header = "client_cert_header = \"client-cert\"\nclient_cert_proxies = "
	for _, step := range []struct {
		listen, issuer, fails string
		want                  int
	}{
		{"", "", "", http.StatusUnauthorized},
		{header + `["127.0.0.1/32"]`, "", "", http.StatusOK},
		{header + `["127.0.0.1/32"]`, `tls_client_auth_ca = "missing.pem"`, "issuers.plain.tls_client_auth_ca", http.StatusOK}, // the previous one stays
		{header + `["127.0.0.9/32"]`, "", "", http.StatusUnauthorized},
	} {
		configure(step.listen, step.issuer)
		if err := s.Reload(t.Context()); (err == nil) != (step.fails == "") || err != nil && !strings.Contains(err.Error(), step.fails) {
			t.Errorf("reload of %+v: %v", step, err)
		}
		if got := ask(); got != step.want {
			t.Errorf("with %+v: %d", step, got)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}
