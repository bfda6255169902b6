package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"moneyer/internal/adminapi"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// certifier issues certificates for a test.
type certifier struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newCertifier(t *testing.T) *certifier {
	t.Helper()
	c := &certifier{t: t}
	c.cert, c.key, c.pem = issue(t, &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil)
	return c
}

// issue signs a certificate, by its own key when there is no certifier.
func issue(t *testing.T, template *x509.Certificate, by *certifier) (*x509.Certificate, *ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// pair is a certificate with that serial number and its key, in PEM.
func (c *certifier) pair(serial int64) (certPEM, keyPEM []byte) {
	c.t.Helper()
	_, key, certPEM := issue(c.t, &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "test"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}, c)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		c.t.Fatal(err)
	}
	return certPEM, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func (c *certifier) clientCertificate(serial int64) tls.Certificate {
	c.t.Helper()
	cert, err := tls.X509KeyPair(c.pair(serial))
	if err != nil {
		c.t.Fatal(err)
	}
	return cert
}

// replaceCertificate puts a new certificate into the installation.
func (i *installation) replaceCertificate(c *certifier, serial int64) {
	i.t.Helper()
	cert, key := c.pair(serial)
	replaceFile(i.t, filepath.Join(i.dir, "server.crt"), cert)
	replaceFile(i.t, filepath.Join(i.dir, "server.key"), key)
}

// withTLS installs with TLS on both listeners.
func withTLS(c *certifier, more string) func(*installation) {
	return func(i *installation) {
		i.scheme = "https"
		i.listen = "tls_cert = \"server.crt\"\ntls_key = \"server.key\"\n" + more
		i.adminSettings = "tls_cert = \"server.crt\"\ntls_key = \"server.key\""
		i.replaceCertificate(c, 100)
		i.client = c.caller(nil)
		i.t.Cleanup(i.client.CloseIdleConnections)
	}
}

// caller is an HTTP client that trusts the certifier, with connections of its own.
func (c *certifier) caller(sessions tls.ClientSessionCache, certs ...tls.Certificate) *http.Client {
	roots := x509.NewCertPool()
	roots.AddCert(c.cert)
	return &http.Client{Timeout: tooLong, Transport: &http.Transport{ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 64,
		TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: certs, ClientSessionCache: sessions}}}
}

// connectionInfo describes the connection and the response of a request.
type connectionInfo struct {
	serial          int64
	proto           int
	reused, resumed bool
	status          int
}

// ask requests /healthz of the public listener.
func (i *installation) ask(client *http.Client) (s connectionInfo, err error) {
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { s.reused = info.Reused }}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(context.Background(), trace), http.MethodGet, "https://"+i.address+"/healthz", nil)
	if err != nil {
		return s, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	s.status, s.proto = resp.StatusCode, resp.ProtoMajor
	s.serial, s.resumed = resp.TLS.PeerCertificates[0].SerialNumber.Int64(), resp.TLS.DidResume
	return s, nil
}

func (i *installation) mustAsk(client *http.Client) connectionInfo {
	i.t.Helper()
	s, err := i.ask(client)
	if err != nil {
		i.t.Fatal(err)
	}
	return s
}

func (p *program) reload(want string) string {
	p.t.Helper()
	p.signal(syscall.SIGHUP)
	return p.await(want)
}

// TestReloadCertificate: open connections stay, new ones get the new certificate, and
// an invalid one changes nothing.
func TestReloadCertificate(t *testing.T) {
	t.Parallel()
	ca := newCertifier(t)
	i := install(t, withTLS(ca, ""))
	p := i.serve()
	i.wantToken(600)
	resident := ca.caller(nil)
	defer resident.CloseIdleConnections()
	if s := i.mustAsk(resident); s.serial != 100 || s.proto != 2 || s.status != http.StatusOK {
		t.Errorf("at first: %+v", s)
	}
	l := i.load()
	l.await(t, 10)

	i.replaceCertificate(ca, 101)
	p.reload(`"reloaded"`)
	if s := i.mustAsk(resident); !s.reused || s.serial != 100 {
		t.Errorf("open connection: %+v", s)
	}
	newcomer := func(serial int64) {
		t.Helper()
		client := ca.caller(nil)
		defer client.CloseIdleConnections()
		if s := i.mustAsk(client); s.reused || s.serial != serial {
			t.Errorf("new connection: %+v, want serial %d", s, serial)
		}
	}
	newcomer(101)

	good := i.config()
	i.replaceCertificate(ca, 102)
	i.rewrite(good + "nonsense = 1\n")
	p.reload("reload refused")
	newcomer(101) // all or nothing: the certificate was good, and stays out

	i.rewrite(good)
	replaceFile(t, filepath.Join(i.dir, "server.crt"), []byte("no certificate"))
	if line := p.reload("reload refused"); !strings.Contains(line, "server.crt") {
		t.Errorf("the line does not name the file: %s", line)
	}
	newcomer(101)
	i.replaceCertificate(ca, 103)
	p.reload(`"reloaded"`)
	newcomer(103)
	l.await(t, 10)
	l.stop()

	if s := i.mustAsk(resident); !s.reused {
		t.Error("a connection was dropped")
	}
	t.Run("admin", func(t *testing.T) {
		if a := i.get(i.admin, "/readyz"); a.status != http.StatusOK {
			t.Errorf("%d", a.status)
		}
		roots := filepath.Join(i.dir, "ca.pem")
		replaceFile(t, roots, ca.pem)
		cli := begin(t, "client", "list", "--issuer", "plain", "--admin", i.adminFile)
		if code := cli.ended(); code != exitUnavailable {
			t.Errorf("certificate of an unknown CA: exit code %d", code)
		}
		cmd := exec.Command("moneyer", "client", "list", "--issuer", "plain", "--admin", i.adminFile)
		cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+roots)
		cli = follow(t, cmd)
		if code := cli.ended(); code != exitOK || !strings.Contains(cli.output(), "shop") {
			t.Errorf("exit code %d", code)
		}
	})
	p.stop()
}

