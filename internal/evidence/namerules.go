package evidence

import (
	"slices"
	"strings"

	"moneyer/internal/jose"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
)

// The rules for what an assertion names: for whom it is, and about whom.

var audienceRule = rule[*Assertion]{
	name: "aud", tell: "the assertion is not for this issuer",
	testable: hasClaims,
	holds: func(p *Assertion) bool {
		if !p.Claims.Has(jose.ClaimAudience) {
			return true // requiredRule has judged that
		}
		if len(p.Claims.Audience) != 1 {
			return false
		}
		if !p.isGrant {
			return p.Claims.Audience[0] == p.Issuer.URL || p.NamesEndpoint()
		}
		return p.Issuer.AcceptsAudience(p.Claims.Audience[0])
	},
	expected: func(p *Assertion) string {
		if !p.isGrant {
			expected := "the issuer URL alone: " + p.Issuer.URL
			if p.mayNameEndpoint() {
				expected += ", or for this client " + strings.Join(p.Issuer.Endpoints(), " ")
			}
			return expected
		}
		return "exactly one of " + strings.Join(p.Issuer.Audiences(), " ")
	},
	found: func(p *Assertion) string {
		if !p.Claims.Has(jose.ClaimAudience) {
			return "none"
		}
		return Quote(strings.Join(p.Claims.Audience, " "))
	},
	hint: audienceHint,
}

// mayNameEndpoint reports whether the aud of client authentication may be the token
// endpoint, as before RFC 10070: for a client that is registered so.
func (p *Assertion) mayNameEndpoint() bool {
	return !p.isGrant && p.Workload == nil && p.Client != nil && p.Client.AssertionAudience == registry.AudienceIssuerOrEndpoint
}

// NamesEndpoint reports whether aud is the token endpoint, and may be.
func (p *Assertion) NamesEndpoint() bool {
	return p.mayNameEndpoint() && len(p.Claims.Audience) == 1 && p.Issuer.IsTokenEndpoint(p.Claims.Audience[0])
}

var subjectRule = rule[*Assertion]{
	name: "sub", tell: "the assertion's sub must equal its iss",
	testable: hasClaims,
	holds: func(p *Assertion) bool {
		return !p.Claims.Has(jose.ClaimSubject) || p.Claims.Subject == p.Claims.Issuer ||
			p.mayNameSubjects() && slices.Contains(p.Client.Subjects, p.Claims.Subject)
	},
	expected: func(p *Assertion) string {
		expected := "the same as iss: " + Quote(p.Claims.Issuer)
		if p.mayNameSubjects() && len(p.Client.Subjects) > 0 {
			expected += ", or a subject of the client: " + excerpts(p.Client.Subjects)
		}
		return expected
	},
	found: func(p *Assertion) string {
		if !p.Claims.Has(jose.ClaimSubject) {
			return "none"
		}
		return Quote(p.Claims.Subject)
	},
	hint: func(p *Assertion) string {
		if p.mayNameSubjects() {
			return "register the subject, if the client may name it: moneyer client set " + p.Client.ID + " --subject NAME --subject ..., with each one that it may name: the list is replaced"
		}
		return "repeat iss in sub: a client speaks for itself"
	},
}

// mayNameSubjects reports whether sub may be a subject that is registered with the
// client. As client authentication it is the client (RFC 7523 §3, rule 2.B).
func (p *Assertion) mayNameSubjects() bool {
	return p.isGrant && p.policy.Subject == platform.SubjectRegistered && p.Client != nil
}

func audienceHint(p *Assertion) string {
	aud := p.Claims.Audience
	switch {
	case len(aud) > 1:
		return "send one audience: who takes a token for several can be played off against the others"
	case len(aud) == 0:
		return ""
	case strings.TrimSuffix(aud[0], "/") == p.Issuer.URL && aud[0] != p.Issuer.URL:
		return "leave the last / out: names are compared exactly"
	case !p.isGrant && p.Issuer.IsTokenEndpoint(aud[0]):
		return "as client authentication aud is the issuer URL, not the token endpoint (RFC 10070); to let this client in until it is changed: moneyer client set " + p.Claims.Issuer + " --client-assertion-audience issuer-or-endpoint"
	case p.Issuer.MTLSURL != "" && strings.HasPrefix(aud[0], p.Issuer.MTLSURL):
		return "the address for client certificates is no audience (RFC 8705 section 5): send " + p.Issuer.URL
	}
	return ""
}
