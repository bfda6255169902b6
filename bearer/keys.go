package bearer

import (
	"context"
	"crypto"
	"errors"
	"fmt"

	"moneyer/internal/jose"
)

// ErrUnknownKey says that the issuer has no key of that name: a token that wants
// it is invalid. Any other error of a KeySource means that nobody can tell.
var ErrUnknownKey = errors.New("the issuer has no such key")

// Key is a public key with the one algorithm that it is used with. The zero Key
// verifies nothing.
type Key struct {
	public *jose.PublicKey
}

// NewKey binds a public key to an algorithm: *ecdsa.PublicKey on P-256 to ES256,
// *rsa.PublicKey of 2048 to 4096 bits to RS256 or PS256, ed25519.PublicKey to
// EdDSA. It checks the key, which takes a while: keep what it returns.
func NewKey(public crypto.PublicKey, alg string) (Key, error) {
	key, err := jose.NewPublicKey(public, jose.Alg(alg))
	if err != nil {
		return Key{}, fmt.Errorf("bearer: %w", err)
	}
	return Key{public: key}, nil
}

// Alg returns the algorithm; empty for the zero Key.
func (k Key) Alg() string {
	if k.public == nil {
		return ""
	}
	return string(k.public.Alg())
}

// Signed returns the payload of a compact JWS that the key signed (RFC 7515
// §5.2), such as the answer of an introspection endpoint (RFC 9701). It judges the
// signature and nothing else: access tokens are for a Verifier.
func (k Key) Signed(compact string) ([]byte, error) {
	if k.public == nil {
		return nil, errors.New("bearer: the zero Key verifies nothing")
	}
	jws, err := jose.ParseDocument(compact)
	if err != nil {
		return nil, err
	}
	if err := jws.Verify(k.public); err != nil {
		return nil, err
	}
	return jws.Payload, nil
}

// KeySource finds a key of the issuer by the kid of a token's header, which may
// be empty. It returns an error that wraps ErrUnknownKey when the issuer has no
// such key. It is called for every token that is not in the cache, from many
// goroutines.
type KeySource interface {
	Key(ctx context.Context, kid string) (Key, error)
}

// KeyFunc is a KeySource made of a function, for an API in the issuer's own
// process.
type KeyFunc func(ctx context.Context, kid string) (Key, error)

// Key calls f.
func (f KeyFunc) Key(ctx context.Context, kid string) (Key, error) { return f(ctx, kid) }

// StaticKeys are keys by their kid. A token without kid gets the only key, if
// there is but one.
type StaticKeys map[string]Key

// Key finds a key.
func (s StaticKeys) Key(_ context.Context, kid string) (Key, error) {
	if kid == "" && len(s) == 1 {
		for _, key := range s {
			return key, nil
		}
	}
	key, ok := s[kid]
	if !ok {
		return Key{}, fmt.Errorf("%w: kid %.64q", ErrUnknownKey, kid)
	}
	return key, nil
}

// ParseKeys reads a JWK set of at most 256 KiB and 100 keys (RFC 7517 §5). Keys
// that are not for verifying with a known algorithm are left out; a key without
// kid goes by its thumbprint (RFC 7638). A set that holds a private key is
// refused.
func ParseKeys(jwks []byte) (StaticKeys, error) {
	named, err := jose.ParseJWKS(jwks)
	if err != nil {
		return nil, fmt.Errorf("bearer: %w", err)
	}
	keys := make(StaticKeys, len(named))
	for _, n := range named {
		kid := n.Kid
		if kid == "" {
			kid = n.Key.Thumbprint()
		}
		keys[kid] = Key{public: n.Key}
	}
	return keys, nil
}
