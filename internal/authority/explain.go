package authority

import (
	"context"
	"errors"
	"time"

	"moneyer/internal/evidence"
	"moneyer/internal/registry"
)

// Explain tests an assertion against every rule that can be tested and changes
// nothing: the assertion is not consumed. A rule that needs an earlier one (no
// signature can be checked without a key) is left out when that one is broken. The
// error is that the registry is unavailable.
func (a *Authority) Explain(ctx context.Context, issuer *registry.Issuer, compact string, isGrant bool, now time.Time) ([]evidence.Finding, error) {
	p := evidence.NewAssertion(issuer, isGrant, now)
	if err := a.present(ctx, p, compact); err != nil {
		return nil, err
	}
	a.renewKey(ctx, p)
	if p.Workload != nil {
		if err := a.findIdentity(ctx, p); err != nil {
			return nil, err
		}
		return p.Findings(), nil
	}
	if p.IsRemote && p.Signed() { // before that it is nobody's key
		err := a.KeySource.Elsewhere(ctx, p.Key.Public, issuer.Environment)
		if err != nil && !errors.As(err, &p.Elsewhere) {
			return nil, err
		}
	}
	return p.Findings(), nil
}
