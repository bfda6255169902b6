package authority

import (
	"cmp"
	"context"
	"errors"

	"moneyer/internal/evidence"
	"moneyer/internal/jose"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

// checkAssertion holds an assertion, as the grant or as client authentication, to the
// rules, and notes the client that it names.
func (a *Authority) checkAssertion(ctx context.Context, t *attempt, c *Credential, isGrant bool) error {
	p := evidence.NewAssertion(t.issuer, isGrant, t.now)
	p.ClientID, p.IsSVID = t.req.ClientID, c.AssertionType == oauth.AssertionTypeSPIFFE
	if err := a.present(ctx, p, c.Assertion); err != nil {
		return unavailable(err)
	}
	t.asked = t.asked || p.Asked
	if isGrant {
		t.grantAssertion = p
	} else {
		t.clientAssertion = p
	}
	if p.Workload != nil {
		return a.checkWorkload(ctx, t, p)
	}
	if p.Client != nil {
		if err := t.names(p.Client); err != nil {
			p.EqualizeTiming() // as for a client that nobody knows
			return err
		}
	}
	if p.Key != nil {
		t.shows(p.Key.Kid)
	}
	if err := a.penalized(t); err != nil {
		return err
	}
	if p.KeyUnavailable {
		return unavailable(p.KeyErr)
	}
	err := p.Check()
	if err != nil && a.renewKey(ctx, p) {
		err = p.Check()
	}
	if err != nil {
		return err
	}
	t.subject = p.NamedSubject()
	if !p.IsRemote {
		return nil
	}
	return a.claim(ctx, p.Issuer, p.Client, p.Key, p.RefuseElsewhere)
}

// present takes the assertion apart and looks up whom it names. Only a registry that
// is unavailable is an error; all else is for the rules to judge.
func (a *Authority) present(ctx context.Context, p *evidence.Assertion, compact string) error {
	if !p.Parse(compact) {
		return nil
	}
	if p.Workload != nil {
		return a.presentWorkload(ctx, p)
	}
	client, asked, err := known(a.Registry.FindClient(ctx, p.Issuer.Name, p.Claims.Issuer))
	p.Client, p.Asked = client, asked
	if err != nil || client == nil {
		return err
	}
	p.Key = client.Key(p.Kid())
	if p.Key == nil && !client.Disabled && client.JWKSURI != "" && a.KeySource != nil && (p.Kid() != "" || p.KidOptional()) {
		return a.presentRemoteKey(ctx, p)
	}
	return nil
}

// presentRemoteKey looks for the kid at the client's jwks_uri. While that cannot be read, nobody can
// tell whether there is such a key.
func (a *Authority) presentRemoteKey(ctx context.Context, p *evidence.Assertion) error {
	public, err := a.KeySource.Key(ctx, p.Client.JWKSURI, p.Kid(), p.Alg())
	switch {
	case err != nil:
		p.KeyErr, p.KeyUnavailable = err, !errors.Is(err, registry.ErrNotFound)
	case registry.Blocked(public, a.BlockedKeys) != nil:
		p.KeyErr = errors.New("the private half of the key there is published, or refused by configuration")
	default:
		p.Key, p.IsRemote = &registry.Key{Kid: cmp.Or(p.Kid(), public.Thumbprint()), Public: public}, true
	}
	return ctx.Err()
}

// renewKey looks for another key under the same kid after a signature did not verify: its publisher may
// have replaced it. It reports whether there is one.
func (a *Authority) renewKey(ctx context.Context, p *evidence.Assertion) bool {
	if p.Key == nil || p.Signed() {
		return false
	}
	var newer *jose.PublicKey
	switch {
	case p.Workload != nil:
		newer = a.TrustedKeys.Newer(ctx, p.Workload.Trusted, p.Kid(), p.Alg(), p.Key.Public)
	case p.IsRemote:
		newer = a.KeySource.Newer(ctx, p.Client.JWKSURI, p.Kid(), p.Alg(), p.Key.Public)
	}
	if newer == nil || registry.Blocked(newer, a.BlockedKeys) != nil {
		return false
	}
	p.Rekey(newer)
	return true
}

// claim holds a key from a jwks_uri to one environment, as registration does with a registered one.
// What it signed, or its certificate, has passed every other rule.
func (a *Authority) claim(ctx context.Context, issuer *registry.Issuer, client *registry.Client, key *registry.Key, refuse func(*registry.KeyTakenError) error) error {
	err := a.KeySource.Claim(ctx, key.Public, client, issuer.Environment, key.Kid)
	var elsewhere *registry.KeyTakenError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &elsewhere):
		return refuse(elsewhere)
	default:
		return unavailable(err)
	}
}
