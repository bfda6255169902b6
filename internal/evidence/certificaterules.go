package evidence

import (
	"fmt"
	"strings"

	"moneyer/internal/registry"
)

// certificateRules in their order: whose it is, then what must hold of it (RFC 8705 §2). The caller of
// the token endpoint learns of none.
var certificateRules = []*rule[*Certificate]{
	&wholeCertificateRule, &certificateClientRule, &certificateEnabledRule, &ownCertificateRule, &certificateActiveRule,
	&certificateDatesRule, &certificateUsageRule, &certificateChainRule, &certificateKeyRule,
}

func certificateText(s string) func(*Certificate) string {
	return func(*Certificate) string { return s }
}

// What a rule looks at, for rule.testable.
func hasLeaf(s *Certificate) bool          { return s.Leaf != nil }
func ofClient(s *Certificate) bool         { return s.Client != nil }
func ofClientWithLeaf(s *Certificate) bool { return s.Client != nil && s.Leaf != nil }

var wholeCertificateRule = rule[*Certificate]{
	name:     "whole certificate",
	testable: func(*Certificate) bool { return true },
	holds:    hasLeaf,
	expected: certificateText("the certificate itself"),
	broken:   certificateText("its digest alone, or one that is too long"),
	hint:     certificateText("have the proxy forward the certificate: Envoy does with set_current_client_cert_details: {cert: true}"),
}

var certificateClientRule = rule[*Certificate]{
	name:     "client",
	testable: func(*Certificate) bool { return true },
	holds:    ofClient,
	expected: certificateText("a registered client_id"),
	broken:   func(s *Certificate) string { return Quote(s.ClientID) },
}

var certificateEnabledRule = rule[*Certificate]{
	name:     "client enabled",
	testable: ofClient,
	holds:    func(s *Certificate) bool { return !s.Client.Disabled },
	expected: certificateText("an enabled client"),
	broken:   certificateText("a disabled one"),
}

// One registered name must match, no two (RFC 8705 §2.1.2): which of them is meant must be plain.
var ownCertificateRule = rule[*Certificate]{
	name:     "client certificate",
	testable: ofClientWithLeaf,
	holds:    func(s *Certificate) bool { return len(s.Matched) == 1 || s.Published != nil },
	expected: registeredCertificates,
	found: func(s *Certificate) string {
		switch {
		case s.Published != nil:
			return "key " + Quote(s.Published.Kid) + " at its jwks_uri"
		case len(s.Matched) == 0:
			return "another, of " + subjectOf(s)
		}
		var ids []string
		for _, c := range s.Matched {
			ids = append(ids, c.ID)
		}
		return strings.Join(ids, " and ")
	},
	hint: ownCertificateHint,
}

var certificateActiveRule = rule[*Certificate]{
	name:     "certificate active",
	testable: func(s *Certificate) bool { return len(s.Matched) > 0 },
	holds:    func(s *Certificate) bool { return s.Published != nil || s.Matched[0].LiveAt(s.Now) },
	expected: certificateText("an enabled registration before its end"),
	broken:   func(s *Certificate) string { return s.Matched[0].State(s.Now) },
	hint:     certificateText("show another certificate of the client, or have this registration enabled or its end changed"),
}

// The dates are those at the request, since a connection outlives its handshake; also of a certificate
// that is registered itself.
var certificateDatesRule = rule[*Certificate]{
	name:     "certificate dates",
	testable: hasLeaf,
	holds: func(s *Certificate) bool {
		return !s.Now.Before(s.Leaf.NotBefore) && !s.Now.After(s.Leaf.NotAfter)
	},
	expected: func(s *Certificate) string { return "a certificate that is valid at " + Stamp(s.Now) },
	found: func(s *Certificate) string {
		return "valid from " + Stamp(s.Leaf.NotBefore) + " to " + Stamp(s.Leaf.NotAfter)
	},
	hint: certificateText("renew the certificate; if it is to be valid already, compare the clocks"),
}

