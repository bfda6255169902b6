// Package certtest makes certificates for tests.
package certtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"
)

// A CA issues certificates.
type CA struct {
	Cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewCA makes an authority with its own root, valid a day before and ten years after now.
func NewCA(t testing.TB, now time.Time) *CA {
	t.Helper()
	key := newKey(t)
	cert := create(t, &x509.Certificate{Subject: pkix.Name{CommonName: "Test CA"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: now.Add(-24 * time.Hour), NotAfter: now.AddDate(10, 0, 0)}, nil, key, key)
	return &CA{cert, key}
}

// Sub makes an authority under this one.
func (ca *CA) Sub(t testing.TB) *CA {
	t.Helper()
	key := newKey(t)
	cert := create(t, &x509.Certificate{Subject: pkix.Name{CommonName: "Test Sub CA"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: ca.Cert.NotBefore, NotAfter: ca.Cert.NotAfter}, ca, key, nil)
	return &CA{cert, key}
}

// Roots returns the pool that holds the authority alone.
func (ca *CA) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.Cert)
	return pool
}

// PEM returns the root.
func (ca *CA) PEM() []byte { return PEM(ca.Cert) }

// Client issues a certificate for clientAuth to that common name. edit, if not nil, changes it first;
// by default it is valid a day before and ten years after now, as the CA is.
func (ca *CA) Client(t testing.TB, name string, edit func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	return leaf(t, ca, ca.Cert.NotBefore, ca.Cert.NotAfter, name, edit)
}

// SelfSigned makes a certificate under its own key, valid a day before and ten years after now.
func SelfSigned(t testing.TB, now time.Time, name string, edit func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	return leaf(t, nil, now.Add(-24*time.Hour), now.AddDate(10, 0, 0), name, edit)
}

// PEM encodes certificates.
func PEM(certs ...*x509.Certificate) (out []byte) {
	for _, cert := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
	}
	return out
}

// KeyPEM encodes the private key of a certificate that this package made.
func KeyPEM(t testing.TB, pair tls.Certificate) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func leaf(t testing.TB, ca *CA, from, to time.Time, name string, edit func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: to,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if edit != nil {
		edit(template)
	}
	cert := create(t, template, ca, key, key)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// create signs with the key of ca, or with self if ca is nil.
func create(t testing.TB, template *x509.Certificate, ca *CA, key, self *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = serial
	parent, signer := template, self
	if ca != nil {
		parent, signer = ca.Cert, ca.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
