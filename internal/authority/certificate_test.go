package authority_test

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"moneyer/internal/authority"
	"moneyer/internal/clientcert"
	"moneyer/internal/clientcert/certtest"
	"moneyer/internal/evidence"
	"moneyer/internal/jose"
	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

// certificateFixture is an issuer with an authority for tls_client_auth.
type certificateFixture struct {
	*fixture
	ca *certtest.CA
}

func newCertificateFixture(t *testing.T) *certificateFixture {
	t.Helper()
	h := &certificateFixture{newFixture(t, "oauth2"), certtest.NewCA(t, noon)}
	h.issuer.CertificateRoots = h.ca.Roots
	return h
}

// has registers a name, or the digest, of certificates for the client.
func (h *certificateFixture) has(id string, match registry.CertificateMatch, value string) *registry.Certificate {
	c := h.client()
	c.Certificates = append(c.Certificates, registry.Certificate{ID: id, Match: match, Value: value})
	return &c.Certificates[len(c.Certificates)-1]
}

func certificateRequest(shown *clientcert.Shown) *authority.Request {
	return &authority.Request{GrantType: oauth.ClientCredentials, ClientID: clientID, Certificate: shown, Correlation: "corr-1"}
}

// refusedBy fails unless the request is refused with the one answer to every failed client
// authentication, by that rule.
func (h *certificateFixture) refusedBy(t *testing.T, name string, req *authority.Request, rule string) {
	t.Helper()
	token, err := h.exchange(req)
	if e, refusal := refusalOf(t, token, err); e.Code != oauth.InvalidClient || e.Description != "client authentication failed" || refusal.Rule != rule {
		t.Errorf("%s: %s %q by %q, want invalid_client by %q", name, e.Code, e.Description, refusal.Rule, rule)
	}
}

// TestClientIDWithCertificate: every request that authenticates by a certificate names the client (RFC
// 8705 §2), and without a certificate there is none.
func TestClientIDWithCertificate(t *testing.T) {
	h := newCertificateFixture(t)
	h.has("c1", registry.MatchSubjectDN, "CN=pay-1")
	mine := shownOf(h.ca.Client(t, "pay-1", nil))
	h.gets(t, certificateRequest(mine))
	for name, test := range map[string]struct {
		edit func(*authority.Request)
		rule string
	}{
		"no client_id":      {func(r *authority.Request) { r.ClientID = "" }, "client_id"},
		"an unknown client": {func(r *authority.Request) { r.ClientID = "nobody" }, "client"},
		"another client":    {func(r *authority.Request) { r.ClientID = otherID }, "client certificate"},
		"no certificate":    {func(r *authority.Request) { r.Certificate = nil }, "client authentication"},
	} {
		req := certificateRequest(mine)
		test.edit(req)
		h.refusedBy(t, name, req, test.rule)
	}
	entries := h.ledger.of(ledger.KindToken)
	if len(entries) != 1 || entries[0].Credential != "c1" || !slices.Contains(h.registry.touched, "d1 "+clientID+" c1") {
		t.Errorf("recorded %+v, touched %v", entries, h.registry.touched)
	}
}