// TestMutualTLS: only clients with a certificate of the current client_ca connect.
func TestMutualTLS(t *testing.T) {
	t.Parallel()
	ca, strangers, next := newCertifier(t), newCertifier(t), newCertifier(t)
	i := install(t, withTLS(ca, `client_ca = "clients.pem"`))
	clients := filepath.Join(i.dir, "clients.pem")
	replaceFile(t, clients, ca.pem)
	p := i.serve()
	sessions := tls.NewLRUClientSessionCache(10)
	known := func() *http.Client { return ca.caller(sessions, ca.clientCertificate(200)) }
	if s := i.mustAsk(known()); s.status != http.StatusOK {
		t.Errorf("a known client: %+v", s)
	}
	if s := i.mustAsk(known()); s.reused || !s.resumed {
		t.Errorf("second connection: %+v", s) // without resumption the last check below is void
	}
	refused := func(name string, client *http.Client) {
		t.Helper()
		if s, err := i.ask(client); err == nil {
			t.Errorf("%s connected: %+v", name, s)
		}
	}
	refused("no certificate", ca.caller(nil))
	refused("a stranger", ca.caller(nil, strangers.clientCertificate(201)))

	for _, empty := range []string{"nothing", ""} {
		replaceFile(t, clients, []byte(empty))
		p.reload("holds no certificate")
		refused("no certificate", ca.caller(nil))
	}
	if s := i.mustAsk(known()); s.status != http.StatusOK {
		t.Errorf("after a refused reload: %+v", s)
	}
	replaceFile(t, clients, next.pem)
	p.reload(`"reloaded"`)
	refused("a client of the previous CA", known())
	if s := i.mustAsk(ca.caller(nil, next.clientCertificate(202))); s.status != http.StatusOK {
		t.Errorf("a client of the next CA: %+v", s)
	}
	p.stop()
}

func TestIPv6Loopback(t *testing.T) {
	t.Parallel()
	if l, err := net.Listen("tcp", "[::1]:0"); err != nil {
		t.Skip("this machine has no IPv6")
	} else {
		_ = l.Close()
	}
	i := install(t, func(i *installation) {
		i.address = strings.Replace(i.address, "127.0.0.1", "[::1]", 1)
		i.admin = strings.Replace(i.admin, "127.0.0.1", "[::1]", 1)
	})
	p := i.serve()
	i.wantToken(600)
	if a := i.token(i.byKey()); a.status != http.StatusOK {
		t.Errorf("by key: %d %s", a.status, a.body)
	}
	i.does("client", "show", "shop")
	p.stop()
}

// TestAdminURLWithAPath: the admin API is served below the path of its URL only.
func TestAdminURLWithAPath(t *testing.T) {
	t.Parallel()
	i := install(t, func(i *installation) { i.adminSettings = `url = "http://` + i.admin + `/behind/a/proxy"` })
	p := i.serve()
	i.does("client", "show", "shop")
	i.does("client", "add", "other", "--scope", "pay")
	for path, status := range map[string]int{"/behind/a/proxy" + adminapi.Prefix + "/issuers": 401, adminapi.Prefix + "/issuers": 404, "/metrics": 200} {
		if a := i.get(i.admin, path); a.status != status {
			t.Errorf("%s: %d, want %d", path, a.status, status)
		}
	}
	p.stop()
}
