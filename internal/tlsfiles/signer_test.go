package tlsfiles

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"moneyer/internal/openssl"
)

// serverKeys are private keys of each kind that a certificate may have.
func serverKeys(t *testing.T) map[string]crypto.Signer {
	t.Helper()
	p256, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, err2 := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	rsa2048, err3 := rsa.GenerateKey(rand.Reader, 2048)
	_, ed, err4 := ed25519.GenerateKey(rand.Reader)
	for _, err := range []error{err1, err2, err3, err4} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return map[string]crypto.Signer{"P-256": p256, "P-384": p384, "RSA": rsa2048, "Ed25519": ed}
}

// writeFor writes a certificate of server.example for a key.
func writeFor(t *testing.T, file string, key crypto.Signer) {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "server"}, DNSNames: []string{"server.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}

// TestServerKeys: with each kind of key a Go client verifies the handshakes of TLS 1.2 and 1.3. A build with
// OpenSSL signs those of P-256 and RSA with it.
func TestServerKeys(t *testing.T) {
	for name, key := range serverKeys(t) {
		now, dir := time.Now(), t.TempDir()
		file := filepath.Join(dir, "server.pem")
		writeFor(t, file, key)
		r := newReplica(t, dir, &now, nil)
		_, isGo := r.loaded.Load().Config.Certificates[0].PrivateKey.(interface {
			Equal(x crypto.PrivateKey) bool
		})
		if want := !openssl.Enabled() || name != "P-256" && name != "RSA"; isGo != want {
			t.Errorf("%s: Go signs: %v", name, isGo)
		}
		client, err := Client(file, "", "")
		if err != nil {
			t.Fatal(err)
		}
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			client.ServerName, client.MaxVersion = "server.example", version
			if state, err := r.connect(t, client); err != nil || state.Version != version {
				t.Errorf("%s, %s: %v", name, tls.VersionName(version), err)
			}
		}
	}
}

// TestOpenSSLClient: OpenSSL's client verifies handshakes of every kind of signature that it may want, and
// resumes the session at another replica. Of TLS 1.2 only the same process resumes one.
func TestOpenSSLClient(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("MONEYER_REQUIRE_ALL") == "1" {
			t.Fatal("openssl is missing")
		}
		t.Skip("openssl is missing")
	}
	keys := serverKeys(t)
	for _, tc := range []struct{ key, version, algorithm, printed string }{
		{"P-256", "-tls1_3", "ECDSA+SHA256", "ECDSA"}, {"P-256", "-tls1_2", "ECDSA+SHA256", "ECDSA"}, {"P-256", "-tls1_2", "ECDSA+SHA384", "ECDSA"},
		{"RSA", "-tls1_3", "rsa_pss_rsae_sha256", "RSA-PSS"}, {"RSA", "-tls1_3", "rsa_pss_rsae_sha384", "RSA-PSS"}, {"RSA", "-tls1_3", "rsa_pss_rsae_sha512", "RSA-PSS"},
		{"RSA", "-tls1_2", "rsa_pss_rsae_sha256", "RSA-PSS"}, {"RSA", "-tls1_2", "RSA+SHA256", "RSA"}, {"RSA", "-tls1_2", "RSA+SHA512", "RSA"},
		{"P-384", "-tls1_3", "ECDSA+SHA384", "ECDSA"}, {"Ed25519", "-tls1_3", "ed25519", "ed25519"},
	} {
		t.Run(strings.Join([]string{tc.key, tc.version, tc.algorithm}, " "), func(t *testing.T) {
			now, dir := time.Now(), t.TempDir()
			file, kept := filepath.Join(dir, "server.pem"), filepath.Join(dir, "session.pem")
			writeFor(t, file, keys[tc.key])
			one, two := newReplica(t, dir, &now, nil), newReplica(t, dir, &now, nil)
			args := []string{tc.version, "-CAfile", file, "-verify_return_error", "-verify_hostname", "server.example"}
			first := one.sClient(t, append(args, "-sigalgs", tc.algorithm, "-sess_out", kept)...)
			if !strings.Contains(first, "Peer signature type: "+tc.printed) || !strings.Contains(first, "New, TLSv1.") || !strings.Contains(first, "Verification: OK") {
				t.Errorf("a full handshake:\n%s", first)
			}
			want, again := "Reused, TLSv1.3", two
			if tc.version == "-tls1_2" {
				want, again = "Reused, TLSv1.2", one
			}
			if second := again.sClient(t, append(args, "-sess_in", kept)...); !strings.Contains(second, want) {
				t.Errorf("a resumption:\n%s", second)
			}
		})
	}
}

// sClient has OpenSSL's client connect, and returns what it printed.
func (r *replica) sClient(t *testing.T, args ...string) string {
	t.Helper()
	listening, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listening.Close() }()
	failed := make(chan error, 1)
	go func() {
		conn, err := tls.NewListener(listening, r.config).Accept()
		if err == nil {
			_, err = fmt.Fprintln(conn, "hello")
			_ = conn.Close()
		}
		failed <- err
	}()
	cmd := exec.CommandContext(t.Context(), "openssl", append([]string{"s_client", "-ign_eof", "-connect", listening.Addr().String(), "-servername", "server.example"}, args...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		_ = listening.Close() // it may not have connected
		t.Errorf("openssl %v: %v\n%s", args, err, out.String())
	}
	if err := <-failed; err != nil {
		t.Errorf("the server: %v", err)
	}
	return out.String()
}