// TestTLSClientAuth: a chain to a configured authority, clientAuth, valid at the request, and exactly one
// registered name (RFC 8705 §2.1).
func TestTLSClientAuth(t *testing.T) {
	spiffe := &url.URL{Scheme: "spiffe", Host: "bank.example", Path: "/pay"}
	names := func(c *x509.Certificate) {
		c.DNSNames, c.URIs, c.IPAddresses, c.EmailAddresses = []string{"pay.example"}, []*url.URL{spiffe}, []net.IP{net.ParseIP("192.0.2.7")}, []string{"pay@example.com"}
	}
	until := func(end time.Time) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.NotAfter = end }
	}
	for name, test := range map[string]struct {
		match registry.CertificateMatch
		value string
		shown func(*certificateFixture) *clientcert.Shown
		edit  func(*certificateFixture)
		rule  string
	}{
		"subject":             {match: registry.MatchSubjectDN, value: "cn=PAY-1"},
		"another subject":     {match: registry.MatchSubjectDN, value: "CN=pay-2", rule: "client certificate"},
		"DNS name":            {match: registry.MatchSANDNS, value: "pay.example"},
		"URI":                 {match: registry.MatchSANURI, value: "spiffe://bank.example/pay"},
		"IP address":          {match: registry.MatchSANIP, value: "::ffff:192.0.2.7"},
		"e-mail":              {match: registry.MatchSANEmail, value: "pay@EXAMPLE.com"},
		"a name of its kind":  {match: registry.MatchSANDNS, value: "pay@example.com", rule: "client certificate"},
		"a broken one":        {match: registry.MatchSANIP, value: "x", rule: "client certificate"},
		"registered, over":    {edit: func(h *certificateFixture) { h.client().Certificates[0].NotAfter = noon }, rule: "certificate active"},
		"registered, for now": {edit: func(h *certificateFixture) { h.client().Certificates[0].NotAfter = noon.Add(time.Second) }},
		"disabled":            {edit: func(h *certificateFixture) { h.client().Certificates[0].Disabled = true }, rule: "certificate active"},
		"client disabled":     {edit: func(h *certificateFixture) { h.client().Disabled = true }, rule: "client enabled"},
		"two names match":     {edit: func(h *certificateFixture) { h.has("c2", registry.MatchSANDNS, "pay.example") }, rule: "client certificate"},
		"two, one disabled":   {edit: func(h *certificateFixture) { h.has("c2", registry.MatchSANDNS, "pay.example").Disabled = true }},
		"of another authority": {shown: func(*certificateFixture) *clientcert.Shown {
			return shownOf(certtest.NewCA(t, noon).Client(t, "pay-1", nil))
		},
			rule: "certificate authority"},
		"self-signed": {shown: func(*certificateFixture) *clientcert.Shown { return shownCertificate(t, "pay-1") }, rule: "certificate authority"},
		"below another": {shown: func(h *certificateFixture) *clientcert.Shown {
			sub := h.ca.Sub(t)
			return shownOf(sub.Client(t, "pay-1", nil), sub.Cert)
		}},
		"below another, without it": {shown: func(h *certificateFixture) *clientcert.Shown { return shownOf(h.ca.Sub(t).Client(t, "pay-1", nil)) }, rule: "certificate authority"},
		"for servers": {shown: func(h *certificateFixture) *clientcert.Shown {
			return shownOf(h.ca.Client(t, "pay-1", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }))
		}, rule: "certificate usage"},
		"at its end": {shown: func(h *certificateFixture) *clientcert.Shown { return shownOf(h.ca.Client(t, "pay-1", until(noon))) }},
		"over": {shown: func(h *certificateFixture) *clientcert.Shown {
			return shownOf(h.ca.Client(t, "pay-1", until(noon.Add(-time.Second))))
		}, rule: "certificate dates"},
		"not yet": {shown: func(h *certificateFixture) *clientcert.Shown {
			return shownOf(h.ca.Client(t, "pay-1", func(c *x509.Certificate) { c.NotBefore = noon.Add(time.Second) }))
		}, rule: "certificate dates"},
		"its digest alone": {shown: func(h *certificateFixture) *clientcert.Shown {
			return &clientcert.Shown{Digest: shownOf(h.ca.Client(t, "pay-1", nil)).Digest}
		}, rule: "whole certificate"},
		"no authorities": {edit: func(h *certificateFixture) { h.issuer.CertificateRoots = nil }, rule: "certificate authority"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newCertificateFixture(t)
			if test.match == "" {
				test.match, test.value = registry.MatchSubjectDN, "CN=pay-1"
			}
			h.has("c1", test.match, test.value)
			mine := shownOf(h.ca.Client(t, "pay-1", names))
			if test.shown != nil {
				mine = test.shown(h)
			}
			if test.edit != nil {
				test.edit(h)
			}
			if test.rule == "" {
				h.gets(t, certificateRequest(mine))
			} else {
				h.refusedBy(t, name, certificateRequest(mine), test.rule)
			}
		})
	}
}

// TestSelfSignedTLSClientAuth: no chain; the certificate is one of the client's, in its own dates (RFC 8705
// §2.2).
func TestSelfSignedTLSClientAuth(t *testing.T) {
	h := newCertificateFixture(t)
	mine, other := shownCertificate(t, "pay-1"), shownCertificate(t, "pay-1")
	h.has("c1", registry.MatchCertificate, mine.Thumbprint())
	h.gets(t, certificateRequest(mine))
	h.refusedBy(t, "another of the same name", certificateRequest(other), "client certificate")
	h.refusedBy(t, "its digest alone", certificateRequest(&clientcert.Shown{Digest: mine.Digest}), "whole certificate")

	h.BlockedKeys = []string{must(registryKey(mine.Leaf)).Thumbprint()}
	h.refusedBy(t, "a published key", certificateRequest(mine), "certificate key")
	h.BlockedKeys = nil

	short := shownOf(certtest.SelfSigned(t, noon, "pay-1", func(c *x509.Certificate) { c.NotAfter = noon.Add(time.Hour) }))
	h.has("c2", registry.MatchCertificate, short.Thumbprint())
	h.gets(t, certificateRequest(short))
	h.now = noon.Add(time.Hour + time.Second)
	h.refusedBy(t, "over since its connection was made", certificateRequest(short), "certificate dates")
}

