package authority

import (
	"context"
	"errors"

	"moneyer/internal/registry"
	"moneyer/oauth"
)

// checkAssertion holds an assertion, as the grant or as client authentication, to the
// rules, and notes the client that it names.
func (a *Authority) checkAssertion(ctx context.Context, t *attempt, c *Credential, isGrant bool) error {
	p := newPresented(t.issuer, isGrant, t.now)
	p.clientID, p.isSVID = t.req.ClientID, c.AssertionType == oauth.AssertionTypeSPIFFE
	if err := a.present(ctx, p, c.Assertion); err != nil {
		return unavailable(err)
	}
	t.asked = t.asked || p.asked
	if isGrant {
		t.grantAssertion = p
	} else {
		t.clientAssertion = p
	}
	if p.workload != nil {
		return a.checkWorkload(ctx, t, p)
	}
	if p.client != nil {
		if err := t.names(p.client); err != nil {
			p.equalizeTiming() // as for a client that nobody knows
			return err
		}
	}
	if p.key != nil {
		t.shows(p.key.Kid)
	}
	if err := a.penalized(t); err != nil {
		return err
	}
	if err := p.Check(); err != nil {
		return err
	}
	t.subject = p.namedSubject()
	return a.claimRemoteKey(ctx, p)
}

// present takes the assertion apart and looks up whom it names. Only a registry that
// is unavailable is an error; all else is for the rules to judge.
func (a *Authority) present(ctx context.Context, p *presented, compact string) error {
	if !p.parse(compact) {
		return nil
	}
	if p.workload != nil {
		return a.presentWorkload(ctx, p)
	}
	client, asked, err := a.Registry.FindClient(ctx, p.issuer.Name, p.claims.Issuer)
	p.asked = asked
	if errors.Is(err, registry.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	p.client = client
	p.key = client.Key(p.kid())
	if p.key == nil && !client.Disabled && client.JWKSURI != "" && a.KeySource != nil && p.kid() != "" {
		return a.presentRemoteKey(ctx, p)
	}
	return nil
}

// presentRemoteKey looks for the kid at the client's jwks_uri. An address that
// does not answer is a missing key.
func (a *Authority) presentRemoteKey(ctx context.Context, p *presented) error {
	public, err := a.KeySource.Key(ctx, p.client.JWKSURI, p.kid())
	switch {
	case err != nil:
		p.keyErr = err
	case registry.Blocked(public, a.BlockedKeys) != nil:
		p.keyErr = errors.New("the private half of the key there is published, or refused by configuration")
	default:
		p.key, p.isRemote = &registry.Key{Kid: p.kid(), Public: public}, true
	}
	return ctx.Err()
}

// claimRemoteKey holds a key from a jwks_uri to one environment, as registration does
// with a registered key. The assertion has passed every other rule.
func (a *Authority) claimRemoteKey(ctx context.Context, p *presented) error {
	if !p.isRemote {
		return nil
	}
	err := a.KeySource.Claim(ctx, p.key.Public, p.client, p.issuer.Environment, p.key.Kid)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &p.elsewhere):
		return p.RefuseElsewhere()
	default:
		return unavailable(err)
	}
}
