package admin

import (
	"time"

	"moneyer/internal/adminapi"
	"moneyer/internal/registry"
)

var certificates = credential[registry.Certificate, adminapi.Certificate]{
	noun: "certificate", path: "certificates", action: itself[registry.Certificate]("certificate"),
	all: func(c *registry.Client) *[]registry.Certificate { return &c.Certificates },
	id:  func(c *registry.Certificate) string { return c.ID },
	view: func(_ *API, _ *call, c *registry.Certificate, lastUsed time.Time) adminapi.Certificate {
		return adminapi.Certificate{ID: c.ID, Match: c.Match, Value: c.Value, Environment: c.Environment, CredentialState: state(c.NotAfter, c.Disabled, c.Created, lastUsed)}
	},
	disabled: func(c *registry.Certificate) *bool { return &c.Disabled },
	members:  func(c *registry.Certificate) members { return members{"not_after": moment(&c.NotAfter)} },
}

func (a *API) addCertificate(c *call) error {
	given, err := decodeCertificate(c)
	if err != nil {
		return err
	}
	return certificates.add(a, c, func(client *registry.Client) (registry.Certificate, error) {
		return client.AddCertificate(c.issuer, a.BlockedKeys, given, a.Now().UTC())
	}, nil)
}

// decodeCertificate reads what of a certificate is registered: exactly one thing (RFC 8705
// §2.1.2).
func decodeCertificate(c *call) (registry.Certificate, error) {
	var given registry.Certificate
	values := map[registry.CertificateMatch]*string{}
	m := members{"not_after": moment(&given.NotAfter), "disabled": flag(&given.Disabled)}
	for _, match := range registry.CertificateMatches() {
		values[match] = new(string)
		m[string(match)] = text(values[match])
	}
	m[string(registry.MatchCertificate)] = textOrObject(values[registry.MatchCertificate])
	if err := c.decode(m); err != nil {
		return given, err
	}
	count := 0
	for match, value := range values {
		if *value != "" {
			given.Match, given.Value, count = match, *value, count+1
		}
	}
	if count != 1 {
		return given, invalid("give one of certificate, subject_dn, san_dns, san_uri, san_ip and san_email; here are %d", count)
	}
	return given, nil
}
