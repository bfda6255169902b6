package authority

import (
	"cmp"
	"context"
	"errors"
	"time"

	"moneyer/internal/registry"
)

// Explain tests an assertion against every rule that can be tested and changes
// nothing: the assertion is not consumed. A rule that needs an earlier one (no
// signature can be checked without a key) is left out when that one is broken. The
// error is that the registry is unavailable.
func (a *Authority) Explain(ctx context.Context, issuer *registry.Issuer, compact string, isGrant bool, now time.Time) ([]Finding, error) {
	p := &presented{issuer: issuer, policy: &issuer.Profile.Policy.Assertion, isGrant: isGrant, now: now}
	if err := a.present(ctx, p, compact); err != nil {
		return nil, err
	}
	if p.workload != nil {
		if err := a.findIdentity(ctx, p); err != nil {
			return nil, err
		}
		return explain(workloadRules, p), nil
	}
	if p.isRemote && p.signed() { // before that it is nobody's key
		err := a.KeySource.Elsewhere(ctx, p.key.Public, issuer.Environment)
		if err != nil && !errors.As(err, &p.elsewhere) {
			return nil, err
		}
	}
	findings := append(explain(assertionRules, p), explain([]*rule[*presented]{&environmentRule}, p)...)
	for i := range findings {
		if f := &findings[i]; f.Rule == signatureRule.name && !f.Holds {
			f.Hint = cmp.Or(p.otherKeyHint(), f.Hint)
		}
	}
	return findings, nil
}

// otherKeyHint finds the client's key that does verify the signature, if any. It is
// too much work for a refusal.
func (p *presented) otherKeyHint() string {
	for i := range p.client.Keys {
		if other := &p.client.Keys[i]; p.verifies(other.Public) {
			return "it was signed with the client's key " + quote(other.Kid) + ": set kid to that"
		}
	}
	return ""
}
