package authority

import (
	"context"
	"errors"
	"time"

	"moneyer/internal/evidence"
	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/internal/revocation"
	"moneyer/oauth"
)

// Revoke revokes a token that its own client gives back (RFC 7009). A token that is
// not valid, or belongs to another client, changes nothing, and the answer is the same.
// One that is refused for now because its account or issuer is disabled is revoked, too:
// that may end, and its client was told that the token is gone.
func (a *Authority) Revoke(ctx context.Context, issuer *registry.Issuer, req *Request, token string) error {
	now := a.Now()
	from := a.current(now)
	client, err := a.identify(ctx, from, &attempt{issuer: issuer, req: req, now: now})
	if err != nil {
		return err
	}
	t, err := a.ownToken(issuer, token, now)
	if err != nil {
		return nil // it is no good already (RFC 7009 §2.2)
	}
	if err := findClient(ctx, from, issuer, t); err != nil && !errors.Is(err, errInactive) {
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

// unlessRetryable drops a judgement and keeps a failure of ours.
func unlessRetryable(err error) error {
	if err != nil && oauth.AsError(err).Code.Retryable() {
		return err
	}
	return nil
}

// Introspection is the answer to a client's question about a token.
type Introspection struct {
	// Caller is the client that asked.
	Caller string
	// Token is nil when it is not active, for whatever reason.
	Token *ActiveToken
	// AsOf is the time until which the answer is surely right: while the store is
	// unavailable it rests on what was known last. Zero means now.
	AsOf time.Time
}

// IntrospectFor answers a client's question about a token (RFC 7662): any token of the issuer
// when it may introspect, else only its own. While the registry is unavailable, the
// answer rests on what was known last; but a client that authenticates by a JWT has to
// wait, since the JWT is consumed.
func (a *Authority) IntrospectFor(ctx context.Context, issuer *registry.Issuer, req *Request, token string) (*Introspection, error) {
	now := a.Now()
	from := a.staleIfError(now)
	client, err := a.identify(ctx, from, &attempt{issuer: issuer, req: req, now: now})
	if err != nil {
		return nil, err
	}
	found := &Introspection{Caller: client.ID}
	t, err := a.introspect(ctx, from, issuer, token)
	if err == nil && (client.Introspects || t.Client == client.ID) {
		found.Token = t
	}
	if err := unlessRetryable(err); err != nil {
		return nil, err
	}
	if found.AsOf, err = a.asOf(from); err != nil {
		return nil, unavailable(err)
	}
	return found, nil
}

// MayReadRevocations authenticates a client that asks for the list of revocations,
// where that is not public. The list tells of the tokens of all clients, so it is for
// clients that may introspect them.
func (a *Authority) MayReadRevocations(ctx context.Context, issuer *registry.Issuer, req *Request) error {
	now := a.Now()
	t := &attempt{issuer: issuer, req: req, now: now}
	client, err := a.identify(ctx, a.staleIfError(now), t)
	switch {
	case err != nil:
		return err
	case !client.Introspects:
		return a.refuse(ctx, t, oauth.Errorf(oauth.UnauthorizedClient, "this client may not read the list of revocations").
			Because(&evidence.Refusal{Rule: "client introspects", Expected: "a client that may introspect all tokens", Found: "one that may not",
				Hint: "moneyer client set " + client.ID + " --introspects=true"}))
	}
	return nil
}

// identify authenticates a client beside the token endpoint, in any way that its
// profile's grants take, or by a signed JWT where its clients have keys. The JWT is
// consumed. A disabled issuer's clients can still ask, and are told that no token is
// active.
func (a *Authority) identify(ctx context.Context, from *snapshot, t *attempt) (*registry.Client, error) {
	if err := a.checkIdentity(ctx, from, t); err != nil {
		a.refund(ctx, t, err)
		return nil, a.refuse(ctx, t, a.equalizeLookups(ctx, from, t, err))
	}
	a.touch(ctx, t)
	return t.client, nil
}

func (a *Authority) checkIdentity(ctx context.Context, from *snapshot, t *attempt) error {
	if err := t.chooseSet(t.issuer.ResourceAuth(), "one of the ways that the metadata list"); err != nil {
		return err
	}
	for i := range t.req.Credentials {
		if err := a.checkCredential(ctx, from, t, &t.req.Credentials[i]); err != nil {
			return err
		}
	}
	if err := a.checkCertificate(ctx, from, t); err != nil {
		return err
	}
	if err := a.admit(t); err != nil || t.clientAssertion == nil {
		return err
	}
	return a.consume(ctx, t)
}

// consume makes sure that a JWT authenticates once. There is no token to record, so
// the ledger records that the client authenticated.
func (a *Authority) consume(ctx context.Context, t *attempt) error {
	err := a.Ledger.Append(ctx, &ledger.Entry{Kind: ledger.KindAuthentication, Time: t.now.UTC(), Issuer: t.issuer.Name, Client: t.client.ID,
		Correlation: t.req.Correlation, Credential: recorded(t.credentials)}, t.use.values()...)
	var replayed *ledger.ReplayedError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &replayed):
		a.noteReplay(t.use.values()[replayed.Index], t.now)
		return t.use.replayed(replayed.Index)
	default:
		return unavailable(err)
	}
}