// TestDisabledCertificate: a certificate that is registered itself and disabled is revoked, also where its
// name would do.
func TestDisabledCertificate(t *testing.T) {
	h := newCertificateFixture(t)
	lost, next := shownOf(h.ca.Client(t, "pay-1", nil)), shownOf(h.ca.Client(t, "pay-1", nil))
	h.has("c1", registry.MatchSubjectDN, "CN=pay-1")
	h.has("c2", registry.MatchCertificate, lost.Thumbprint()).Disabled = true
	h.refusedBy(t, "the lost one", certificateRequest(lost), "certificate active")
	h.gets(t, certificateRequest(next))
}

// TestMethodsOfCertificates: a registration does for its own method alone.
func TestMethodsOfCertificates(t *testing.T) {
	for method, rule := range map[oauth.ClientAuth]string{oauth.AuthTLS: "client certificate", oauth.AuthSelfSignedTLS: ""} {
		h := newCertificateFixture(t)
		p := *h.issuer.Profile
		without := oauth.AuthTLS
		if method == oauth.AuthTLS {
			without = oauth.AuthSelfSignedTLS
		}
		p.Policy = p.Policy.Without(without)
		h.issuer.Profile = &p
		self := shownCertificate(t, "pay-1")
		h.has("c1", registry.MatchCertificate, self.Thumbprint())
		if rule == "" {
			h.gets(t, certificateRequest(self))
			byName := shownOf(h.ca.Client(t, "pay-1", nil))
			h.has("c2", registry.MatchSubjectDN, "CN=pay-1")
			h.refusedBy(t, "a name", certificateRequest(byName), "client certificate")
		} else {
			h.refusedBy(t, "a digest", certificateRequest(self), rule)
		}
	}
}

// TestPublishedCertificate: a certificate in an x5c at the client's jwks_uri is one of its own.
func TestPublishedCertificate(t *testing.T) {
	h, source, _ := remoteFixture(t, "oauth2")
	c := &certificateFixture{h, certtest.NewCA(t, noon)}
	mine := shownCertificate(t, "pay-1")
	source.certificates = map[[32]byte]string{mine.Digest: "remote"}
	c.gets(t, certificateRequest(mine))
	if entries := h.ledger.of(ledger.KindToken); entries[0].Credential != "remote" {
		t.Errorf("recorded %q", entries[0].Credential)
	}
	c.refusedBy(t, "another", certificateRequest(shownCertificate(t, "pay-1")), "client certificate")
	source.environment = "prd"
	c.refusedBy(t, "a key of another environment", certificateRequest(mine), "key environment")
	source.environment, source.err = "", errors.New("timeout")
	if _, err := c.exchange(certificateRequest(mine)); oauth.AsError(err).Code != oauth.TemporarilyUnavailable {
		t.Errorf("while it does not answer: %v", err)
	}
	source.err = nil
	h.client().Disabled = true
	asked := len(source.asked)
	c.refusedBy(t, "a disabled client", certificateRequest(mine), "client enabled")
	if len(source.asked) != asked {
		t.Error("the keys of a disabled client were asked for")
	}
}

// TestCertificateBesideASecret: a certificate is no second way where something else is shown that does
// (RFC 6749 §2.3), and nobody looks at it.
func TestCertificateBesideASecret(t *testing.T) {
	h := newCertificateFixture(t)
	req := secretRequest(h.newSecret(t, registry.ClientSecret))
	req.Certificate = shownCertificate(t, "another's")
	h.gets(t, req)
}

