package tlsfiles

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
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

func write(t *testing.T, path string, parts ...[]byte) {
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
