package tlsfiles

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// pair returns a certificate with that serial number and its key, in PEM.
func pair(t *testing.T, serial int64) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

func write(t testing.TB, path string, parts ...[]byte) {
	t.Helper()
	if err := os.WriteFile(path, bytes.Join(parts, nil), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestReload: changed files are reloaded, and invalid ones are an error.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	files := Server{Cert: filepath.Join(dir, "server.crt"), Key: filepath.Join(dir, "server.key")}
	replace := func(serial int64) {
		t.Helper()
		cert, key := pair(t, serial)
		write(t, files.Cert, cert)
		write(t, files.Key, key)
	}
	serial := func(l *Loaded) int64 { return l.Config.Certificates[0].Leaf.SerialNumber.Int64() }
	replace(1)
	first, err := files.Load()
	if err != nil || serial(first) != 1 {
		t.Fatal(err)
	}
	if same, err := files.Reload(first); err != nil || same != first {
		t.Errorf("reload of unchanged files: %v", err)
	}
	replace(22)
	second, err := files.Reload(first)
	if err != nil || serial(second) != 22 {
		t.Errorf("after a change: %v", err)
	}
	_, key := pair(t, 333)
	write(t, files.Key, key) // the key is replaced before its certificate
	if _, err := files.Reload(second); err == nil {
		t.Error("a half-finished change was loaded")
	}
	if err := os.Remove(files.Cert); err != nil {
		t.Fatal(err)
	}
	if _, err := files.Reload(second); err == nil {
		t.Error("a missing file was accepted")
	}
	replace(4444)
	if last, err := files.Reload(second); err != nil || serial(last) != 4444 {
		t.Errorf("after it was repaired: %v", err)
	}
	if none, err := (Server{}).Reload(nil); err != nil || none != nil {
		t.Errorf("without TLS: %v", err)
	}
}

func TestOneFile(t *testing.T) {
	both := filepath.Join(t.TempDir(), "both.pem")
	cert, key := pair(t, 5)
	write(t, both, cert, key)
	if l, err := (Server{Cert: both, Key: both}).Load(); err != nil || len(l.Config.Certificates) != 1 {
		t.Errorf("a server: %v", err)
	}
	if c, err := Client(both, both, ""); err != nil || c.RootCAs == nil || len(c.Certificates) != 1 {
		t.Errorf("a client: %v", err)
	}
	if c, err := Client("", "", ""); err != nil || c.RootCAs != nil || c.Certificates != nil {
		t.Errorf("a client of the system's authorities: %v", err)
	}
	write(t, both, key)
	if _, err := Client(both, "", ""); err == nil || !strings.Contains(err.Error(), "holds no certificate") {
		t.Errorf("no authority: %v", err)
	}
}

// handshake has a client with that configuration connect to the listener of files.
func handshake(t *testing.T, files Server, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	loaded, err := files.Load()
	if err != nil {
		t.Fatal(err)
	}
	here, there := net.Pipe()
	defer func() { _, _ = here.Close(), there.Close() }()
	go func() {
		_ = tls.Server(there, Listener(func() *Loaded { return loaded }, Sessions{Secret: make([]byte, 32), Now: time.Now})).HandshakeContext(t.Context())
	}()
	client.InsecureSkipVerify = true // the suites matter here
	conn := tls.Client(here, client)
	err = conn.HandshakeContext(t.Context())
	return conn.ConnectionState(), err
}

// TestCipherSuites: of TLS 1.2 a listener takes suites with AEAD and forward secrecy only. A handshake
// that offers CBC, or no forward secrecy, fails.
func TestCipherSuites(t *testing.T) {
	both := filepath.Join(t.TempDir(), "both.pem")
	cert, key := pair(t, 6)
	write(t, both, cert, key)
	files := Server{Cert: both, Key: both}
	offered := 0
	for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if !slices.Contains(suite.SupportedVersions, tls.VersionTLS12) || strings.Contains(suite.Name, "_RSA_") {
			continue // TLS 1.3 has no choice, and the certificate is of ECDSA
		}
		offered++
		aead := strings.Contains(suite.Name, "GCM") || strings.Contains(suite.Name, "POLY1305")
		got, err := handshake(t, files, &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite.ID}})
		if (err == nil) != aead || err == nil && got.CipherSuite != suite.ID {
			t.Errorf("%s: %v", suite.Name, err)
		}
	}
	if offered < 6 {
		t.Errorf("%d suites were offered", offered)
	}
	for name, config := range map[string]*tls.Config{
		"TLS 1.2 with RSA key exchange": {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_128_CBC_SHA}},
		"TLS 1.1":                       {MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
	} {
		if _, err := handshake(t, files, config); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if got, err := handshake(t, files, &tls.Config{NextProtos: []string{"h2"}}); err != nil || got.Version != tls.VersionTLS13 || got.NegotiatedProtocol != "h2" {
		t.Errorf("%v, %+v", err, got)
	}
}

