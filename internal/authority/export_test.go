package authority

import (
	"context"
	"time"

	"moneyer/internal/registry"
)

// Judge judges an assertion as Exchange does and tells how many signatures it
// checked on the way.
func Judge(ctx context.Context, a *Authority, issuer *registry.Issuer, req *Request, now time.Time) (verifications int, err error) {
	p := &presented{issuer: issuer, policy: &issuer.Profile.Policy.Assertion, isGrant: req.Assertion != "", clientID: req.ClientID, now: now}
	_, err = a.byAssertion(ctx, p, req.Assertion+req.ClientAssertion)
	return p.verifications, err
}

// DecoyAlg is the algorithm of the key on which time is wasted.
func DecoyAlg(header string) string { return string(decoyFor(header).Alg()) }

// RuleNames lists the rules for assertions in their order.
func RuleNames() []string {
	var names []string
	for _, r := range assertionRules {
		names = append(names, r.name)
	}
	return names
}

// VerifierLeeway is how much longer than its token a revocation is known.
const VerifierLeeway = verifierLeeway

// GivenBackBurst is how many tokens one client may give back at once.
var GivenBackBurst = givenBack.Burst

// What tests look at by itself.
var (
	GrantScope = grantScope
	FormHint   = formHint
)
