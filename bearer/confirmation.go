package bearer

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/netip"
	"slices"

	"moneyer/internal/clientcert"
	"moneyer/oauth"
)

// Confirmation says to what an access token is bound (RFC 7800 §3.1). It is a client
// certificate: a token with any other cnf is refused, for its binding cannot be checked.
type Confirmation struct {
	// CertificateSHA256 is the SHA-256 digest of the certificate in DER, the x5t#S256 of
	// RFC 8705 §3.1.
	CertificateSHA256 [sha256.Size]byte
}

// Thumbprint returns x5t#S256 as the token has it.
func (c *Confirmation) Thumbprint() string {
	return base64.RawURLEncoding.EncodeToString(c.CertificateSHA256[:])
}

// checkBinding checks that a bound token comes over a connection of its client (RFC 8705
// §3): with the certificate that it names, whoever issued that (§6.2). r is nil where
// there is no request.
func (v *Verifier) checkBinding(c *Claims, r *http.Request) error {
	if c.Confirmation == nil {
		return nil
	}
	if r == nil {
		return unbound("bearer: the token is bound to a client certificate: use VerifyRequest or Require, which know that of the request")
	}
	certificateOf := v.ClientCertificate
	if certificateOf == nil {
		certificateOf = ownCertificate
	}
	switch shown, ok := certificateOf(r); {
	case !ok:
		return unbound("the request shows no client certificate")
	case shown != c.Confirmation.CertificateSHA256:
		return unbound("the request shows another client certificate")
	}
	return nil
}

func unbound(cause string) *oauth.Error {
	return oauth.Errorf(oauth.InvalidToken, "the access token is bound to a client certificate, which this request does not show").Because(errors.New(cause))
}

// ownCertificate is that of the request's connection.
func ownCertificate(r *http.Request) (digest [sha256.Size]byte, ok bool) {
	if shown := clientcert.FromTLS(r.TLS); shown != nil {
		return shown.Digest, true
	}
	return digest, false
}

// ForwardedCertificate returns a function for Verifier.ClientCertificate, for an API
// behind a proxy of its own that ends TLS and passes the client certificate on in a header:
// as RFC 9440 has it, as escaped PEM (nginx, AWS ALB), or in Envoy's
// X-Forwarded-Client-Cert with Cert or Hash. The proxy must remove the header that a
// caller sent.
//
// The header counts in requests from proxies: from an address in one of these networks
// that is on loopback, or that shows a certificate which the API's tls.Config has
// verified against its ClientCAs. In any other request the header is ignored, and the
// certificate is that of the connection. A header that cannot be read, or occurs twice,
// is no certificate.
func ForwardedCertificate(header string, proxies ...netip.Prefix) func(*http.Request) ([sha256.Size]byte, bool) {
	return func(r *http.Request) (digest [sha256.Size]byte, ok bool) {
		if !isProxy(r, proxies) {
			return ownCertificate(r)
		}
		shown, err := clientcert.ReadHeader(r.Header.Values(header), nil)
		if err != nil || shown == nil {
			return digest, false
		}
		return shown.Digest, true
	}
}

// isProxy reports whether what a request's peer says of its client counts.
func isProxy(r *http.Request, proxies []netip.Prefix) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	addr := peer.Addr().Unmap()
	if err != nil || !slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(addr) }) {
		return false
	}
	return addr.IsLoopback() || r.TLS != nil && len(r.TLS.VerifiedChains) > 0
}
