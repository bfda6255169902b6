package registry

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"moneyer/internal/clientcert"
	"moneyer/internal/jose"
	"moneyer/internal/strictjson"
	"moneyer/oauth"
)

// Certificate is a certificate by which a client authenticates (RFC 8705 §2): one that is
// registered itself, or any with a registered subject that a trusted authority signed.
// Revocation lists and OCSP are not asked: a certificate is revoked by disabling it.
type Certificate struct {
	// ID identifies the certificate in commands and in the ledger.
	ID string `json:"id"`
	// Match says what of a certificate is compared with Value.
	Match CertificateMatch `json:"match"`
	Value string           `json:"value"`
	// Key identifies its key, of MatchCertificate: the thumbprint of RFC 7638 or, where it is
	// of a kind that signs no JWTs here, the SHA-256 of its SubjectPublicKeyInfo.
	Key string `json:"key,omitempty"`
	// Environment of the issuer for which it was registered, of MatchCertificate.
	Environment string `json:"environment,omitempty"`
	// NotAfter is the first instant at which it is no longer accepted; zero means that
	// only the certificate's own dates count, which always do.
	NotAfter time.Time `json:"not_after,omitzero"`
	Disabled bool      `json:"disabled,omitempty"`
	Created  time.Time `json:"created"`
}

// CertificateMatch says what of a certificate is compared.
type CertificateMatch string

// What of a certificate can be compared. MatchCertificate is for
// self_signed_tls_client_auth, the others are for tls_client_auth.
const (
	// MatchCertificate compares the SHA-256 of the whole certificate, in base64url
	// (x5t#S256, RFC 8705 §3.1).
	MatchCertificate CertificateMatch = "certificate"
	// MatchSubjectDN compares the subject as a distinguished name (RFC 4514).
	MatchSubjectDN CertificateMatch = clientcert.SubjectDN
	// The others compare one subject alternative name (RFC 5280 §4.2.1.6).
	MatchSANDNS   CertificateMatch = clientcert.SANDNS
	MatchSANURI   CertificateMatch = clientcert.SANURI
	MatchSANIP    CertificateMatch = clientcert.SANIP
	MatchSANEmail CertificateMatch = clientcert.SANEmail
)

// CertificateMatches lists all that can be compared.
func CertificateMatches() []CertificateMatch {
	return []CertificateMatch{MatchCertificate, MatchSubjectDN, MatchSANDNS, MatchSANURI, MatchSANIP, MatchSANEmail}
}

// Method is the method of client authentication that compares it.
func (m CertificateMatch) Method() oauth.ClientAuth {
	if m == MatchCertificate {
		return oauth.AuthSelfSignedTLS
	}
	return oauth.AuthTLS
}

// LiveAt reports whether the certificate may be used at that instant. Its own dates are
// for the caller to judge.
func (c *Certificate) LiveAt(now time.Time) bool {
	return !c.Disabled && live(now, time.Time{}, c.NotAfter)
}

// State says for the log why a certificate that is not live is not.
func (c *Certificate) State(now time.Time) string {
	return notLive("certificate", c.ID, c.Disabled, c.NotAfter, now)
}

// AddCertificate registers a certificate. Value is what Match compares: a name, or of
// MatchCertificate the certificate itself, in PEM or as the x5c of a JWK (RFC 7517 §4.7). It
// refuses a method of client authentication that the issuer does not use, a certificate with
// a blocked key, one that is over, and what the client has already. A certificate ends by
// itself at the latest.
func (c *Client) AddCertificate(issuer *Issuer, blocked []string, given Certificate, now time.Time) (Certificate, error) {
	added := given
	added.ID, added.Created = newSecretID(), now
	if len(c.Certificates) >= maxCertificates {
		return Certificate{}, Invalidf("a client holds at most %d certificates: remove one that is no longer used", maxCertificates)
	}
	if err := added.checkUse(issuer); err != nil {
		return Certificate{}, err
	}
	if given.Match == MatchCertificate {
		if err := added.pin(issuer, blocked, given.Value); err != nil {
			return Certificate{}, Invalidf("%s", err)
		}
	} else if _, err := clientcert.ParseName(string(given.Match), given.Value); err != nil {
		return Certificate{}, Invalidf("%s is refused: %s", given.Match, err)
	}
	if !added.NotAfter.IsZero() && !added.NotAfter.After(now) {
		return Certificate{}, Invalidf("it is over since %s: not-after, and the end of a certificate, must be in the future", added.NotAfter.Format(time.RFC3339))
	}
	for i := range c.Certificates {
		if c.Certificates[i].sameAs(&added) {
			return Certificate{}, Invalidf("the client has this very certificate or name already, as %s", c.Certificates[i].ID)
		}
	}
	c.Certificates = append(slices.Clone(c.Certificates), added)
	return added, nil
}

// checkUse refuses what would have no effect. A certificate that is registered disabled has
// one where its client is registered by a name: it is revoked.
func (c *Certificate) checkUse(issuer *Issuer) error {
	policy := &issuer.Profile.Policy
	switch {
	case !slices.Contains(CertificateMatches(), c.Match):
		return Invalidf("a certificate is registered itself or by one of its names, not by %q", Excerpt(string(c.Match)))
	case policy.Uses(c.Match.Method()), c.Match == MatchCertificate && c.Disabled && policy.Uses(oauth.AuthTLS):
		return nil
	}
	return Invalidf("issuer %s does not use %s, so this would have no effect: neither its profile %s nor its client_certificate lists it, or the server asks for no certificate that it could verify",
		issuer.Name, c.Match.Method(), issuer.Profile.Name)
}

