package authority

import (
	"context"

	"moneyer/internal/evidence"
	"moneyer/oauth"
)

// jwtBearer is the grant of RFC 7523 §2.1: an assertion, which authenticates
// the client.
func jwtBearer(a *Authority, ctx context.Context, t *attempt) error {
	if t.req.Assertion == "" {
		return oauth.Errorf(oauth.InvalidRequest, "assertion is missing").
			Because(&evidence.Refusal{Rule: "assertion", Expected: "an assertion parameter", Found: "none"})
	}
	return a.checkAssertion(ctx, t, &Credential{Assertion: t.req.Assertion}, true)
}
