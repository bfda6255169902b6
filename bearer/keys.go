package bearer

import (
	"context"
	"crypto"
	"errors"
	"fmt"

	"moneyer/internal/jose"
)

// ErrUnknownKey says that the issuer has no key with that kid, so that a token
// signed with it is invalid. Any other error of a KeySource means that the token
// cannot be verified for now.
var ErrUnknownKey = errors.New("the issuer has no such key")

// Key is a public key with the one algorithm that it is for. The zero Key verifies
// nothing.
type Key struct {
	public *jose.PublicKey
}

// NewKey returns a Key for a public key and an algorithm: ES256 for an
// *ecdsa.PublicKey on P-256, RS256 or PS256 for an *rsa.PublicKey of 2048 to 4096
// bits, EdDSA for an ed25519.PublicKey. It checks the key, which takes a while: make
// a Key once and keep it.
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

// Signed verifies the signature of a compact JWS (RFC 7515 §5.2), such as the signed
// answer of an introspection endpoint (RFC 9701), and returns its payload. It checks
// nothing else: use a Verifier for access tokens.
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

// KeySource provides the keys of an issuer.
type KeySource interface {
	// Key returns the key with the kid of a token's header, which may be empty. The
	// error wraps ErrUnknownKey when the issuer has no such key. Key is called for
	// each token that is not in the cache, from many goroutines.
	Key(ctx context.Context, kid string) (Key, error)
}

// KeyFunc is a KeySource made of a function.
type KeyFunc func(ctx context.Context, kid string) (Key, error)

// Key calls f.
func (f KeyFunc) Key(ctx context.Context, kid string) (Key, error) { return f(ctx, kid) }

// StaticKeys is a KeySource that maps each kid to its key. When it has one key only,
// that key is also for tokens without kid.
type StaticKeys map[string]Key

// Key implements KeySource.
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

// ParseKeys parses a JWK set of at most 256 KiB and 100 keys (RFC 7517 §5). It skips
// keys that are not for verifying with a known algorithm. The kid of a key without
// one is its thumbprint (RFC 7638). A set with a private key is an error, and so is one kid for keys of
// different algorithms, which a StaticKeys cannot tell apart.
func ParseKeys(jwks []byte) (StaticKeys, error) {
	set, err := jose.ParseKeySet(jwks, jose.KeySetRules{})
	if err == nil && set.Private() {
		err = errors.New(set.Report())
	}
	if err != nil {
		return nil, fmt.Errorf("bearer: %w", err)
	}
	keys := make(StaticKeys, len(set.Keys))
	for _, n := range set.Keys {
		kid := n.Kid
		if kid == "" {
			kid = n.Key.Thumbprint()
		}
		if twin, found := keys[kid]; found && twin.public.Alg() != n.Key.Alg() {
			return nil, fmt.Errorf("bearer: kid %.64q is for %s and for %s: use RemoteKeys, or leave one of them out", kid, twin.public.Alg(), n.Key.Alg())
		}
		keys[kid] = Key{public: n.Key}
	}
	return keys, nil
}
