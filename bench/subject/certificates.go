package subject

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Certificates are P-256 certificates of one authority: a server's, in files, and its client's.
type Certificates struct {
	// Cert and Key are the names of PEM files: the server's certificate and key.
	Cert, Key string
	// CA is the name of the PEM file of the authority that signed the client's certificate, for which
	// the server asks; empty if it must not ask.
	CA string

	server *x509.Certificate
	client *tls.Certificate // nil without CA
}

// ClientName is the common name of the client's certificate, which has no other name.
const ClientName = "bench"

// NewCertificates makes new certificates for a day, and writes the files into a folder. mutual: with
// one for the client.
func NewCertificates(folder string, mutual bool) (*Certificates, error) {
	c := &Certificates{Cert: filepath.Join(folder, "tls.crt"), Key: filepath.Join(folder, "tls.key")}
	authority, err := newPair(&x509.Certificate{Subject: pkix.Name{CommonName: "bench authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign}, nil)
	if err != nil {
		return nil, err
	}
	server, err := newPair(&x509.Certificate{Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, authority)
	if err != nil {
		return nil, err
	}
	c.server = server.Leaf
	key, err := x509.MarshalPKCS8PrivateKey(server.PrivateKey)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(writePEM(c.Cert, "CERTIFICATE", server.Leaf.Raw), writePEM(c.Key, "PRIVATE KEY", key)); err != nil || !mutual {
		return c, err
	}
	if c.client, err = newPair(&x509.Certificate{Subject: pkix.Name{CommonName: ClientName}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, authority); err != nil {
		return nil, err
	}
	c.CA = filepath.Join(folder, "tls-ca.crt")
	return c, writePEM(c.CA, "CERTIFICATE", authority.Leaf.Raw)
}

func writePEM(name, kind string, content []byte) error {
	return os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600)
}

// newPair returns a certificate of an authority, or if that is nil its own.
func newPair(template *x509.Certificate, authority *tls.Certificate) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	var signer crypto.PrivateKey = key
	parent := template
	if authority != nil {
		signer, parent = authority.PrivateKey, authority.Leaf
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return nil, err
	}
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = template.NotBefore.Add(25 * time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}
