package evidence

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
	tokenRules = []*rule[*Assertion]{
		&formRule, &claimsRule, &trustedEnabledRule, &trustedKindRule, &trustedKidRule, &trustedAlgRule, &trustedSignatureRule,
		&trustedTypRule, &unboundRule, &requiredRule, &expiredRule, &lifetimeRule, &notBeforeRule, &issuedAtRule, &trustedAudienceRule,
	}
	identityRules = []*rule[*Assertion]{&identityRule, &identityClaimsRule, &identityActiveRule, &enabledRule, &clientIDRule}
	workloadRules = slices.Concat(tokenRules, identityRules)
)

var notSVIDRules = []*rule[*Assertion]{&formRule, &claimsRule, &trustedKindRule}

// hasIdentity is for rule.testable.
func hasIdentity(p *Assertion) bool { return p.Workload.Identity != nil }

var trustedEnabledRule = rule[*Assertion]{
	name: "trusted issuer enabled", tell: unverified,
	holds:    func(p *Assertion) bool { return !p.Workload.Trusted.Disabled },
	expected: text("an enabled trusted issuer"),
	broken:   func(p *Assertion) string { return p.Workload.Trusted.Name + ", which is disabled" },
	hint:     text("the configuration of the server disables it"),
}

// trustedKindRule holds the client_assertion_type of JWT-SVIDs to tokens of that kind (draft-ietf-oauth-spiffe-client-auth §3.1).
var trustedKindRule = rule[*Assertion]{
	name: "client_assertion_type", tell: unverified,
	testable: func(p *Assertion) bool { return p.IsSVID },
	holds: func(p *Assertion) bool {
		return !p.IsSVID || p.Workload != nil && p.Workload.Trusted.Kind == registry.TrustedSPIFFE
	},
	expected: text("a JWT-SVID of a trust domain that the issuer trusts"),
	found: func(p *Assertion) string {
		if p.Workload != nil {
			return "a token of trusted issuer " + p.Workload.Trusted.Name
		}
		return "sub " + Quote(p.Claims.Subject)
	},
	hint: text("for other JWTs set client_assertion_type to urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
}

var trustedKidRule = rule[*Assertion]{
	name: "kid", tell: unverified,
	holds: hasKey,
	expected: func(p *Assertion) string {
		return "a header kid among the keys of trusted issuer " + p.Workload.Trusted.Name
	},
	found: func(p *Assertion) string {
		if p.KeyErr != nil {
			return p.KeyErr.Error()
		}
		return Quote(p.jws.Header.Kid)
	},
	hint: func(p *Assertion) string {
		if p.KeyUnavailable {
			return "the trusted issuer's keys could not be read: until they can, the answer is 503 with Retry-After"
		}
		if p.jws.Header.Kid == "" {
			return "the header has no kid, and the trusted issuer has not just one key"
		}
		return "it was signed by another key than those in the configured place (which is read again at most once a minute for an unknown kid)"
	},
}

var trustedAlgRule = rule[*Assertion]{
	name: "alg", tell: unverified,
	testable: hasKey,
	holds:    algRule.holds,
	expected: func(p *Assertion) string {
		alg := string(p.Key.Public.Alg())
		if !slices.Contains(p.policy.Algs, alg) {
			return "one of the algs that are configured for trusted issuer " + p.Workload.Trusted.Name + ": " + strings.Join(p.policy.Algs, ", ")
		}
		return "that of its key: " + alg
	},
	found: algRule.found,
	hint:  text("compare the algs of the configuration with what the trusted issuer signs with: an RSA key without alg is for RS256 or PS256, whichever comes first there"),
}

var trustedSignatureRule = rule[*Assertion]{
	name: "signature", tell: unverified,
	testable: signatureRule.testable,
	holds:    signatureRule.holds,
	expected: func(p *Assertion) string {
		return "a signature by the key " + Quote(p.Key.Kid) + " of trusted issuer " + p.Workload.Trusted.Name
	},
	broken: signatureRule.broken,
	hint:   text("the token was changed, or another issuer made it"),
}

// refusedTyps are values of the claim typ with which Keycloak marks tokens that are for others
// than the server they are shown to.
var refusedTyps = []string{"ID", "Refresh", "Offline", "Logout"}

var trustedTypRule = rule[*Assertion]{
	name: "typ", tell: typRule.tell,
	holds: func(p *Assertion) bool {
		typ := p.jws.Header.Typ
		return (typ == "" || isType(typ, "JWT") || isType(typ, "JOSE")) && !slices.Contains(refusedTyps, p.Workload.texts["typ"])
	},
	expected: text("no typ, JWT or JOSE, and no claim typ of " + strings.Join(refusedTyps, ", ")),
	found: func(p *Assertion) string {
		if typ := p.Workload.texts["typ"]; typ != "" {
			return Quote(p.jws.Header.Typ) + " with the claim " + Quote(typ)
		}
		return Quote(p.jws.Header.Typ)
	},
	hint: text("send a token that was made for this server, and not one of another purpose"),
}

// unboundRule refuses a token that is bound to a key or a certificate (RFC 7800): without
// the proof it is worth nothing, and here none is checked.
var unboundRule = rule[*Assertion]{
	name: "cnf", tell: "the assertion is bound to a key, which is not proven here",
	holds:    func(p *Assertion) bool { return !p.Claims.Has(jose.ClaimConfirmation) },
	expected: text("no cnf"),
	broken:   text("one"),
	hint:     text("let the trusted issuer make a token that is bound to nothing"),
}

var trustedAudienceRule = rule[*Assertion]{
	name: "aud", tell: audienceRule.tell,
	holds: func(p *Assertion) bool { return len(p.Claims.Audience) == 1 && p.accepts(p.Claims.Audience[0]) },
	expected: func(p *Assertion) string {
		names := p.Workload.Trusted.Audience
		switch {
		case len(names) > 0:
		case p.isGrant:
			names = p.Issuer.Audiences()
		default:
			names = []string{p.Issuer.URL}
		}
		return "exactly one, of " + strings.Join(names, " ")
	},
	found: audienceRule.found,
	hint: func(p *Assertion) string {
		if len(p.Claims.Audience) > 1 {
			return "let the trusted issuer write one audience (Keycloak: take the client scope roles, whose mapper adds \"account\", away)"
		}
		return "ask the trusted issuer for a token with that audience"
	},
}

var identityRule = rule[*Assertion]{
	name: "identity", tell: unverified,
	holds: hasIdentity,
	expected: func(p *Assertion) string {
		return "what a client is registered as with trusted issuer " + p.Workload.Trusted.Name
	},
	found: func(p *Assertion) string { return p.Workload.shown(p.Workload.Trusted.Claims) },
	hint: func(p *Assertion) string {
		var flags strings.Builder
		for _, name := range p.Workload.Trusted.Claims {
			fmt.Fprintf(&flags, " --claim %s=...", name)
		}
		return "moneyer identity add CLIENT --trusted " + p.Workload.Trusted.Name + flags.String()
	},
}

// shown lists claims for people.
func (w *Workload) shown(names []string) string {
	var all []string
	for _, name := range names {
		if text, ok := w.texts[name]; ok {
			all = append(all, name+" "+Quote(text))
		} else {
			all = append(all, "no "+name)
		}
	}
	return strings.Join(all, ", ")
}

var identityClaimsRule = rule[*Assertion]{
	name: "identity's claims", tell: unverified,
	testable: hasIdentity,
	holds:    func(p *Assertion) bool { return p.Workload.differs(p.Workload.Identity) == "" },
	expected: func(p *Assertion) string {
		w := p.Workload
		if name := w.differs(w.Identity); name != "" {
			return name + " " + Quote(w.Identity.Claims[name]) + ", as in identity " + w.Identity.ID
		}
		return "all claims of identity " + w.Identity.ID
	},
	broken: func(p *Assertion) string { return p.Workload.shown([]string{p.Workload.differs(p.Workload.Identity)}) },
	hint:   text("all claims of an identity must be in the token, each as a string with exactly that value"),
}

var identityActiveRule = rule[*Assertion]{
	name: "identity active", tell: unverified,
	testable: hasIdentity,
	holds:    func(p *Assertion) bool { return p.Workload.Identity.LiveAt(p.now) },
	expected: text("an enabled identity before its end"),
	broken:   func(p *Assertion) string { return p.Workload.Identity.State(p.now) },
	hint:     text("have the identity enabled, or its end changed"),
}

var clientIDRule = rule[*Assertion]{
	name: "client_id", tell: unverified,
	testable: hasClient,
	holds:    func(p *Assertion) bool { return p.ClientID == "" || p.ClientID == p.Client.ID },
	expected: text("no client_id, or that of the client with the identity"),
	broken:   func(p *Assertion) string { return Quote(p.ClientID) },
	hint:     text("client_id is the id that this server gave the client, not the one at the trusted issuer"),
}
