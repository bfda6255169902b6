package authority

import (
	"context"
	"errors"
	"time"

	"moneyer/internal/jose"
	"moneyer/internal/ledger"
	"moneyer/internal/registry"
)

// mint makes the token, or takes the one that is there where the issuer reuses tokens, and records it
// in one durable step. Until that step has succeeded the token leaves this function on no path.
func (a *Authority) mint(ctx context.Context, issuer *registry.Issuer, grant *Grant, now time.Time) (*AccessToken, error) {
	if _, err := a.KnownUntil(now); err != nil {
		return nil, unavailable(err) // the key that signs here may be gone everywhere else
	}
	signer, err := a.Keyring.Signer(issuer.Name, now)
	if err != nil {
		return nil, unavailable(err)
	}
	digest, err := a.reuseOf(issuer, grant, signer.Kid())
	if err != nil {
		return nil, err
	}
	token := a.reused(digest, issuer, grant, now)
	again := token != nil
	if !again {
		token = newToken(issuer, grant, now)
		if token.Token, err = a.sign(signer, issuer, grant, token, now); err != nil {
			return nil, err
		}
	}
	seal := grant.use.seal(grant.Confirmation)
	if seal != nil {
		grant.use.values()[0].Sealed = seal.hide(token)
	}
	err = a.record(ctx, issuer, grant, token, signer.Kid(), now)
	var replayed *ledger.ReplayedError
	switch {
	case err == nil:
		if !again {
			a.keep(digest, issuer, grant, token, signer.Kid(), now)
		}
		return token, nil
	case errors.As(err, &replayed):
		return a.sameToken(ctx, issuer, grant, seal, replayed, now)
	default:
		return nil, unavailable(err)
	}
}

// draft is where a token is composed before it is a string of its own.
type draft struct{ claims, compact []byte }

// sign composes the claims of token and signs them. Meanwhile the ledger expects the token's entry: where
// signatures are made one after the other, a commit for each would cost more than what it is for.
func (a *Authority) sign(signer *jose.Signer, issuer *registry.Issuer, grant *Grant, token *AccessToken, now time.Time) (compact string, err error) {
	d, ok := a.drafts.Get().(*draft)
	if !ok {
		d = &draft{}
	}
	defer a.drafts.Put(d)
	a.Ledger.Expect(1)
	defer a.Ledger.Expect(-1)
	if d.claims, err = appendClaims(d.claims[:0], issuer, grant, token, now); err != nil {
		return "", err
	}
	if d.compact, err = signer.Sign(d.compact[:0], d.claims); err != nil {
		return "", unavailable(err)
	}
	return string(d.compact), nil
}

// sameToken answers an assertion that was consumed before: with the token that it
// gave then, where the issuer does that, else with a refusal.
func (a *Authority) sameToken(ctx context.Context, issuer *registry.Issuer, grant *Grant, seal *tokenSeal, replayed *ledger.ReplayedError, now time.Time) (*AccessToken, error) {
	use := grant.use
	if seal == nil {
		a.noteReplay(use.values()[replayed.Index], now)
		return nil, use.replayed(replayed.Index)
	}
	token, err := seal.find(replayed.Sealed)
	if err != nil {
		return nil, use.replayed(replayed.Index)
	}
	if _, err := a.introspect(ctx, a.current(now), issuer, token.Token); err != nil {
		if err := unlessRetryable(err); err != nil {
			return nil, err
		}
		return nil, use.replayed(replayed.Index) // it was revoked meanwhile
	}
	token.Client = grant.Client.ID
	if token.ExpiresIn = int64(token.Expires.Sub(now) / time.Second); token.ExpiresIn <= 0 {
		return nil, use.replayed(replayed.Index)
	}
	return token, nil
}
