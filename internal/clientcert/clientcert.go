// Package clientcert reads the certificate that a request showed, from the TLS connection or from
// the header of a proxy, and compares it with what is registered (RFC 8705 §2, RFC 9440).
//
// It decides nothing about clients: which client a certificate is registered for, whether a peer may
// send such a header and whether a request needs a certificate at all are the caller's part. There
// are no CRLs and no OCSP.
//
// Every reader is bounded and strict: a text has one meaning or is refused. Names are compared by
// the type of the name, never as text: see Name and DN.
package clientcert

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	maxBytes  = 16 << 10 // of a header value, of the PEM of a leaf with its chain, and of those of a connection
	maxChain  = 4        // certificates above the leaf
	maxRSABit = 8192     // as crypto/tls: a longer key makes its verification expensive
)

// A Shown is the certificate that a request showed. It says nothing about trust: its sender holds
// the private key if the certificate comes from the connection, or if the proxy is to be believed.
type Shown struct {
	// Leaf is the certificate. It is nil where a proxy forwarded only its digest (XFCC Hash=), or the
	// certificate is longer than maxBytes: that is enough for bound tokens, and not for client
	// authentication.
	Leaf *x509.Certificate
	// Chain has what came with it, without the leaf and in no certain order.
	Chain []*x509.Certificate
	// Digest is the SHA-256 of the leaf's DER.
	Digest [sha256.Size]byte
}

// Thumbprint returns the digest as it stands in the confirmation x5t#S256 (RFC 8705 §3.1):
// base64url without padding.
func (s *Shown) Thumbprint() string { return base64.RawURLEncoding.EncodeToString(s.Digest[:]) }

// FromTLS returns the certificate of a connection, nil if it showed none or is not TLS. Nothing of it
// was verified but that the peer holds its key. A handshake takes far more than a proxy can forward:
// of certificates that are longer together than maxBytes the first ones are taken.
func FromTLS(state *tls.ConnectionState) *Shown {
	if state == nil || len(state.PeerCertificates) == 0 {
		return nil
	}
	certs := state.PeerCertificates
	fit, size := 0, 0
	for fit < min(len(certs), maxChain+1) && size+len(certs[fit].Raw) <= maxBytes {
		size += len(certs[fit].Raw)
		fit++
	}
	if fit == 0 {
		return &Shown{Digest: sha256.Sum256(certs[0].Raw)}
	}
	return shown(certs[0], certs[1:fit])
}

func shown(leaf *x509.Certificate, chain []*x509.Certificate) *Shown {
	return &Shown{Leaf: leaf, Chain: chain, Digest: sha256.Sum256(leaf.Raw)}
}

// Verify checks the certificate against the roots at that time: a chain to one of them, valid at
// now, and the extended key usage clientAuth, which the leaf must name. It is made for each request:
// a connection outlives the moment of its handshake.
func (s *Shown) Verify(roots *x509.CertPool, now time.Time) error {
	if s.Leaf == nil {
		return errors.New("the certificate itself was not forwarded, only its digest")
	}
	if roots == nil {
		return errors.New("no authorities are configured") // x509 would take the system's
	}
	if !s.ForClients() {
		return errors.New("the extended key usage of the certificate does not name clientAuth")
	}
	above, subjects := x509.NewCertPool(), map[string]bool{}
	for _, cert := range s.Chain {
		// One of each name leaves one path, so that nobody can have signatures checked by the hundred.
		if name := string(cert.RawSubject); !subjects[name] {
			subjects[name] = true
			above.AddCert(cert)
		}
	}
	_, err := s.Leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: above, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return err
}

// ForClients reports whether the extended key usage of the leaf names clientAuth (RFC 5280 §4.2.1.12).
// A certificate without that extension is refused: what it was issued for is not known.
func (s *Shown) ForClients() bool {
	return s.Leaf != nil && slices.Contains(s.Leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
}

// ParsePEM reads a certificate, and the chain that may follow it, for registration. Text around the
// blocks is skipped, as `openssl x509 -text` writes it. A private key is refused.
func ParsePEM(data []byte) (*Shown, error) { return parsePEM(data, false) }

// ParseDER reads one certificate, as it stands in the x5c member of a JWK after its base64.
func ParseDER(der []byte) (*x509.Certificate, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil { // it may quote a name of the certificate, which its sender made
		return nil, fmt.Errorf("the certificate cannot be read: %.200s", err)
	}
	if key, ok := cert.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > maxRSABit {
		return nil, fmt.Errorf("the certificate has an RSA key of %d bits; %d are the most", key.N.BitLen(), maxRSABit)
	}
	return cert, nil
}

// parsePEM reads a leaf and its chain. If strict, nothing but line ends stands around the blocks.
func parsePEM(data []byte, strict bool) (*Shown, error) {
	if len(data) > maxBytes {
		return nil, fmt.Errorf("the PEM is longer than %d bytes", maxBytes)
	}
	var certs []*x509.Certificate
	for len(data) > 0 {
		if strict && !bytes.HasPrefix(data, []byte(pemBegin+" CERTIFICATE-----")) {
			return nil, errors.New("the PEM holds something other than certificates")
		}
		block, rest := pem.Decode(data)
		if block == nil {
			if strict {
				return nil, errors.New("the PEM is broken")
			}
			break
		}
		cert, err := parseBlock(block)
		if err != nil {
			return nil, err
		}
		if data = bytes.TrimLeft(rest, "\r\n"); cert != nil {
			certs = append(certs, cert)
		}
	}
	return ofChain(certs)
}

// parseBlock reads a certificate, and returns nil for a block that is neither one nor a private key.
func parseBlock(block *pem.Block) (*x509.Certificate, error) {
	if strings.HasSuffix(block.Type, "PRIVATE KEY") {
		return nil, errors.New("the PEM holds a private key: give the certificate alone")
	}
	if block.Type != "CERTIFICATE" {
		return nil, nil
	}
	return ParseDER(block.Bytes)
}

func ofChain(certs []*x509.Certificate) (*Shown, error) {
	if len(certs) == 0 {
		return nil, errors.New("there is no certificate in PEM")
	}
	if len(certs) > maxChain+1 {
		return nil, fmt.Errorf("more than %d certificates stand above the first one", maxChain)
	}
	return shown(certs[0], certs[1:]), nil
}
