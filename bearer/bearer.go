// Package bearer verifies access tokens in an API: JWTs that a Moneyer issuer
// signed (RFC 9068). It checks the scope that a handler requires, and answers a
// request without a good token as RFC 6750 says.
//
//   - Verifier.Require is middleware for an http.Handler, which finds the claims of
//     the token with ClaimsFrom.
//   - Verifier.VerifyRequest verifies the token of one request, and Verifier.Verify
//     a token without HTTP.
//   - RemoteKeys fetches the issuer's keys; StaticKeys and KeyFunc are for an API
//     that has them.
//   - RevocationList fetches which tokens the issuer has revoked.
//   - Claims.Text and Claims.Texts read the claims of a platform's own.
//
// It does not ask the issuer about each token (RFC 7662), and does not accept
// opaque tokens. It reads a token from the Authorization header alone, never from
// a query or a body: RFC 6750 §2.2 and §2.3 are left out on purpose.
//
// RFC 6750, RFC 9068 §4, RFC 7519 §4.1, RFC 7517, RFC 8414 §3, RFC 8725.
package bearer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"moneyer/internal/jose"
	"moneyer/oauth"
)

// Verifier judges access tokens of one issuer. Set the fields before the first
// use and leave them alone afterwards; the methods are safe for concurrent use.
// A Verifier must not be copied.
type Verifier struct {
	// Issuer is what iss must be, exactly. It has no default.
	Issuer string
	// Audience lists the names of this API: aud must hold at least one. It has no
	// default either; see AnyAudience.
	Audience []string
	// AnyAudience accepts every aud, and none, when Audience is empty. It is for
	// platforms whose aud is the client (boltpay).
	AnyAudience bool
	// TokenType is the scheme of the Authorization header that carries the token;
	// empty means "Bearer". VerifyRequest and Require use it.
	TokenType oauth.TokenType
	// Typ lists what the header's typ may be, compared without case; nil means
	// "at+jwt" and "application/at+jwt" (RFC 9068 §4). Give "JWT" for platforms
	// that write that, and know that such a token may be an ID token or an
	// assertion: only its other claims tell.
	Typ []string
	// Algs lists the algorithms of keys that are accepted; nil means ES256, RS256,
	// PS256 and EdDSA. The key's own algorithm rules, never the header's.
	Algs []string
	// Leeway is how long after exp, or before nbf, a token still passes, for clocks
	// that differ; 0 means not at all.
	Leeway time.Duration
	// RequiredScope is what every token must hold, whatever the handler.
	RequiredScope oauth.Scope
	// RequiredClaims must be there, besides iss and exp; of what type they are is
	// for their reader.
	RequiredClaims []string
	// Keys finds the issuer's keys; nil means a RemoteKeys for Issuer.
	Keys KeySource
	// Revocations tells whether a token that is otherwise good was revoked; nil
	// means that none is. It is asked for every call, also for tokens in the cache.
	// A RevocationList asks the issuer.
	Revocations RevocationSource
	// CacheSize is how many verified tokens are remembered, by their SHA-256
	// digest, none beyond its exp; 0 means none. What is remembered outlives the
	// withdrawal of its key; Revocations do reach it.
	CacheSize int
	// Realm is the realm of WWW-Authenticate; empty leaves it out.
	Realm string
	// Refuse writes the status and body of a refusal in another style than an empty
	// body; nil means empty. WWW-Authenticate, Retry-After and Cache-Control are
	// set when it is called. Of err only Code and Description are for the caller.
	Refuse func(w http.ResponseWriter, r *http.Request, status int, err *oauth.Error)
	// Now is the clock, also of the RemoteKeys that a nil Keys stands for; nil
	// means time.Now.
	Now func() time.Time

	setup sync.Once // makes what follows
	keys  KeySource
	cache *cache // nil for none
}

// invalid is the refusal of a token. What the cause is, the caller need not know.
func invalid(cause error) *oauth.Error {
	return oauth.Errorf(oauth.InvalidToken, "the access token is not valid here").Because(cause)
}

// Verify judges an access token (RFC 9068 §4, RFC 6750 §3.1): its form, then the
// signature, then time, then issuer, audience and typ, then required claims,
// revocation and scope. The error is always an *oauth.Error: invalid_token with a
// private cause, insufficient_scope, temporarily_unavailable when the issuer's
// keys or what it revoked cannot be had, or server_error when the Verifier itself
// is at fault.
func (v *Verifier) Verify(ctx context.Context, token string) (*Claims, error) {
	claims, err := v.verified(ctx, token)
	if err != nil {
		return nil, err
	}
	if err := v.checkRevoked(ctx, claims); err != nil {
		return nil, err
	}
	if err := v.checkTime(claims, clock(v.Now)); err != nil {
		return nil, err // keys or list were waited for, and it ended meanwhile
	}
	if err := claims.require(v.RequiredScope); err != nil {
		return nil, err
	}
	return claims, nil
}

// checkRevoked asks Revocations, where there are any.
func (v *Verifier) checkRevoked(ctx context.Context, c *Claims) error {
	if v.Revocations == nil {
		return nil
	}
	revoked, err := v.Revocations.Revoked(ctx, c)
	if err != nil {
		return unavailable(err)
	}
	if revoked {
		return oauth.Errorf(oauth.InvalidToken, "the access token was revoked")
	}
	return nil
}

