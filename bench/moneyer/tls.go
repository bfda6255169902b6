package moneyer

import (
	"fmt"

	"moneyer/bench/subject"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

// listenTLS returns the settings of a listener with certificates. One with an authority asks for the
// client's.
func listenTLS(c *subject.Certificates) string {
	switch {
	case c == nil:
		return ""
	case c.CA == "":
		return fmt.Sprintf("tls_cert = %q\ntls_key = %q\n", c.Cert, c.Key)
	}
	return fmt.Sprintf("tls_cert = %q\ntls_key = %q\nclient_cert = \"ask\"\n", c.Cert, c.Key)
}

// issuerTLS returns the settings of the issuer for plain OAuth 2.0: every client needs a certificate
// of the authority, beside an assertion or alone.
func issuerTLS(c *subject.Certificates) string {
	if c == nil || c.CA == "" {
		return ""
	}
	return fmt.Sprintf("client_certificate = [\"tls_client_auth\"]\ntls_client_auth_ca = %q\n", c.CA)
}

// tlsExchanges returns the exchanges that are measured over TLS: those of plain OAuth 2.0.
func (o *Options) tlsExchanges(base string, c *subject.Certificates) []subject.Exchange {
	byGrant, byCredentials := plainExchanges(base, NewPartners(o.Clients))
	if c.CA != "" {
		byCredentials.Body = func(int) ([]byte, error) { return []byte("grant_type=client_credentials&client_id=" + id(0)), nil }
		byCredentials.Note = "tls_client_auth"
		byGrant.Note = "tls_client_auth beside the assertion"
	}
	return []subject.Exchange{byGrant, byCredentials}
}

// addCertificate registers the name of the client's certificate, if the issuer takes certificates.
func (f *filling) addCertificate(c *registry.Client, of *registry.Issuer) error {
	if !of.Profile.Policy.Uses(oauth.AuthTLS) {
		return nil
	}
	_, err := c.AddCertificate(of, nil, registry.Certificate{Match: registry.MatchSubjectDN, Value: "CN=" + subject.ClientName}, f.now)
	return err
}
