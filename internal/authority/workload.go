package authority

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"moneyer/internal/evidence"
	"moneyer/internal/registry"
)

// showsWorkload reports whether a token of a trusted issuer is shown.
func (t *attempt) showsWorkload() bool {
	return slices.ContainsFunc([]*evidence.Assertion{t.grantAssertion, t.clientAssertion}, func(p *evidence.Assertion) bool { return p != nil && p.Workload != nil })
}

// presentWorkload looks for the key in the place that configuration names. While that cannot be read,
// nobody can tell whether there is such a key.
func (a *Authority) presentWorkload(ctx context.Context, p *evidence.Assertion) error {
	trusted, kid := p.Workload.Trusted, p.Kid()
	if trusted.Disabled || trusted.Kind == registry.TrustedSPIFFE && kid == "" { // JWT-SVIDs have a kid
		return nil
	}
	if a.TrustedKeys == nil {
		return errors.New("nobody has the keys of trusted issuers")
	}
	public, err := a.TrustedKeys.Key(ctx, trusted, kid, p.Alg())
	switch {
	case errors.Is(err, registry.ErrNotFound):
		p.KeyErr = err
	case err != nil:
		p.KeyErr, p.KeyUnavailable = fmt.Errorf("trusted issuer %s: %w", trusted.Name, err), true
	case registry.Blocked(public, a.BlockedKeys) != nil:
		p.KeyErr = errors.New("the private half of the key is published, or refused by configuration")
	default:
		p.Key = &registry.Key{Kid: kid, Public: public}
	}
	return ctx.Err()
}

// checkWorkload holds a token of a trusted issuer to the rules, and notes the client whose
// identity it names. The registry is asked only about a token that is verified.
func (a *Authority) checkWorkload(ctx context.Context, t *attempt, p *evidence.Assertion) error {
	if p.KeyUnavailable {
		return unavailable(p.KeyErr)
	}
	err := p.CheckToken()
	if err != nil && a.renewKey(ctx, p) {
		err = p.CheckToken()
	}
	if err != nil {
		return err
	}
	if err := a.findIdentity(ctx, p); err != nil {
		return unavailable(err)
	}
	t.asked = t.asked || p.Asked
	if p.Client != nil {
		if err := t.names(p.Client); err != nil {
			return err
		}
	}
	if p.Workload.Identity != nil {
		t.shows(p.Workload.Identity.ID)
	}
	return p.CheckIdentity()
}

// findIdentity looks for the client that is registered with what the token says. Only a
// registry that is unavailable is an error.
func (a *Authority) findIdentity(ctx context.Context, p *evidence.Assertion) error {
	digest := a.Pepper.Identity(p.Workload.Trusted, p.Workload.Text)
	client, asked, err := known(a.Registry.FindClientByDigest(ctx, p.Issuer.Name, digest))
	if p.Asked = asked; err == nil && client != nil {
		p.TakeIdentity(client, digest)
	}
	return err
}
