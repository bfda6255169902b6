// Package bearer verifies the access tokens of the requests that an API gets. They
// are JWTs signed by one issuer (RFC 9068). It checks the scope that a handler
// requires, and answers a request without a good token as RFC 6750 says.
//
//   - Verifier.Require is middleware for an http.Handler, which finds the claims of
//     the token with ClaimsFrom.
//   - Verifier.VerifyRequest verifies the token of one request, and Verifier.Verify
//     a token without HTTP.
//   - RemoteKeys fetches the issuer's keys; StaticKeys and KeyFunc are for an API
//     that has them.
//   - RevocationList fetches which tokens the issuer has revoked.
//   - Verifier.ClientCertificate is for tokens that are bound to a client certificate, where
//     a proxy of the API ends TLS.
//   - Verifier.Metadata serves what a caller must know of the API (RFC 9728).
//   - Claims.Text and Claims.Texts read the claims of a platform's own.
//
// It does not ask the issuer about each token (RFC 7662), and does not accept
// opaque tokens. It reads a token from the Authorization header alone, never from
// a query or a body: RFC 6750 §2.2 and §2.3 are left out on purpose.
//
// RFC 6750, RFC 9068 §4, RFC 8705 §3, RFC 7519 §4.1, RFC 7517, RFC 8414 §3, RFC 8725, RFC 9728 §2, §3, §5.1.
package bearer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"moneyer/internal/deadline"
	"moneyer/internal/jose"
	"moneyer/internal/remotekeys"
	"moneyer/oauth"
)

// Verifier verifies access tokens of one issuer. Set the fields before the first
// use and do not change them afterwards. The methods are safe for concurrent use. A
// Verifier must not be copied.
type Verifier struct {
	// Issuer is the issuer URL, which iss must be exactly. It is required.
	Issuer string
	// Audience lists the names of this API, of which aud must have at least one.
	// It is required unless AnyAudience is set.
	Audience []string
	// AnyAudience accepts every aud, also an absent one, when Audience is empty. It
	// is for platforms that write the client into aud.
	AnyAudience bool
	// TokenType is the scheme of the Authorization header that carries the token;
	// empty means "Bearer". VerifyRequest and Require use it.
	TokenType oauth.TokenType
	// Typ lists the values that typ of the header may have, compared without case;
	// nil means "at+jwt" and "application/at+jwt" (RFC 9068 §4). Some platforms
	// write "JWT". With that, an ID token or an assertion of the same issuer is told
	// from an access token by the other claims alone.
	Typ []string
	// Algs lists the algorithms that are accepted; nil means ES256, RS256, PS256 and
	// EdDSA. The algorithm is that of the key, and the header must agree.
	Algs []string
	// Leeway is how long after exp, or before nbf, a token is still accepted, for
	// clocks that differ; 0 means not at all.
	Leeway time.Duration
	// RequiredScope is the scope that every token must have.
	RequiredScope oauth.Scope
	// RequiredClaims are claims that every token must have, besides iss and exp.
	// Their values are not checked.
	RequiredClaims []string
	// Keys provides the issuer's keys; nil means a RemoteKeys for Issuer, shared with a
	// RevocationList of the same issuer that has no Keys either: the new key with which the
	// issuer signs its list after a revocation is then known for tokens, too.
	Keys KeySource
	// Revocations says which tokens are revoked, such as a RevocationList; nil means
	// that none is. It is asked for each token that is otherwise good, also for
	// those in the cache.
	Revocations RevocationSource
	// ClientCertificate returns the SHA-256 digest of the client certificate in DER that a
	// request shows, and reports whether it shows one. A token that is bound to a
	// certificate (RFC 8705 §3) is accepted with that certificate alone. nil means the
	// certificate of the request's own TLS connection, for which the API's tls.Config
	// has ClientAuth tls.RequestClientCert or more.
	//
	// Set it where a proxy of the API ends TLS: see ForwardedCertificate. It is called
	// from many goroutines.
	ClientCertificate func(r *http.Request) (digest [sha256.Size]byte, ok bool)
	// CacheSize is the number of verified tokens to cache, by their SHA-256 digest
	// and until their exp; 0 means none. A token in the cache is accepted also when
	// its key is no longer published, but not when Revocations has it, and not for longer
	// than it had left when it was verified, also when the clock was set back since.
	CacheSize int
	// Resource is the identifier of this API as a protected resource (RFC 9728 §1.2): its URL. If it is set,
	// WWW-Authenticate says where the API's metadata are, and Metadata serves them.
	Resource string
	// Scopes are the scope words that the metadata list.
	Scopes oauth.Scope
	// Realm is the realm of WWW-Authenticate; empty leaves it out.
	Realm string
	// Refuse writes the status and body of a refusal; nil means an empty body.
	// WWW-Authenticate, Retry-After and Cache-Control are already set. Of err only
	// Code and Description are for the caller.
	Refuse func(w http.ResponseWriter, r *http.Request, status int, err *oauth.Error)
	// Now is the clock, also of the RemoteKeys that a nil Keys means; nil means
	// time.Now.
	Now func() time.Time

	setup sync.Once // makes what follows
	keys  KeySource
	cache *cache // nil for none
	// metadata is the URL of the metadata; empty without a Resource. unusable is why Resource cannot be used.
	metadata string
	unusable error
}