// TestExplainCertificate: every rule that can be tested, with its hint where the refusal has one.
func TestExplainCertificate(t *testing.T) {
	h := newCertificateFixture(t)
	h.has("c1", registry.MatchSubjectDN, "O=Bank,CN=pay-1")
	server := shownOf(certtest.NewCA(t, noon).Client(t, "pay-1", func(c *x509.Certificate) {
		c.Subject.Organization, c.ExtKeyUsage, c.NotAfter = []string{"Bank"}, nil, noon.Add(-time.Hour)
	}))
	explained := func(shown *clientcert.Shown) map[string]evidence.Finding {
		t.Helper()
		findings, err := h.ExplainCertificate(context.Background(), h.issuer, clientID, shown, noon)
		if err != nil {
			t.Fatal(err)
		}
		byRule := map[string]evidence.Finding{}
		for _, f := range findings {
			byRule[f.Rule] = f
		}
		return byRule
	}
	found := explained(server)
	if f := found["client certificate"]; f.Holds || !strings.Contains(f.Hint, "reverse order") || !strings.Contains(f.Expected, "O=Bank,CN=pay-1") {
		t.Errorf("%+v", f)
	}
	if f := found["certificate dates"]; f.Holds || !strings.Contains(f.Hint, "renew") {
		t.Errorf("%+v", f)
	}
	h.client().Certificates[0].Value = "CN=pay-1,O=Bank"
	found = explained(server)
	for rule, holds := range map[string]bool{"whole certificate": true, "client": true, "client enabled": true, "client certificate": true, "certificate active": true,
		"certificate dates": false, "certificate usage": false, "certificate key": true} {
		if f, tested := found[rule]; !tested || f.Holds != holds || !holds && f.Hint == "" || f.Expected == "" || f.Found == "" {
			t.Errorf("%s: %+v", rule, f)
		}
	}
	if f, tested := found["certificate authority"]; tested { // a chain is verified for clientAuth
		t.Errorf("%+v", f)
	}
	h.client().Certificates[0].Disabled = true
	if f := explained(server)["certificate active"]; f.Holds || !strings.Contains(f.Hint, "have this registration enabled") {
		t.Errorf("%+v", f)
	}
	h.registry.clients = nil
	if f := explained(server); f["client"].Holds || len(f) != 4 {
		t.Errorf("of an unknown client: %+v", f)
	}
	h.registry.err = errors.New("down")
	if _, err := h.ExplainCertificate(context.Background(), h.issuer, clientID, server, noon); err == nil {
		t.Error("explained without a registry")
	}
}

// TestCertificateUnavailable: a failure of ours is not the caller's fault.
func TestCertificateUnavailable(t *testing.T) {
	h := newCertificateFixture(t)
	h.registry.err = errors.New("down")
	if _, err := h.exchange(certificateRequest(shownCertificate(t, "pay-1"))); oauth.AsError(err).Code != oauth.TemporarilyUnavailable {
		t.Error(err)
	}
}

// registryKey is the key of a certificate.
func registryKey(leaf *x509.Certificate) (*jose.PublicKey, error) {
	return jose.NewPublicKey(leaf.PublicKey, jose.ES256)
}

// TestLongCertificates: what the log and the ledger say of a refusal stays short, whatever stands in the
// certificates, which the caller may have made.
func TestLongCertificates(t *testing.T) {
	long := pkix.Name{CommonName: strings.Repeat("long ", 600), Organization: []string{"Bank"}}
	h := newCertificateFixture(t)
	h.has("c1", registry.MatchSANDNS, "pay.example")
	above := certtest.SelfSigned(t, noon, "", func(c *x509.Certificate) { c.Subject, c.IsCA, c.BasicConstraintsValid = long, true, true })
	forger := certtest.NewCA(t, noon)
	forger.Cert = &x509.Certificate{RawSubject: above.Leaf.RawSubject, NotBefore: noon.AddDate(0, 0, -1), NotAfter: noon.AddDate(0, 0, 1)}
	for rule, shown := range map[string]*clientcert.Shown{
		"certificate authority": shownOf(forger.Client(t, "x", func(c *x509.Certificate) { c.DNSNames = []string{"pay.example"} }), above.Leaf),
		"client certificate":    shownOf(certtest.SelfSigned(t, noon, "", func(c *x509.Certificate) { c.Subject = long })),
		"whole certificate": shownOf(certtest.SelfSigned(t, noon, "", func(c *x509.Certificate) {
			c.Subject = pkix.Name{CommonName: strings.Repeat("longer ", 3000)}
		})),
	} {
		h.refusedBy(t, rule, certificateRequest(shown), rule)
	}
	for _, e := range h.ledger.of(ledger.KindRefusal) {
		if len(e.Expected)+len(e.Found) > 600 {
			t.Errorf("%s: %d bytes: %.80s", e.Rule, len(e.Expected)+len(e.Found), e.Found)
		}
	}
}
