package tlsfiles

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBundle: a bundle of authorities is taken whole or refused with the one that cannot be read, by
// everything that reads one: a listener, the authorities of client certificates, and clients.
func TestBundle(t *testing.T) {
	dir := t.TempDir()
	cert, key := pair(t, 1)
	server := Server{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	write(t, server.Cert, cert)
	write(t, server.Key, key)
	readers := map[string]func(file string) (*x509.CertPool, error){
		"client_ca": func(file string) (*x509.CertPool, error) {
			files := server
			files.ClientCA = file
			loaded, err := files.Load()
			if err != nil {
				return nil, err
			}
			return loaded.Config.ClientCAs, nil
		},
		"tls_client_auth_ca": func(file string) (*x509.CertPool, error) {
			roots, err := LoadRoots(file)
			if err != nil {
				return nil, err
			}
			return roots.Pool(), nil
		},
		"ca of a client": func(file string) (*x509.CertPool, error) {
			config, err := Client(file, "", "")
			if err != nil {
				return nil, err
			}
			return config.RootCAs, nil
		},
	}
	made := func(name string, parts ...[]byte) string {
		path := filepath.Join(dir, name)
		write(t, path, parts...)
		return path
	}
	bundle := func(name string) string { return filepath.Join("testdata", "ca-bundle", name) }
	const negative = `is refused: subject "CN=Neg CA": its serial number is negative (RFC 5280 section 4.1.2.2)`
	half := cert[:len(cert)/2]
	rows := map[string]string{ // what is refused, and how
		bundle("bom2.pem"):                        "",
		bundle("p.crt"):                           "",
		bundle("two.pem"):                         "PEM block 2, at line 12, " + negative,
		bundle("negca.pem"):                       "PEM block 1, at line 1, " + negative,
		bundle("p.key"):                           "p.key holds no certificate in PEM: not a usable certificate: this is a private key",
		made("text.pem", []byte("ours:\n"), cert): "",
		made("crlf.pem", bytes.ReplaceAll(cert, []byte("\n"), []byte("\r\n"))):                        "",
		made("beside.pem", key, cert):                                                                 "",
		made("half.pem", cert, half, []byte("\n")):                                                    fmt.Sprintf("PEM block 2, at line %d, is damaged", 1+bytes.Count(cert, []byte("\n"))),
		made("torn.pem", half, []byte("\n"), cert):                                                    "PEM block 1, at line 1, is damaged",
		made("trusted.pem", bytes.ReplaceAll(cert, []byte(" CERT"), []byte(" TRUSTED CERT"))):         "PEM block 1, at line 1, is refused: not a usable certificate: this is a certificate with trust settings of OpenSSL: leave them out with: openssl x509",
		made("garbage.pem", []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")): "PEM block 1, at line 1, is refused: it cannot be read",
		made("empty.pem"): "empty.pem holds no certificate in PEM: not a usable certificate: the file is empty",
	}
	entries, err := os.ReadDir("testdata/ca-bundle")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if _, ok := rows[bundle(entry.Name())]; !ok {
			t.Errorf("no row for %s", entry.Name())
		}
	}
	for file, want := range rows {
		for name, read := range readers {
			pool, err := read(file)
			switch {
			case want == "" && (err != nil || pool.Equal(x509.NewCertPool())):
				t.Errorf("%s as %s: %v", file, name, err)
			case want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), filepath.Base(file))):
				t.Errorf("%s as %s: %v\nwant %s", file, name, err, want)
			}
		}
	}
}

// TestKeyPair: a certificate and its key are taken with a byte order mark, as one file, and with the
// wrong label; what a file holds instead is said.
func TestKeyPair(t *testing.T) {
	cert, key := pair(t, 1)
	bom := []byte("\xef\xbb\xbf")
	for name, parts := range map[string][2][]byte{
		"plain": {cert, key}, "BOM": {append(bom, cert...), append(bom, key...)}, "one file": {append(cert, key...), append(cert, key...)},
		"other label": {cert, bytes.ReplaceAll(key, []byte(" PRIVATE KEY"), []byte(" EC PRIVATE KEY"))},
	} {
		if _, err := keyPair(parts[0], parts[1]); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	der, err := os.ReadFile("../jose/testdata/key-files/ec.crt.der")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		cert, key []byte
		want      string
	}{
		"certificate in DER": {der, key, "the certificate: not a usable certificate: this is a certificate in DER: make PEM of it with: openssl x509"},
		"no key":             {cert, cert, "the private key: not a usable key"},
		"swapped":            {key, cert, "the certificate: not a usable certificate: this is a private key"},
	} {
		if _, err := keyPair(test.cert, test.key); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzBundle(f *testing.F) {
	for _, name := range []string{"bom2.pem", "two.pem", "p.crt", "p.key"} {
		data, err := os.ReadFile(filepath.Join("testdata", "ca-bundle", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		ours, err := pool("ca.pem", data)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("%q", err)
			}
			return
		}
		theirs := x509.NewCertPool()
		theirs.AppendCertsFromPEM(data)
		whole := x509.NewCertPool()
		certs, _ := certificates(data)
		for _, cert := range certs {
			whole.AddCert(cert)
		}
		theirCount, ourCount := len(theirs.Subjects()), len(whole.Subjects()) //nolint:staticcheck // only counted
		if theirCount > ourCount || !ours.Equal(whole) {
			t.Fatalf("crypto/x509 reads %d authorities, we read %d", theirCount, ourCount)
		}
	})
}