var errNoIssuer = errors.New("bearer: Verifier.Issuer is not set")

// invalid is the refusal of a token. The caller is not told the cause.
func invalid(cause error) *oauth.Error {
	return oauth.Errorf(oauth.InvalidToken, "the access token is not valid here").Because(cause)
}

// Verify verifies an access token (RFC 9068 §4, RFC 6750 §3.1): its form, then the
// signature, then time, then issuer, audience and typ, then required claims,
// revocation and scope. The error is always an *oauth.Error: invalid_token, which
// wraps the cause; insufficient_scope; temporarily_unavailable when the issuer's
// keys or revocations cannot be fetched; or server_error when a required field of
// the Verifier is not set.
//
// A token that is bound to a client certificate is refused: only VerifyRequest and
// Require know the certificate of a request.
func (v *Verifier) Verify(ctx context.Context, token string) (*Claims, error) {
	return v.verifyFor(ctx, token, nil)
}

// verifyFor is Verify for a token of a request, which may be nil.
func (v *Verifier) verifyFor(ctx context.Context, token string, r *http.Request) (*Claims, error) {
	claims, err := v.verified(ctx, token)
	if err != nil {
		return nil, err
	}
	if err := v.checkBinding(claims, r); err != nil {
		return nil, err
	}
	if err := v.checkRevoked(ctx, claims); err != nil {
		return nil, err
	}
	if err := v.checkTime(claims, clock(v.Now)); err != nil {
		return nil, err // it may have expired during a fetch of keys or list
	}
	if err := claims.require(v.RequiredScope); err != nil {
		return nil, err
	}
	return claims, nil
}

// checkRevoked asks Revocations, if they are set.
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

// verified checks what does not change during the token's life, or finds the token
// in the cache, and checks the time.
func (v *Verifier) verified(ctx context.Context, token string) (*Claims, error) {
	if err := v.ready(); err != nil {
		return nil, err
	}
	now := clock(v.Now)
	if v.cache == nil {
		return v.verify(ctx, token, now)
	}
	digest := digestOf(token)
	if known := v.cache.get(digest); known != nil {
		if deadline.Passed(known.end, now) {
			return nil, expired(known.claims)
		}
		return known.claims, v.checkTime(known.claims, now)
	}
	claims, err := v.verify(ctx, token, now)
	if err == nil {
		end := now.Add(claims.Expiry.Add(max(v.Leeway, 0)).Sub(now))
		v.cache.put(digest, &cached{claims: claims, end: end})
	}
	return claims, err
}

// ready sets the defaults, and refuses a Verifier that would accept too much.
func (v *Verifier) ready() error {
	v.setup.Do(func() {
		v.keys = v.Keys
		if v.keys == nil {
			v.keys = v.remoteKeys()
		}
		if v.CacheSize > 0 {
			v.cache = newCache(v.CacheSize)
		}
		if v.Resource != "" {
			at, err := metadataURL(v.Resource)
			if v.unusable = err; err == nil {
				v.metadata = at.String()
			}
		}
	})
	switch {
	case v.Issuer == "":
		return serverError(errNoIssuer)
	case len(v.Audience) == 0 && !v.AnyAudience:
		return serverError(errors.New("bearer: Verifier.Audience is not set, nor AnyAudience"))
	case v.unusable != nil:
		return serverError(v.unusable)
	}
	return nil
}

