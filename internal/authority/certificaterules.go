package authority

import (
	"fmt"
	"slices"
	"strings"

	"moneyer/internal/clientcert"
	"moneyer/internal/registry"
)

// certificateRules in their order: whose it is, then what must hold of it (RFC 8705 §2). The caller of
// the token endpoint learns of none.
var certificateRules = []*rule[*shownCertificate]{
	&wholeCertificateRule, &certificateClientRule, &certificateEnabledRule, &ownCertificateRule, &certificateActiveRule,
	&certificateDatesRule, &certificateUsageRule, &certificateChainRule, &certificateKeyRule,
}

func certificateText(s string) func(*shownCertificate) string {
	return func(*shownCertificate) string { return s }
}

// What a rule looks at, for rule.testable.
func hasLeaf(s *shownCertificate) bool          { return s.Leaf != nil }
func ofClient(s *shownCertificate) bool         { return s.client != nil }
func ofClientWithLeaf(s *shownCertificate) bool { return s.client != nil && s.Leaf != nil }

var wholeCertificateRule = rule[*shownCertificate]{
	name:     "whole certificate",
	testable: func(*shownCertificate) bool { return true },
	holds:    hasLeaf,
	expected: certificateText("the certificate itself"),
	found: func(s *shownCertificate) string {
		if s.Leaf == nil {
			return "its digest alone"
		}
		return subjectOf(s)
	},
	hint: certificateText("have the proxy forward the certificate: Envoy does with set_current_client_cert_details: {cert: true}"),
}

var certificateClientRule = rule[*shownCertificate]{
	name:     "client",
	testable: func(*shownCertificate) bool { return true },
	holds:    ofClient,
	expected: certificateText("a registered client_id"),
	found: func(s *shownCertificate) string {
		if s.client != nil {
			return quote(s.client.ID)
		}
		return quote(s.clientID)
	},
}

var certificateEnabledRule = rule[*shownCertificate]{
	name:     "client enabled",
	testable: ofClient,
	holds:    func(s *shownCertificate) bool { return !s.client.Disabled },
	expected: certificateText("an enabled client"),
	found: func(s *shownCertificate) string {
		if s.client.Disabled {
			return "a disabled one"
		}
		return "that"
	},
}

// One registered name must match, no two (RFC 8705 §2.1.2): which of them is meant must be plain.
var ownCertificateRule = rule[*shownCertificate]{
	name:     "client certificate",
	testable: ofClientWithLeaf,
	holds:    func(s *shownCertificate) bool { return len(s.matched) == 1 || s.published != nil },
	expected: registeredCertificates,
	found: func(s *shownCertificate) string {
		switch {
		case s.published != nil:
			return "key " + quote(s.published.Kid) + " at its jwks_uri"
		case len(s.matched) == 0:
			return "another, of " + subjectOf(s)
		}
		var ids []string
		for _, c := range s.matched {
			ids = append(ids, c.ID)
		}
		return strings.Join(ids, " and ")
	},
	hint: ownCertificateHint,
}

var certificateActiveRule = rule[*shownCertificate]{
	name:     "certificate active",
	testable: func(s *shownCertificate) bool { return len(s.matched) > 0 },
	holds:    func(s *shownCertificate) bool { return s.published != nil || s.matched[0].LiveAt(s.now) },
	expected: certificateText("an enabled registration before its end"),
	found: func(s *shownCertificate) string {
		if s.published != nil || s.matched[0].LiveAt(s.now) {
			return "that"
		}
		return s.matched[0].State(s.now)
	},
	hint: certificateText("a certificate that ended is replaced: moneyer certificate add, before the old one ends"),
}

// The dates are those at the request, since a connection outlives its handshake; also of a certificate
// that is registered itself.
var certificateDatesRule = rule[*shownCertificate]{
	name:     "certificate dates",
	testable: hasLeaf,
	holds: func(s *shownCertificate) bool {
		return !s.now.Before(s.Leaf.NotBefore) && !s.now.After(s.Leaf.NotAfter)
	},
	expected: func(s *shownCertificate) string { return "a certificate that is valid at " + stamp(s.now) },
	found: func(s *shownCertificate) string {
		return "valid from " + stamp(s.Leaf.NotBefore) + " to " + stamp(s.Leaf.NotAfter)
	},
	hint: certificateText("renew the certificate; if it is to be valid already, compare the clocks"),
}

