package authority

import (
	"fmt"
	"slices"
	"strings"

	"moneyer/internal/jose"
	"moneyer/internal/registry"
)

// tokenRules are those for what a trusted issuer made, in their order; identityRules are
// tested once these hold and the client has been looked up.
var (
	tokenRules = []*rule[*presented]{
		&formRule, &claimsRule, &trustedEnabledRule, &trustedKindRule, &trustedKidRule, &trustedAlgRule, &trustedSignatureRule,
		&trustedTypRule, &unboundRule, &requiredRule, &expiredRule, &lifetimeRule, &notBeforeRule, &issuedAtRule, &trustedAudienceRule,
	}
	identityRules = []*rule[*presented]{&identityRule, &identityClaimsRule, &identityActiveRule, &enabledRule, &clientIDRule}
	workloadRules = slices.Concat(tokenRules, identityRules)
)

var notSVIDRules = []*rule[*presented]{&formRule, &claimsRule, &trustedKindRule}

// What a rule looks at, for rule.testable.
func isTrusted(p *presented) bool   { return p.workload != nil }
func hasIdentity(p *presented) bool { return p.workload != nil && p.workload.identity != nil }

var trustedEnabledRule = rule[*presented]{
	name: "trusted issuer enabled", tell: unverified,
	testable: isTrusted,
	holds:    func(p *presented) bool { return !p.workload.trusted.Disabled },
	expected: text("an enabled trusted issuer"),
	found: func(p *presented) string {
		if p.workload.trusted.Disabled {
			return p.workload.trusted.Name + ", which is disabled"
		}
		return p.workload.trusted.Name
	},
	hint: text("the configuration of the server disables it"),
}

