// Package claims fills in an assertion (RFC 7523 §3) as a platform wants it: its times, and without the claims
// that must not be there. It chooses neither who is named nor for whom the assertion is, and signs nothing.
package claims

import (
	"time"

	"moneyer/assertion"
	"moneyer/internal/platform"
)

// Fill returns a with the times of one that is signed now, and without what the policy forbids.
func Fill(policy *platform.Assertion, a assertion.Assertion, now time.Time, lifetime time.Duration) assertion.Assertion {
	if policy.Forbids("sub") {
		a.Subject = ""
	}
	if policy.Forbids("aud") {
		a.Audience = nil
	}
	if policy.Forbids("jti") {
		a.ID = ""
	}
	a.IssuedAt, a.NotBefore, a.Expiry = policy.Times(now, lifetime)
	return a
}
