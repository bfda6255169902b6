package bearer

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"

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

// The causes of a refusal of a bound token.
var (
	errNoRequest          = errors.New("bearer: the token is bound to a client certificate: use VerifyRequest or Require, which know that of the request")
	errNoCertificate      = errors.New("the request shows no client certificate")
	errAnotherCertificate = errors.New("the request shows another client certificate")
)

// checkBinding checks that a bound token comes over a connection of its client (RFC 8705
// §3): with the certificate that it names, whoever issued that (§6.2). r is nil where
// there is no request.
func (v *Verifier) checkBinding(c *Claims, r *http.Request) error {
	if c.Confirmation == nil {
		return nil
	}
	if r == nil {
		return unbound(errNoRequest)
	}
	shown, ok := v.certificateOf(r)
	switch {
	case !ok:
		return unbound(errNoCertificate)
	case shown != c.Confirmation.CertificateSHA256:
		return unbound(errAnotherCertificate)
	}
	return nil
}

func unbound(cause error) *oauth.Error {
	return oauth.Errorf(oauth.InvalidToken, "the access token is bound to a client certificate, which this request does not show").Because(cause)
}

// certificateOf returns the digest of the client certificate of a request, and reports
// whether it shows one.
func (v *Verifier) certificateOf(r *http.Request) (digest [sha256.Size]byte, ok bool) {
	switch {
	case v.ClientCertificate != nil:
		return v.ClientCertificate(r)
	case r.TLS == nil || len(r.TLS.PeerCertificates) == 0:
		return digest, false
	}
	return sha256.Sum256(r.TLS.PeerCertificates[0].Raw), true
}