var certificateUsageRule = rule[*Certificate]{
	name:     "certificate usage",
	testable: func(s *Certificate) bool { return s.Leaf != nil && s.byName() },
	holds:    func(s *Certificate) bool { return !s.byName() || s.ForClients() },
	expected: certificateText("the extended key usage clientAuth (RFC 5280 section 4.2.1.12)"),
	broken: func(s *Certificate) string {
		if len(s.Leaf.ExtKeyUsage) == 0 {
			return "no extended key usage"
		}
		return "others alone"
	},
	hint: certificateText("have it issued with extendedKeyUsage = clientAuth"),
}

var certificateChainRule = rule[*Certificate]{
	name:     "certificate authority",
	testable: func(s *Certificate) bool { return s.Leaf != nil && s.byName() && s.ForClients() },
	holds:    func(s *Certificate) bool { return !s.byName() || s.ChainErr == nil },
	expected: certificateText("a chain to a certificate in tls_client_auth_ca"),
	broken:   func(s *Certificate) string { return cut(s.ChainErr.Error()) },
	hint:     certificateText("send the certificates of the authorities between with it, or add the issuing one to tls_client_auth_ca"),
}

var certificateKeyRule = rule[*Certificate]{
	name:     "certificate key",
	testable: hasLeaf,
	holds:    func(s *Certificate) bool { return s.BlockedErr == nil },
	expected: certificateText("a strong key whose private half is not published"),
	broken:   func(s *Certificate) string { return s.BlockedErr.Error() },
}

// subjectOf is the certificate's subject, for people.
func subjectOf(s *Certificate) string {
	if len(s.Leaf.RawSubject) > maxShownSubject {
		return "a subject that is too long to show"
	}
	return Quote(s.Leaf.Subject.String())
}

// The bounds of what is shown of a certificate that anybody may have made.
const (
	maxShownSubject = 1024 // bytes of DER
	maxShownError   = 256
)

// cut bounds the text of x509, which quotes names of the certificates that it was given. It is ASCII.
func cut(text string) string {
	if len(text) > maxShownError {
		return text[:maxShownError] + "..."
	}
	return text
}

// registeredCertificates lists those of the client.
func registeredCertificates(s *Certificate) string {
	var all []string
	for i := range s.Client.Certificates {
		c := &s.Client.Certificates[i]
		if len(all) == maxListed {
			all = append(all, "...")
			break
		}
		all = append(all, string(c.Match)+" "+Quote(c.Value))
	}
	if s.Client.JWKSURI != "" {
		all = append(all, "one in an x5c at "+s.Client.JWKSURI)
	}
	if len(all) == 0 {
		return "one of the client's certificates (it has none)"
	}
	return "exactly one of the client's: " + strings.Join(all, ", ")
}

// maxListed bounds how many registered certificates a refusal lists.
const maxListed = 4

// ownCertificateHint names the likely mistake where no registered certificate matches, or several do.
func ownCertificateHint(s *Certificate) string {
	if len(s.Matched) > 1 {
		return "two registered names match it: remove or disable all but one"
	}
	for i := range s.Client.Certificates {
		c := &s.Client.Certificates[i]
		switch {
		case c.Match == registry.MatchCertificate && c.Value == s.Thumbprint(), c.Match != registry.MatchCertificate && s.hasName(c):
			return fmt.Sprintf("certificate %s would match, but the issuer does not take %s here", c.ID, c.Match.Method())
		case s.hasReversed(c):
			return "the names in the registered subject_dn stand in the reverse order: write them as openssl x509 -noout -subject -nameopt RFC2253 does"
		}
	}
	if s.Names.Err != nil {
		return s.Names.Err.Error()
	}
	if s.PublishedErr != nil {
		return s.PublishedErr.Error()
	}
	return "register it: moneyer certificate add " + s.Client.ID + " --pem FILE, or one of its names"
}