// remoteKeys returns the keys of a Verifier without Keys.
func (v *Verifier) remoteKeys() KeySource {
	l, ok := v.Revocations.(*RevocationList)
	if ok && l != nil && l.Keys == nil && l.Issuer == v.Issuer && (l.Now == nil) == (v.Now == nil) {
		return l.source()
	}
	return &RemoteKeys{Issuer: v.Issuer, Now: v.Now}
}

func serverError(cause error) *oauth.Error {
	return oauth.Errorf(oauth.ServerError, "").Because(cause)
}

// verify verifies a token without the cache. Before the signature is verified,
// nothing of the token is trusted: its kid only selects a key.
func (v *Verifier) verify(ctx context.Context, token string, now time.Time) (*Claims, error) {
	jws, err := jose.Parse(token)
	if err != nil {
		return nil, invalid(err)
	}
	key, err := keyOf(ctx, v.keys, &jws.Header, remotekeys.UnknownKidEvery)
	switch {
	case errors.Is(err, ErrUnknownKey):
		return nil, invalid(err)
	case err != nil:
		return nil, unavailable(err)
	case key.public == nil:
		return nil, serverError(errors.New("bearer: the key source returned the zero Key"))
	}
	if err := v.verifySignature(ctx, jws, key); err != nil {
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

// verifySignature verifies a signature with the key, or with the one that has replaced it.
func (v *Verifier) verifySignature(ctx context.Context, jws *jose.JWS, key Key) error {
	err := v.verifyBy(jws, key)
	if err == nil {
		return nil
	}
	if newer := newerKey(ctx, v.keys, &jws.Header, remotekeys.UnknownKidEvery, key); newer.public != nil {
		return v.verifyBy(jws, newer)
	}
	return err
}

// verifyBy verifies a signature with one key.
func (v *Verifier) verifyBy(jws *jose.JWS, key Key) error {
	if v.Algs != nil && !slices.Contains(v.Algs, key.Alg()) {
		return fmt.Errorf("a key for %s, which is not among Algs", key.Alg())
	}
	return jws.Verify(key.public)
}

// unavailable is the error while a token cannot be verified: for an invalid_token,
// clients would discard good tokens.
func unavailable(cause error) *oauth.Error {
	e := oauth.Errorf(oauth.TemporarilyUnavailable, "access tokens cannot be checked at the moment")
	return e.After(retryKeysAfter).Because(cause)
}

// checkTime checks exp and nbf (RFC 7519 §4.1.4, §4.1.5): a token is good before
// exp, and no longer at exp itself. The error is an *oauth.Error.
func (v *Verifier) checkTime(c *Claims, now time.Time) error {
	leeway := max(v.Leeway, 0)
	if !now.Before(c.Expiry.Add(leeway)) {
		return expired(c)
	}
	if now.Before(c.NotBefore.Add(-leeway)) {
		return invalid(fmt.Errorf("nbf is %s", c.NotBefore.UTC().Format(time.RFC3339)))
	}
	return nil
}

func expired(c *Claims) *oauth.Error {
	return oauth.Errorf(oauth.InvalidToken, "the access token has expired").Because(fmt.Errorf("exp was %s", c.Expiry.UTC().Format(time.RFC3339)))
}

// typ is Typ, or by default the typ of RFC 9068 §2.1 in both forms of RFC 7515 §4.1.9.
func (v *Verifier) typ() []string {
	if v.Typ != nil {
		return v.Typ
	}
	return []string{"at+jwt", "application/at+jwt"}
}

// checkNames checks issuer, audience, typ and required claims.
func (v *Verifier) checkNames(c *Claims, typ string) error {
	if c.Issuer != v.Issuer {
		return fmt.Errorf("iss is %.100q", c.Issuer)
	}
	inAudience := func(name string) bool { return slices.Contains(c.Audience, name) }
	if len(v.Audience) > 0 && !slices.ContainsFunc(v.Audience, inAudience) {
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

// clock returns now(), or the time of the system when now is nil.
func clock(now func() time.Time) time.Time {
	if now == nil {
		return time.Now() //nolint:forbidigo // what a nil Now stands for
	}
	return now()
}
