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
		return adminapi.Certificate{ID: c.ID, Match: c.Match, Value: c.Value, Environment: c.Environment, NotAfter: c.NotAfter,
			Disabled: c.Disabled, Created: c.Created, LastUsed: lastUsed}
	},
	disabled: func(c *registry.Certificate) *bool { return &c.Disabled },
	members:  func(c *registry.Certificate) members { return members{"not_after": moment(&c.NotAfter)} },
}

func (a *API) addCertificate(c *call) error {
	match, what, notAfter, err := decodeCertificate(c)
	if err != nil {
		return err
	}
	var added registry.Certificate
	_, err = a.editClient(c, func(client *registry.Client) (done change, err error) {
		added, err = client.AddCertificate(c.issuer, a.BlockedKeys, match, what, notAfter, a.Now().UTC())
		return certificates.change("add", client, &added), err
	})
	if err != nil {
		return err
	}
	return c.created(added.ID, certificates.view(a, c, &added, time.Time{}))
}

// decodeCertificate reads what of a certificate is registered: exactly one thing (RFC 8705
// §2.1.2).
func decodeCertificate(c *call) (match registry.CertificateMatch, what string, notAfter time.Time, err error) {
	given := map[registry.CertificateMatch]*string{}
	m := members{"not_after": moment(&notAfter)}
	for _, match := range registry.CertificateMatches() {
		given[match] = new(string)
		m[string(match)] = text(given[match])
	}
	m[string(registry.MatchCertificate)] = textOrObject(given[registry.MatchCertificate])
	if err = c.decode(m); err != nil {
		return match, what, notAfter, err
	}
	count := 0
	for m, value := range given {
		if *value != "" {
			match, what, count = m, *value, count+1
		}
	}
	if count != 1 {
		err = invalid("give one of certificate, subject_dn, san_dns, san_uri, san_ip and san_email; here are %d", count)
	}
	return match, what, notAfter, err
}
