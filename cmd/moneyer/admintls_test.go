package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"moneyer/internal/adminclient"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certify writes NAME.crt and NAME.key into dir: a certificate for that name and
// for loopback, by an authority of its own when parent is empty, else by parent.
func certify(t *testing.T, dir, name, parent string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: parent == "", BasicConstraintsValid: true}
	issuer, issuerKey := template, key
	if parent != "" {
		issuer, issuerKey = certificate(t, filepath.Join(dir, parent))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, &key.PublicKey, issuerKey)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for suffix, block := range map[string]*pem.Block{".crt": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "EC PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, name+suffix), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// certificate reads what certify wrote.
func certificate(t *testing.T, path string) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	read := func(suffix string) []byte {
		data, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(data)
		return block.Bytes
	}
	parsed, err := x509.ParseCertificate(read(".crt"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.ParseECPrivateKey(read(".key"))
	if err != nil {
		t.Fatal(err)
	}
	return parsed, key
}

// TestAdminFileNamesTLSFiles: the commands reach an admin listener whose
// certificate is by a private authority and that requires a client certificate, with
// the files that their admin file names, from any folder.
func TestAdminFileNamesTLSFiles(t *testing.T) {
	t.Parallel()
	i := install(t, func(i *installation) {
		certify(t, i.dir, "ca", "")
		certify(t, i.dir, "server", "ca")
		certify(t, i.dir, "alice", "ca")
		i.adminSettings = `tls_cert = "server.crt"
tls_key = "server.key"
client_ca = "ca.crt"`
	})
	i.serve()
	plain, err := adminclient.ReadFile(i.adminFile)
	if err != nil {
		t.Fatal(err)
	}
	refuses := func(code int, text string, change func(*adminclient.File)) {
		t.Helper()
		file := plain
		change(&file)
		if err := os.Remove(i.adminFile); err != nil {
			t.Fatal(err)
		}
		if err := file.Write(i.adminFile); err != nil {
			t.Fatal(err)
		}
		if got, out := i.cli("client", "list", "--issuer", "plain"); got != code || !strings.Contains(out, text) {
			t.Errorf("exit code %d, want %d and %q:\n%s", got, code, text, out)
		}
	}
	refuses(exitUnavailable, "name its certificate as tls_ca in "+i.adminFile, func(*adminclient.File) {})
	refuses(exitUnavailable, "name one as tls_cert and tls_key in "+i.adminFile, func(f *adminclient.File) { f.TLSCA = "ca.crt" })
	refuses(exitUsage, "nowhere.crt", func(f *adminclient.File) { f.TLSCA = "nowhere.crt" })
	refuses(exitUsage, "ca.key holds no certificate", func(f *adminclient.File) { f.TLSCA = "ca.key" })
	refuses(exitUsage, "tls_cert", func(f *adminclient.File) { f.TLSCA, f.TLSCert, f.TLSKey = "ca.crt", "alice.crt", "ca.key" })
	refuses(exitOK, "shop", func(f *adminclient.File) { f.TLSCA, f.TLSCert, f.TLSKey = "ca.crt", "alice.crt", "alice.key" })

	refuses(exitUnavailable, "or by --cacert", func(f *adminclient.File) { f.TLSCert, f.TLSKey = "alice.crt", "alice.key" })
	if got, out := i.cli("client", "list", "--issuer", "plain", "--cacert", filepath.Join(i.dir, "ca.crt")); got != exitOK {
		t.Errorf("--cacert: exit code %d:\n%s", got, out)
	}
	if got, out := i.cli("client", "list", "--issuer", "plain", "--cacert", "nowhere.crt"); got != exitUsage || !strings.Contains(out, "--cacert: open nowhere.crt") {
		t.Errorf("--cacert without a file: exit code %d:\n%s", got, out)
	}
	refuses(exitOK, "shop", func(f *adminclient.File) { f.TLSCA, f.TLSCert, f.TLSKey = "ca.crt", "alice.crt", "alice.key" })

	// A file for another administrator elsewhere trusts the same authority, and has
	// to name a certificate of its own.
	other := filepath.Join(t.TempDir(), "bob.json")
	if out := i.does("admin", "add", "bob", "--out", other); !strings.Contains(out, "note: the listener may require a client certificate") {
		t.Errorf("no note in %s", out)
	}
	bob, err := adminclient.ReadFile(other)
	if err != nil || bob.TLSCA != filepath.Join(i.dir, "ca.crt") || bob.TLSCert != "" || bob.TLSKey != "" {
		t.Errorf("%v: tls_ca %q, tls_cert %q", err, bob.TLSCA, bob.TLSCert)
	}
	beside := filepath.Join(i.dir, "carol.json")
	i.does("admin", "add", "carol", "--out", beside)
	if carol, err := adminclient.ReadFile(beside); err != nil || carol.TLSCA != "ca.crt" {
		t.Errorf("%v: tls_ca %q", err, carol.TLSCA)
	}
}