// verified judges what does not change while the token lives, by the cache where
// it can, and the time.
func (v *Verifier) verified(ctx context.Context, token string) (*Claims, error) {
	if err := v.ready(); err != nil {
		return nil, err
	}
	now := clock(v.Now)
	if v.cache == nil {
		return v.verify(ctx, token, now)
	}
	digest := digestOf(token)
	if claims := v.cache.get(digest); claims != nil {
		return claims, v.checkTime(claims, now)
	}
	claims, err := v.verify(ctx, token, now)
	if err == nil {
		v.cache.put(digest, claims)
	}
	return claims, err
}

// ready fills in what is nil and refuses a Verifier that would accept too much.
func (v *Verifier) ready() error {
	v.setup.Do(func() {
		v.keys = v.Keys
		if v.keys == nil {
			v.keys = &RemoteKeys{Issuer: v.Issuer, Now: v.Now}
		}
		if v.CacheSize > 0 {
			v.cache = newCache(v.CacheSize)
		}
	})
	switch {
	case v.Issuer == "":
		return serverError("bearer: Verifier.Issuer is not set")
	case len(v.Audience) == 0 && !v.AnyAudience:
		return serverError("bearer: Verifier.Audience is not set, nor AnyAudience")
	}
	return nil
}

func serverError(what string) *oauth.Error {
	return oauth.Errorf(oauth.ServerError, "").Because(errors.New(what))
}

// verify judges a token without the cache. Before the signature is verified
// nothing of it is believed; its kid selects a key and no more.
func (v *Verifier) verify(ctx context.Context, token string, now time.Time) (*Claims, error) {
	jws, err := jose.Parse(token)
	if err != nil {
		return nil, invalid(err)
	}
	key, err := v.keys.Key(ctx, jws.Header.Kid)
	switch {
	case errors.Is(err, ErrUnknownKey):
		return nil, invalid(err)
	case err != nil:
		return nil, unavailable(err)
	case key.public == nil:
		return nil, serverError("bearer: the key source returned the zero Key")
	}
	if !v.accepts(key.Alg()) {
		return nil, invalid(fmt.Errorf("a key for %s, which is not among Algs", key.Alg()))
	}
	if err := jws.Verify(key.public); err != nil {
		return nil, invalid(err)
	}
	claims, err := parseClaims(jws.Payload)
	if err != nil {
		return nil, invalid(err)
	}
	claims.KeyID = jws.Header.Kid
	if err := v.checkTime(claims, now); err != nil {
		return nil, err
	}
	if err := v.checkNames(claims, jws.Header.Typ); err != nil {
		return nil, invalid(err)
	}
	return claims, nil
}

// unavailable is the answer while nobody can judge: to say invalid_token would
// make clients throw good tokens away.
func unavailable(cause error) *oauth.Error {
	e := oauth.Errorf(oauth.TemporarilyUnavailable, "access tokens cannot be checked at the moment")
	return e.After(retryKeysAfter).Because(cause)
}

func (v *Verifier) accepts(alg string) bool { return v.Algs == nil || slices.Contains(v.Algs, alg) }

// checkTime holds the token to exp and nbf (RFC 7519 §4.1.4, §4.1.5): it is good
// before exp, and no longer at exp itself. The error is an *oauth.Error.
func (v *Verifier) checkTime(c *Claims, now time.Time) error {
	leeway := max(v.Leeway, 0)
	if !now.Before(c.Expiry.Add(leeway)) {
		return oauth.Errorf(oauth.InvalidToken, "the access token has expired").Because(fmt.Errorf("exp was %s", c.Expiry.UTC().Format(time.RFC3339)))
	}
	if now.Before(c.NotBefore.Add(-leeway)) {
		return invalid(fmt.Errorf("nbf is %s", c.NotBefore.UTC().Format(time.RFC3339)))
	}
	return nil
}

// typ is what Typ means: by default the typ of RFC 9068 §2.1 in both spellings of RFC 7515 §4.1.9.
func (v *Verifier) typ() []string {
	if v.Typ != nil {
		return v.Typ
	}
	return []string{"at+jwt", "application/at+jwt"}
}

// checkNames holds the token to issuer, audience, typ and required claims.
func (v *Verifier) checkNames(c *Claims, typ string) error {
	if c.Issuer != v.Issuer {
		return fmt.Errorf("iss is %.100q", c.Issuer)
	}
	named := func(name string) bool { return slices.Contains(c.Audience, name) }
	if len(v.Audience) > 0 && !slices.ContainsFunc(v.Audience, named) {
		return fmt.Errorf("aud is %.100q", c.Audience)
	}
	if !slices.ContainsFunc(v.typ(), func(t string) bool { return strings.EqualFold(t, typ) }) {
		return fmt.Errorf("typ is %.100q", typ)
	}
	for _, name := range v.RequiredClaims {
		if !c.has(name) {
			return fmt.Errorf("no claim %q", name)
		}
	}
	return nil
}

// clock reads now, or the system's clock when it is nil.
func clock(now func() time.Time) time.Time {
	if now == nil {
		return time.Now() //nolint:forbidigo // what a nil Now stands for
	}
	return now()
}
