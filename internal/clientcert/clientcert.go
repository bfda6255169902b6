// Package clientcert reads the client certificates that a connection or a proxy shows, and
// compares them with what is registered. It decides nothing about clients.
//
// RFC 8705, RFC 9440, RFC 4514, RFC 5280.
package clientcert

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
)

// Shown is the certificate that a request showed.
type Shown struct {
	// Leaf is the certificate; nil if a proxy named its digest alone.
	Leaf *x509.Certificate
	// Chain is what was shown beside it, to verify it by.
	Chain []*x509.Certificate
	// Digest is the SHA-256 of Leaf in DER.
	Digest [sha256.Size]byte
}

// Thumbprint is the x5t#S256 of the certificate (RFC 8705 §3.1).
func (s *Shown) Thumbprint() string { return base64.RawURLEncoding.EncodeToString(s.Digest[:]) }

// FromTLS returns the certificate of a connection, or nil. It proves that the peer has the
// private key, and nothing else is verified.
func FromTLS(state *tls.ConnectionState) *Shown {
	if state == nil || len(state.PeerCertificates) == 0 {
		return nil
	}
	leaf := state.PeerCertificates[0]
	return &Shown{Leaf: leaf, Chain: state.PeerCertificates[1:], Digest: sha256.Sum256(leaf.Raw)}
}
