package authority

import (
	"cmp"
	"context"
	"net/netip"
	"time"

	"moneyer/internal/evidence"
	"moneyer/internal/ledger"
	"moneyer/internal/registry"
)

// Judge judges an assertion as Exchange does and says how many signatures it checked
// on the way.
func Judge(ctx context.Context, a *Authority, issuer *registry.Issuer, req *Request, now time.Time) (verifications int, err error) {
	t := &attempt{issuer: issuer, req: req, now: now}
	if req.Assertion != "" {
		err = a.checkAssertion(ctx, t, &Credential{Assertion: req.Assertion}, true)
	} else {
		err = a.checkAssertion(ctx, t, &req.Credentials[0], false)
	}
	return shown(t).Verifications, err
}

// Verifications is how many signatures the credentials of a request cost, or -1.
func Verifications(ctx context.Context, a *Authority, issuer *registry.Issuer, req *Request, now time.Time) int {
	t := &attempt{issuer: issuer, req: req, now: now}
	_ = a.authenticate(ctx, t) // refused or not
	if shown(t) == nil {
		return -1
	}
	return shown(t).Verifications
}

func shown(t *attempt) *evidence.Assertion { return cmp.Or(t.grantAssertion, t.clientAssertion) }

// VerifierLeeway is how much longer than its token a revocation is known.
const VerifierLeeway = verifierLeeway

// GivenBackBurst is how many tokens one client may give back at once.
var GivenBackBurst = givenBack.Burst

// What tests look at by itself.
var (
	GrantScope = grantScope
)

// Record records a refusal at once, as a refused request does. proven is the client that
// its caller proved to be.
func (r *Refusals) Record(ctx context.Context, e *ledger.Entry, proven string, address netip.Addr) {
	r.record(ctx, e, proven, address)
}
