package authority

import (
	"context"
	"errors"
	"slices"
	"time"

	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/internal/revocation"
	"moneyer/oauth"
)

// This file is what a client may do beside asking for tokens: withdraw those it
// has, and, where it was given that right, ask about others'.

// Revoke withdraws a token that its own client gives back (RFC 7009). A token
// that is not good, or is another's, changes nothing and tells nothing. One that
// is refused for now because its merchant or issuer is disabled is withdrawn, too:
// that may end, and its client was told that the token is gone.
func (a *Authority) Revoke(ctx context.Context, issuer *registry.Issuer, req *Request, token string) error {
	now := a.Now()
	v := a.strictView(now)
	client, err := a.identify(ctx, v, issuer, req)
	if err != nil {
		return err
	}
	t, err := a.ownToken(issuer, token, now)
	if err != nil {
		return nil // it is no good already (RFC 7009 §2.2)
	}
	if err := findClient(ctx, v, issuer, t); err != nil && !errors.Is(err, errWithdrawn) {
		return unavailable(err)
	}
	if t.Client != client.ID || t.Claims.ID == "" || a.Revocations.matches(issuer.Name, t) {
		return nil
	}
	if err := a.Revocations.mayGiveBack(issuer.Name, client.ID, now); err != nil {
		return err
	}
	given := &revocation.Revocation{Issuer: issuer.Name, ID: newJTI(), JTIs: []string{t.Claims.ID}, Until: time.Unix(t.Claims.Expiry, 0).Add(verifierLeeway).UTC(),
		Reason: "given back by its client", Created: now.UTC()}
	err = a.Revocations.Add(ctx, given, &ledger.Entry{Kind: ledger.KindAdmin, Time: now.UTC(), Issuer: issuer.Name, Client: client.ID, Correlation: req.Correlation,
		JTI: t.Claims.ID, Actor: "client " + client.ID, Action: "revoke", Object: "tokens/" + t.Claims.ID})
	if err != nil {
		return unavailable(err)
	}
	return nil
}

// unlessRetryable swallows a judgement and keeps trouble of ours.
func unlessRetryable(err error) error {
	if err != nil && oauth.AsError(err).Code.Retryable() {
		return err
	}
	return nil
}

// Introspection is what a client is told about a token.
type Introspection struct {
	// Caller is the client that asked.
	Caller string
	// Token is nil when it is not active, for whatever reason.
	Token *ActiveToken
	// AsOf is until when the answer is known to be right: while the store cannot be
	// asked, it goes by what was known last. Zero means now.
	AsOf time.Time
}

// IntrospectFor tells a client about a token (RFC 7662): any token of the issuer
// when it may introspect, else only its own. While the registry cannot tell, it
// goes by what was known last; but who authenticates by a JWT has to wait, since
// that is used up.
func (a *Authority) IntrospectFor(ctx context.Context, issuer *registry.Issuer, req *Request, token string) (*Introspection, error) {
	v := a.viewOf(a.Now())
	client, err := a.identify(ctx, v, issuer, req)
	if err != nil {
		return nil, err
	}
	found := &Introspection{Caller: client.ID}
	t, err := a.introspect(ctx, v, issuer, token)
	if err == nil && (client.Introspects || t.Client == client.ID) {
		found.Token = t
	}
	if err := unlessRetryable(err); err != nil {
		return nil, err
	}
	if found.AsOf, err = a.asOf(v); err != nil {
		return nil, unavailable(err)
	}
	return found, nil
}

// identify authenticates a client beside the token endpoint, in any way that its
// profile's grants take, or by a signed JWT where its clients have keys. The JWT
// is used up. A disabled issuer's clients can still ask, and are told that no token
// is active.
func (a *Authority) identify(ctx context.Context, v *view, issuer *registry.Issuer, req *Request) (*registry.Client, error) {
	c, err := a.identified(ctx, v, issuer, req)
	if err == nil {
		err = a.admit(issuer, req, c, v.now)
	}
	if err == nil && c.assertion != nil {
		err = a.useUp(ctx, issuer, req, c, v.now)
	}
	if err != nil {
		return nil, a.refuse(ctx, issuer, req, c, v.now, err)
	}
	a.Registry.Touch(issuer.Name, c.client.ID, c.credential, v.now)
	return c.client, nil
}

func (a *Authority) identified(ctx context.Context, v *view, issuer *registry.Issuer, req *Request) (*caller, error) {
	if !slices.Contains(issuer.ResourceAuth(), req.Auth) {
		return nil, badClient(&Refusal{Rule: "client authentication", Expected: "one of the ways that the metadata list", Found: string(req.Auth)})
	}
	return a.byCredential(ctx, v, issuer, req)
}

// useUp makes sure that a JWT authenticates once. There is no token to record, so
// the ledger tells that the client authenticated.
func (a *Authority) useUp(ctx context.Context, issuer *registry.Issuer, req *Request, c *caller, now time.Time) error {
	var grant Grant
	c.assertion.bind(&grant)
	err := a.Ledger.Append(ctx, &ledger.Entry{Kind: ledger.KindAuthentication, Time: now.UTC(), Issuer: issuer.Name, Client: c.client.ID,
		Correlation: req.Correlation, Credential: c.credential}, grant.use...)
	var used *ledger.ReplayedError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &used):
		return c.assertion.refuseUsed()
	default:
		return unavailable(err)
	}
}