var certificateUsageRule = rule[*shownCertificate]{
	name:     "certificate usage",
	testable: func(s *shownCertificate) bool { return s.Leaf != nil && s.byName() },
	holds:    func(s *shownCertificate) bool { return !s.byName() || s.ForClients() },
	expected: certificateText("the extended key usage clientAuth (RFC 5280 section 4.2.1.12)"),
	found: func(s *shownCertificate) string {
		switch {
		case s.ForClients():
			return "that"
		case len(s.Leaf.ExtKeyUsage) == 0:
			return "no extended key usage"
		}
		return "others alone"
	},
	hint: certificateText("have it issued with extendedKeyUsage = clientAuth"),
}

var certificateChainRule = rule[*shownCertificate]{
	name:     "certificate authority",
	testable: func(s *shownCertificate) bool { return s.Leaf != nil && s.byName() },
	holds:    func(s *shownCertificate) bool { return !s.byName() || s.chainErr == nil },
	expected: certificateText("a chain to a certificate in tls_client_auth_ca"),
	found:    func(s *shownCertificate) string { return errorOrThat(s.chainErr) },
	hint:     certificateText("send the certificates of the authorities between with it, or add the issuing one to tls_client_auth_ca"),
}

var certificateKeyRule = rule[*shownCertificate]{
	name:     "certificate key",
	testable: hasLeaf,
	holds:    func(s *shownCertificate) bool { return s.blockedErr == nil },
	expected: certificateText("a strong key whose private half is not published"),
	found:    func(s *shownCertificate) string { return errorOrThat(s.blockedErr) },
}

// subjectOf is the certificate's subject, for people.
func subjectOf(s *shownCertificate) string { return quote(s.Leaf.Subject.String()) }

// registeredCertificates lists those of the client.
func registeredCertificates(s *shownCertificate) string {
	var all []string
	for i := range s.client.Certificates {
		c := &s.client.Certificates[i]
		if len(all) == maxListed {
			all = append(all, "...")
			break
		}
		all = append(all, string(c.Match)+" "+quote(c.Value))
	}
	if s.client.JWKSURI != "" {
		all = append(all, "one in an x5c at "+s.client.JWKSURI)
	}
	if len(all) == 0 {
		return "one of the client's certificates (it has none)"
	}
	return "exactly one of the client's: " + strings.Join(all, ", ")
}

// maxListed bounds how many registered certificates a refusal lists.
const maxListed = 4

// ownCertificateHint names the likely mistake where no registered certificate matches, or several do.
func ownCertificateHint(s *shownCertificate) string {
	if len(s.matched) > 1 {
		return "two registered names match it: remove or disable all but one"
	}
	for i := range s.client.Certificates {
		c := &s.client.Certificates[i]
		switch {
		case c.Match == registry.MatchCertificate && c.Value == s.Thumbprint(), c.Match != registry.MatchCertificate && s.hasName(c):
			return fmt.Sprintf("certificate %s would match, but the issuer does not take %s here", c.ID, c.Match.Method())
		case c.Match == registry.MatchSubjectDN && reversed(c.Value, s.Leaf.RawSubject):
			return "the names in the registered subject_dn stand in the reverse order: write them as openssl x509 -noout -subject -nameopt RFC2253 does"
		}
	}
	if s.publishedErr != nil {
		return s.publishedErr.Error()
	}
	return "register it: moneyer certificate add " + s.client.ID + " --pem FILE, or one of its names"
}

// reversed reports whether the subject would match if the text had the order of the certificate.
func reversed(text string, rawSubject []byte) bool {
	dn, err := clientcert.ParseDN(text)
	slices.Reverse(dn)
	return err == nil && dn.Matches(rawSubject)
}
