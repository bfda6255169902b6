package registry

import "time"

// Certificate is a certificate by which a client authenticates (RFC 8705 §2): one that is
// registered itself, or any with a registered subject that a trusted authority signed.
// Revocation lists and OCSP are not asked: a certificate is revoked by disabling it.
type Certificate struct {
	// ID identifies the certificate in commands and in the ledger.
	ID string `json:"id"`
	// Match says what of a certificate is compared with Value.
	Match CertificateMatch `json:"match"`
	Value string           `json:"value"`
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
	MatchSubjectDN CertificateMatch = "subject_dn"
	// The others compare one subject alternative name (RFC 5280 §4.2.1.6).
	MatchSANDNS   CertificateMatch = "san_dns"
	MatchSANURI   CertificateMatch = "san_uri"
	MatchSANIP    CertificateMatch = "san_ip"
	MatchSANEmail CertificateMatch = "san_email"
)

// LiveAt reports whether the certificate may be used at that instant. Its own dates are
// for the caller to judge.
func (c *Certificate) LiveAt(now time.Time) bool {
	return !c.Disabled && live(now, time.Time{}, c.NotAfter)
}

// State says for the log why a certificate that is not live is not.
func (c *Certificate) State(now time.Time) string {
	return notLive("certificate", c.ID, c.Disabled, c.NotAfter, now)
}