// trustedKindRule holds the client_assertion_type of JWT-SVIDs to tokens of that kind (draft-ietf-oauth-spiffe-client-auth §3.1).
var trustedKindRule = rule[*presented]{
	name: "client_assertion_type", tell: unverified,
	testable: func(p *presented) bool { return p.isSVID },
	holds: func(p *presented) bool {
		return !p.isSVID || p.workload != nil && p.workload.trusted.Kind == registry.TrustedSPIFFE
	},
	expected: text("a JWT-SVID of a trust domain that the issuer trusts"),
	found: func(p *presented) string {
		if p.workload != nil {
			return "a token of trusted issuer " + p.workload.trusted.Name
		}
		return "sub " + quote(p.claims.Subject)
	},
	hint: text("for other JWTs set client_assertion_type to urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
}

var trustedKidRule = rule[*presented]{
	name: "kid", tell: unverified,
	testable: isTrusted,
	holds:    hasKey,
	expected: func(p *presented) string {
		return "a header kid among the keys of trusted issuer " + p.workload.trusted.Name
	},
	found: func(p *presented) string {
		if p.keyErr != nil {
			return p.keyErr.Error()
		}
		return quote(p.jws.Header.Kid)
	},
	hint: func(p *presented) string {
		if p.jws.Header.Kid == "" {
			return "the header has no kid, and the trusted issuer has not just one key"
		}
		return "it was signed by another key than those in the configured place (which is read again at most once a minute for an unknown kid)"
	},
}

var trustedAlgRule = rule[*presented]{
	name: "alg", tell: unverified,
	testable: hasKey,
	holds:    algRule.holds,
	expected: func(p *presented) string {
		alg := string(p.key.Public.Alg())
		if !slices.Contains(p.policy.Algs, alg) {
			return "one of the algs that are configured for trusted issuer " + p.workload.trusted.Name + ": " + strings.Join(p.policy.Algs, ", ")
		}
		return "that of its key: " + alg
	},
	found: algRule.found,
	hint:  text("compare the algs of the configuration with what the trusted issuer signs with: an RSA key without alg is for RS256 or PS256, whichever comes first there"),
}

var trustedSignatureRule = rule[*presented]{
	name: "signature", tell: unverified,
	testable: hasKey,
	holds:    signatureRule.holds,
	expected: func(p *presented) string {
		return "a signature by the key " + quote(p.key.Kid) + " of trusted issuer " + p.workload.trusted.Name
	},
	found: signatureRule.found,
	hint:  text("the token was changed, or another issuer made it"),
}

// refusedTyps are values of the claim typ with which Keycloak marks tokens that are for others
// than the server they are shown to.
var refusedTyps = []string{"ID", "Refresh", "Offline", "Logout"}

var trustedTypRule = rule[*presented]{
	name: "typ", tell: typRule.tell,
	testable: isTrusted,
	holds: func(p *presented) bool {
		typ := p.jws.Header.Typ
		return (typ == "" || isType(typ, "JWT") || isType(typ, "JOSE")) && !slices.Contains(refusedTyps, p.workload.texts["typ"])
	},
	expected: text("no typ, JWT or JOSE, and no claim typ of " + strings.Join(refusedTyps, ", ")),
	found: func(p *presented) string {
		if typ := p.workload.texts["typ"]; typ != "" {
			return quote(p.jws.Header.Typ) + " with the claim " + quote(typ)
		}
		return quote(p.jws.Header.Typ)
	},
	hint: text("send a token that was made for this server, and not one of another purpose"),
}

// unboundRule refuses a token that is bound to a key or a certificate (RFC 7800): without
// the proof it is worth nothing, and here none is checked.
var unboundRule = rule[*presented]{
	name: "cnf", tell: "the assertion is bound to a key, which is not proven here",
	testable: isTrusted,
	holds:    func(p *presented) bool { return !p.claims.Has(jose.ClaimConfirmation) },
	expected: text("no cnf"),
	found: func(p *presented) string {
		if p.claims.Has(jose.ClaimConfirmation) {
			return "one"
		}
		return "none"
	},
	hint: text("let the trusted issuer make a token that is bound to nothing"),
}

var trustedAudienceRule = rule[*presented]{
	name: "aud", tell: audienceRule.tell,
	testable: isTrusted,
	holds:    func(p *presented) bool { return len(p.claims.Audience) == 1 && p.accepts(p.claims.Audience[0]) },
	expected: func(p *presented) string {
		names := p.workload.trusted.Audience
		switch {
		case len(names) > 0:
		case p.isGrant:
			names = p.issuer.Audiences()
		default:
			names = []string{p.issuer.URL}
		}
		return "exactly one, of " + strings.Join(names, " ")
	},
	found: audienceRule.found,
	hint: func(p *presented) string {
		if len(p.claims.Audience) > 1 {
			return "let the trusted issuer write one audience (Keycloak: take the client scope roles, whose mapper adds \"account\", away)"
		}
		return "ask the trusted issuer for a token with that audience"
	},
}

var identityRule = rule[*presented]{
	name: "identity", tell: unverified,
	testable: isTrusted,
	holds:    hasIdentity,
	expected: func(p *presented) string {
		return "what a client is registered as with trusted issuer " + p.workload.trusted.Name
	},
	found: func(p *presented) string { return p.workload.shown(p.workload.trusted.Claims) },
	hint: func(p *presented) string {
		var flags strings.Builder
		for _, name := range p.workload.trusted.Claims {
			fmt.Fprintf(&flags, " --claim %s=...", name)
		}
		return "moneyer identity add CLIENT --trusted " + p.workload.trusted.Name + flags.String()
	},
}

// shown lists claims for people.
func (w *workload) shown(names []string) string {
	var all []string
	for _, name := range names {
		if text, ok := w.texts[name]; ok {
			all = append(all, name+" "+quote(text))
		} else {
			all = append(all, "no "+name)
		}
	}
	return strings.Join(all, ", ")
}

var identityClaimsRule = rule[*presented]{
	name: "identity's claims", tell: unverified,
	testable: hasIdentity,
	holds:    func(p *presented) bool { return p.workload.differs(p.workload.identity) == "" },
	expected: func(p *presented) string {
		w := p.workload
		if name := w.differs(w.identity); name != "" {
			return name + " " + quote(w.identity.Claims[name]) + ", as in identity " + w.identity.ID
		}
		return "all claims of identity " + w.identity.ID
	},
	found: func(p *presented) string {
		if name := p.workload.differs(p.workload.identity); name != "" {
			return p.workload.shown([]string{name})
		}
		return "those"
	},
	hint: text("all claims of an identity must be in the token, each as a string with exactly that value"),
}

var identityActiveRule = rule[*presented]{
	name: "identity active", tell: unverified,
	testable: hasIdentity,
	holds:    func(p *presented) bool { return p.workload.identity.LiveAt(p.now) },
	expected: text("an enabled identity before its end"),
	found: func(p *presented) string {
		if p.workload.identity.LiveAt(p.now) {
			return "that"
		}
		return p.workload.identity.State(p.now)
	},
	hint: text("have the identity enabled, or its end changed"),
}

var clientIDRule = rule[*presented]{
	name: "client_id", tell: unverified,
	testable: hasClient,
	holds:    func(p *presented) bool { return p.clientID == "" || p.clientID == p.client.ID },
	expected: text("no client_id, or that of the client with the identity"),
	found: func(p *presented) string {
		if p.clientID == "" {
			return "none"
		}
		return quote(p.clientID)
	},
	hint: text("client_id is the id that this server gave the client, not the one at the trusted issuer"),
}
