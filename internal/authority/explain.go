package authority

import (
	"cmp"
	"context"
	"time"

	"moneyer/internal/registry"
)

// Finding is what one rule says of an assertion.
type Finding struct {
	Rule     string `json:"rule"`
	Holds    bool   `json:"holds"`
	Expected string `json:"expected"`
	Found    string `json:"found"`
	Hint     string `json:"hint,omitempty"`
}

// Explain tests an assertion against every rule that can be tested and changes
// nothing: the assertion is not used up. A rule that needs an earlier one (no
// signature can be checked without a key) is left out when that one is broken.
// The error is trouble with the registry.
func (a *Authority) Explain(ctx context.Context, issuer *registry.Issuer, compact string, isGrant bool, now time.Time) ([]Finding, error) {
	p := &presented{issuer: issuer, policy: &issuer.Profile.Policy.Assertion, isGrant: isGrant, now: now}
	if err := a.present(ctx, p, compact); err != nil {
		return nil, err
	}
	var findings []Finding
	for _, r := range assertionRules {
		if !testable(p, r) {
			continue
		}
		f := Finding{Rule: r.name, Holds: r.holds(p), Expected: r.expected(p), Found: r.found(p)}
		if !f.Holds && r.hint != nil {
			f.Hint = r.hint(p)
		}
		if !f.Holds && r == &signatureRule {
			f.Hint = cmp.Or(p.otherKeyHint(), f.Hint)
		}
		findings = append(findings, f)
	}
	return findings, nil
}

// otherKeyHint finds the client's key that does verify the signature, if any.
func (p *presented) otherKeyHint() string {
	for i := range p.client.Keys {
		if other := &p.client.Keys[i]; p.verifies(other.Public) {
			return "it was signed with the client's key " + quote(other.Kid) + ": set kid to that"
		}
	}
	return ""
}

// testable tells whether what the rule looks at is there.
func testable(p *presented, r *rule) bool {
	switch r {
	case &formRule:
		return true
	case &claimsRule:
		return p.jws != nil
	case &enabledRule, &kidRule:
		return p.client != nil
	case &keyInForceRule, &algRule, &signatureRule:
		return p.key != nil
	default:
		return p.claims != nil
	}
}
