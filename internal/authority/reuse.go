package authority

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"moneyer/internal/jose"
	"moneyer/internal/ledger"
	"moneyer/internal/registry"
)

// maxReusable bounds the tokens that are kept for reuse. Each takes about 3 KB, so all of them take about 60 MB.
const maxReusable = 20_000

// Reusable keeps access tokens that an issuer with the setting reuse hands out again: to the same client,
// by the same credential, for the same scope, subject, account, parameters and certificate, signed by the
// key that signs now. It is memory alone, bounded, and each replica has its own. A token that was revoked,
// or whose client or account has changed since, is not handed out. The zero value is ready for use.
type Reusable struct {
	mu     sync.Mutex
	tokens map[[sha256.Size]byte]*reusable
}

// reusable is a token with what must not have changed.
type reusable struct {
	token   *AccessToken
	active  *ActiveToken
	client  *registry.Client
	account *registry.Account
	// version of the issuer's revocations for which the token was not among them.
	version int64
}

// reuseOf digests everything that the token of a grant would say, but jti, iat and exp, and
// by whom and for what it is asked. The zero digest is for an issuer that reuses nothing.
func (a *Authority) reuseOf(issuer *registry.Issuer, grant *Grant, kid string) (digest [sha256.Size]byte, err error) {
	if issuer.Reuse == 0 {
		return digest, nil
	}
	claims, err := appendClaims(nil, issuer, grant, &AccessToken{}, time.Unix(0, 0))
	if err != nil {
		return digest, err
	}
	parts := []string{issuer.Name, kid, grant.Client.ID, grant.Credential, grant.Subject, grant.Scope.String(), grant.Confirmation, string(claims)}
	if grant.Account != nil {
		parts = append(parts, grant.Account.ID)
	}
	for _, param := range grant.Params {
		parts = append(parts, param.Name, string(param.Value.AppendJSON(nil)))
	}
	h := sha256.New()
	var length [8]byte
	for _, part := range parts {
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		h.Write([]byte(part))
	}
	h.Sum(digest[:0])
	return digest, nil
}

// reused returns a copy of the token that is there for a grant, with what is left of its life, or nil.
func (a *Authority) reused(digest [sha256.Size]byte, issuer *registry.Issuer, grant *Grant, now time.Time) *AccessToken {
	if issuer.Reuse == 0 {
		return nil
	}
	version := a.Revocations.Version(issuer.Name) // first, so that a later revocation is seen the next time
	r := &a.Reusable
	r.mu.Lock()
	defer r.mu.Unlock()
	kept := r.tokens[digest]
	if kept == nil {
		return nil
	}
	left := kept.token.Expires.Sub(now)
	switch {
	case left <= time.Duration(issuer.Reuse*float64(issuer.TokenLifetime)), left > issuer.TokenLifetime,
		kept.client != grant.Client, kept.account != grant.Account,
		kept.version != version && a.Revocations.matches(issuer.Name, kept.active):
		delete(r.tokens, digest)
		return nil
	}
	kept.version = version
	token := *kept.token
	token.ExpiresIn = int64(left / time.Second)
	return &token
}

// keep keeps a token that was minted and recorded.
func (a *Authority) keep(digest [sha256.Size]byte, issuer *registry.Issuer, grant *Grant, token *AccessToken, kid string, now time.Time) {
	if issuer.Reuse == 0 {
		return
	}
	version := a.Revocations.Version(issuer.Name)
	jws, err := jose.Parse(token.Token)
	if err != nil {
		return
	}
	claims, err := jose.ParseClaims(jws.Payload)
	if err != nil {
		return
	}
	r := &a.Reusable
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tokens == nil {
		r.tokens = map[[sha256.Size]byte]*reusable{}
	}
	if len(r.tokens) >= maxReusable {
		r.makeRoom(now)
	}
	active := &ActiveToken{Kid: kid, Claims: claims, Payload: jws.Payload}
	kept := &reusable{token: token, active: active, client: grant.Client, account: grant.Account, version: version}
	if !a.Revocations.matches(issuer.Name, active) {
		r.tokens[digest] = kept
	}
}

// makeRoom drops tokens that have ended, or else any one. The caller holds mu.
func (r *Reusable) makeRoom(now time.Time) {
	for digest, kept := range r.tokens {
		if !now.Before(kept.token.Expires) {
			delete(r.tokens, digest)
		}
	}
	for digest := range r.tokens {
		if len(r.tokens) < maxReusable {
			return
		}
		delete(r.tokens, digest)
	}
}

// record appends the entry of a token that is handed out, and consumes what it is given for.
func (a *Authority) record(ctx context.Context, issuer *registry.Issuer, grant *Grant, token *AccessToken, kid string, now time.Time) error {
	return a.Ledger.Append(ctx, &ledger.Entry{
		Kind: ledger.KindToken, Time: now.UTC(), Issuer: issuer.Name, Client: grant.Client.ID, Correlation: grant.Correlation,
		JTI: token.JTI, Credential: grant.Credential, SigningKid: kid, Subject: grant.Subject,
		Scope: grant.Scope.String(), Expires: token.Expires.UTC(),
	}, grant.use.values()...)
}