// TestRoots: a changed file is loaded, and an invalid one changes nothing.
func TestRoots(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca.pem")
	if _, err := LoadRoots(file); err == nil {
		t.Error("a missing file was loaded")
	}
	cert, _ := pair(t, 7)
	write(t, file, cert)
	roots, err := LoadRoots(file)
	if err != nil {
		t.Fatal(err)
	}
	first := roots.Pool()
	if err := roots.Reload(); err != nil || roots.Pool() != first {
		t.Errorf("an unchanged file: %v", err)
	}
	write(t, file, []byte("hello"))
	if err := roots.Reload(); err == nil || roots.Pool() != first {
		t.Errorf("an invalid file: %v", err)
	}
	other, _ := pair(t, 8)
	write(t, file, cert, other)
	if err := roots.Reload(); err != nil || roots.Pool().Equal(first) {
		t.Errorf("a changed file: %v", err)
	}
}

// TestAsk: a listener that asks takes every client: one without a certificate, and one whose certificate
// no authority has issued. The client is not told of any authorities, or it would withhold it. On a
// resumed session the certificate is there, too.
func TestAsk(t *testing.T) {
	both, own := filepath.Join(t.TempDir(), "both.pem"), filepath.Join(t.TempDir(), "own.pem")
	cert, key := pair(t, 6)
	write(t, both, cert, key)
	cert, key = pair(t, 66)
	write(t, own, cert, key)
	client, err := Client("", own, "")
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := Server{Cert: both, Key: both, Ask: true}.Load()
	if err != nil {
		t.Fatal(err)
	}
	listening, err := tls.Listen("tcp", "127.0.0.1:0", Listener(func() *Loaded { return loaded }, Sessions{Secret: make([]byte, 32), Now: time.Now}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listening.Close() }()
	asking := func(config *tls.Config) tls.ConnectionState {
		t.Helper()
		config.InsecureSkipVerify = true // the server is not what is tested
		states := make(chan tls.ConnectionState, 1)
		go func() {
			if conn, err := listening.Accept(); err == nil {
				_, _ = conn.Write([]byte("x")) // with the ticket
				states <- conn.(*tls.Conn).ConnectionState()
				_ = conn.Close()
			}
		}()
		conn, err := tls.Dial("tcp", listening.Addr().String(), config)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Read(make([]byte, 1))
		_ = conn.Close()
		return <-states
	}
	if state := asking(&tls.Config{}); len(state.PeerCertificates) != 0 {
		t.Error("a certificate out of nothing")
	}
	var authorities [][]byte
	held := client.Certificates[0]
	client.Certificates, client.ClientSessionCache = nil, tls.NewLRUClientSessionCache(1)
	client.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		authorities = info.AcceptableCAs
		return &held, nil
	}
	for i := range 2 {
		state := asking(client)
		if len(state.PeerCertificates) != 1 || state.PeerCertificates[0].SerialNumber.Int64() != 66 || state.DidResume != (i == 1) || len(authorities) != 0 {
			t.Errorf("connection %d: resumed %v, %d certificates, of %d authorities", i, state.DidResume, len(state.PeerCertificates), len(authorities))
		}
	}
}
