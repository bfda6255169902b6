package authority

import (
	"slices"
	"strings"

	"moneyer/internal/jose"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
)

// The rules for what an assertion names: for whom it is, and about whom.

var audienceRule = rule[*presented]{
	name: "aud", tell: "the assertion is not for this issuer",
	testable: hasClaims,
	holds: func(p *presented) bool {
		if !p.claims.Has(jose.ClaimAudience) {
			return true // requiredRule has judged that
		}
		if len(p.claims.Audience) != 1 {
			return false
		}
		if !p.isGrant {
			return p.claims.Audience[0] == p.issuer.URL || p.namesEndpoint()
		}
		return p.issuer.AcceptsAudience(p.claims.Audience[0])
	},
	expected: func(p *presented) string {
		if !p.isGrant {
			expected := "the issuer URL alone: " + p.issuer.URL
			if p.mayNameEndpoint() {
				expected += ", or for this client " + strings.Join(p.issuer.Endpoints(), " ")
			}
			return expected
		}
		return "exactly one of " + strings.Join(p.issuer.Audiences(), " ")
	},
	found: func(p *presented) string {
		if !p.claims.Has(jose.ClaimAudience) {
			return "none"
		}
		return quote(strings.Join(p.claims.Audience, " "))
	},
	hint: audienceHint,
}

// mayNameEndpoint reports whether the aud of client authentication may be the token
// endpoint, as before RFC 10070: for a client that is registered so.
func (p *presented) mayNameEndpoint() bool {
	return !p.isGrant && p.workload == nil && p.client != nil && p.client.AssertionAudience == registry.AudienceIssuerOrEndpoint
}

// namesEndpoint reports whether aud is the token endpoint, and may be.
func (p *presented) namesEndpoint() bool {
	return p.mayNameEndpoint() && len(p.claims.Audience) == 1 && p.issuer.IsTokenEndpoint(p.claims.Audience[0])
}

var subjectRule = rule[*presented]{
	name: "sub", tell: "the assertion's sub must equal its iss",
	testable: hasClaims,
	holds: func(p *presented) bool {
		return !p.claims.Has(jose.ClaimSubject) || p.claims.Subject == p.claims.Issuer ||
			p.mayNameSubjects() && slices.Contains(p.client.Subjects, p.claims.Subject)
	},
	expected: func(p *presented) string {
		expected := "the same as iss: " + quote(p.claims.Issuer)
		if p.mayNameSubjects() && len(p.client.Subjects) > 0 {
			expected += ", or a subject of the client: " + excerpts(p.client.Subjects)
		}
		return expected
	},
	found: func(p *presented) string {
		if !p.claims.Has(jose.ClaimSubject) {
			return "none"
		}
		return quote(p.claims.Subject)
	},
	hint: func(p *presented) string {
		if p.mayNameSubjects() {
			return "register the subject, if the client may name it: moneyer client set " + p.client.ID + " --subject NAME --subject ..., with each one that it may name: the list is replaced"
		}
		return "repeat iss in sub: a client speaks for itself"
	},
}

// mayNameSubjects reports whether sub may be a subject that is registered with the
// client. As client authentication it is the client (RFC 7523 §3, rule 2.B).
func (p *presented) mayNameSubjects() bool {
	return p.isGrant && p.policy.Subject == platform.SubjectRegistered && p.client != nil
}

func audienceHint(p *presented) string {
	aud := p.claims.Audience
	switch {
	case len(aud) > 1:
		return "send one audience: who takes a token for several can be played off against the others"
	case len(aud) == 0:
		return ""
	case strings.TrimSuffix(aud[0], "/") == p.issuer.URL && aud[0] != p.issuer.URL:
		return "leave the last / out: names are compared exactly"
	case !p.isGrant && p.issuer.IsTokenEndpoint(aud[0]):
		return "as client authentication aud is the issuer URL, not the token endpoint (RFC 10070); to let this client in until it is changed: moneyer client set " + p.claims.Issuer + " --client-assertion-audience issuer-or-endpoint"
	case p.issuer.MTLSURL != "" && strings.HasPrefix(aud[0], p.issuer.MTLSURL):
		return "the address for client certificates is no audience (RFC 8705 section 5): send " + p.issuer.URL
	}
	return ""
}