// pin makes c stand for one certificate.
func (c *Certificate) pin(issuer *Issuer, blocked []string, text string) error {
	leaf, err := ReadCertificate(text)
	if err == nil {
		err = CheckCertificateKey(leaf, blocked)
	}
	if err != nil {
		return err
	}
	c.Value, c.Key, c.Environment = thumbprint(leaf), keyThumbprint(leaf), issuer.Environment
	if end := leaf.NotAfter.UTC(); c.NotAfter.IsZero() || end.Before(c.NotAfter) {
		c.NotAfter = end
	}
	return nil
}

// thumbprint is the x5t#S256 of a certificate.
func thumbprint(cert *x509.Certificate) string {
	digest := sha256.Sum256(cert.Raw)
	return base64.RawURLEncoding.EncodeToString(digest[:])
}

// keyThumbprint identifies the key of a certificate.
func keyThumbprint(cert *x509.Certificate) string {
	if alg, err := jose.KeyAlg(cert.PublicKey); err == nil {
		if key, err := jose.NewPublicKey(cert.PublicKey, alg); err == nil {
			return key.Thumbprint()
		}
	}
	digest := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return base64.RawURLEncoding.EncodeToString(digest[:])
}

// sameAs reports whether both stand for the same certificates.
func (c *Certificate) sameAs(other *Certificate) bool {
	if c.Match == MatchCertificate || c.Match != other.Match {
		return c.Match == other.Match && c.Value == other.Value
	}
	mine, mineErr := clientcert.ParseName(string(c.Match), c.Value)
	others, othersErr := clientcert.ParseName(string(other.Match), other.Value)
	return mineErr == nil && othersErr == nil && mine.Overlaps(others)
}

// ReadCertificate reads one certificate as it is registered: PEM, or a JWK with x5c.
func ReadCertificate(text string) (*x509.Certificate, error) {
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		return ParseX5C([]byte(text))
	}
	if strings.Contains(text, "PRIVATE KEY-----") { // before any decoding, so that a damaged one is called so, too
		return nil, errors.New("this is a private key: register the certificate alone, taken out of a file with both by: openssl x509 -in both.pem -out certificate.pem")
	}
	lines := jose.PEMText([]byte(text))
	at := bytes.Index(lines, []byte("-----BEGIN CERTIFICATE-----"))
	if at < 0 {
		return nil, fmt.Errorf("there is no certificate in PEM: %w", jose.NearMiss([]byte(text), jose.WantCertificate))
	}
	if block, _ := pem.Decode(lines[at:]); block != nil {
		if _, err := jose.ParseCertificate(block.Bytes); err != nil {
			return nil, err
		}
	}
	shown, err := clientcert.ParsePEM(lines)
	if err != nil {
		return nil, err
	}
	if len(shown.Chain) > 0 {
		return nil, errors.New("there are several certificates: register the client's alone, without those of its authorities")
	}
	return shown.Leaf, nil
}

// ParseX5C reads the first certificate of a JWK's x5c, which must be of the JWK's key (RFC
// 7517 §4.7) and of its x5t#S256, if there is one (§4.9).
func ParseX5C(data []byte) (*x509.Certificate, error) {
	public, _, err := jose.ParseJWK(data, "")
	if err != nil {
		return nil, err
	}
	var chain []string
	var digest string
	err = strictjson.Object(data, strictjson.Limits{}, func(name string, v strictjson.Value) (err error) {
		switch name {
		case "x5c":
			chain, err = v.Texts()
		case "x5t#S256":
			digest, err = v.Text()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(chain) == 0 {
		return nil, errors.New("the JWK has no x5c: it is the certificate that is registered, not the key")
	}
	der, err := base64.StdEncoding.Strict().DecodeString(chain[0])
	if err != nil {
		return nil, errors.New("x5c is not base64 (RFC 7517 section 4.7: not base64url)")
	}
	leaf, err := clientcert.ParseDER(der)
	if err != nil {
		return nil, err
	}
	key, err := jose.NewPublicKey(leaf.PublicKey, public.Alg())
	switch {
	case err != nil || key.Thumbprint() != public.Thumbprint():
		return nil, errors.New("the key of the JWK is not that of the first certificate in x5c (RFC 7517 section 4.7)")
	case digest != "" && digest != thumbprint(leaf):
		return nil, errors.New("x5t#S256 of the JWK is not the digest of the first certificate in x5c (RFC 7517 section 4.9)")
	}
	return leaf, nil
}

// CheckCertificateKey refuses a certificate with a weak key or a blocked one. Keys of kinds
// that sign no JWTs here, such as P-384, are on no list.
func CheckCertificateKey(leaf *x509.Certificate, blocked []string) error {
	alg, err := jose.KeyAlg(leaf.PublicKey)
	if err != nil {
		return nil
	}
	key, err := jose.NewPublicKey(leaf.PublicKey, alg)
	if err != nil {
		return err
	}
	return Blocked(key, blocked)
}
