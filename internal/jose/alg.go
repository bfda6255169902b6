package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
)

// Alg is the registered name of a JWS algorithm.
type Alg string

// The supported algorithms.
const (
	ES256 Alg = "ES256" // ECDSA, P-256, SHA-256: RFC 7518 section 3.4
	RS256 Alg = "RS256" // RSASSA-PKCS1-v1_5, SHA-256: RFC 7518 section 3.3
	PS256 Alg = "PS256" // RSASSA-PSS, SHA-256, MGF1 with SHA-256, 32 bytes of salt: RFC 7518 section 3.5
	EdDSA Alg = "EdDSA" // Ed25519: RFC 8037 section 3.1
)

// ed25519Alg is the name of RFC 9864 section 2.2 for EdDSA with Ed25519. It is read as EdDSA.
const ed25519Alg = "Ed25519"

// The reasons for refusing keys and tokens. Errors of this package wrap one of them wherever a
// caller may need to distinguish them.
var (
	ErrMalformed    = errors.New("not a strict compact JWS")
	ErrHeader       = errors.New("JWS header not acceptable")
	ErrAlgMismatch  = errors.New("algorithm is not the one of the key")
	ErrSignature    = errors.New("signature does not verify")
	ErrClaims       = errors.New("JWT claims not acceptable")
	ErrKey          = errors.New("not a usable key")
	ErrWrongKeyType = errors.New("key type does not fit the algorithm")
	ErrWrongCurve   = errors.New("wrong curve")
	ErrWeakKey      = errors.New("weak key")
	ErrPrivateKey   = errors.New("private key where a public key belongs")
	ErrEncryptedKey = errors.New("private key is encrypted")
)

// Known reports whether a is a supported algorithm.
func (a Alg) Known() bool {
	switch a {
	case ES256, RS256, PS256, EdDSA:
		return true
	default:
		return false
	}
}

// AlgOf returns the algorithm that a user or a partner means by name: "Ed25519" (RFC 9864 section 2.2)
// is EdDSA, every other name is that of its algorithm, which need not be a supported one.
func AlgOf(name string) Alg { return Alg(name).constant() }

// constant returns the constant equal to a supported algorithm, so that the text from which a was
// read can be garbage collected.
func (a Alg) constant() Alg {
	if a == ed25519Alg {
		return EdDSA
	}
	for _, known := range []Alg{ES256, RS256, PS256, EdDSA} {
		if a == known {
			return known
		}
	}
	return a
}

// KeyAlg returns the default algorithm of a key: ES256 for P-256, RS256 for RSA, EdDSA for Ed25519.
func KeyAlg(pub crypto.PublicKey) (Alg, error) {
	switch pub := pub.(type) {
	case *ecdsa.PublicKey:
		if pub.Curve != elliptic.P256() {
			return "", fmt.Errorf("%w: only P-256 is supported", ErrWrongCurve)
		}
		return ES256, nil
	case *rsa.PublicKey:
		return RS256, nil
	case ed25519.PublicKey:
		return EdDSA, nil
	default:
		return "", fmt.Errorf("%w: %T is none of P-256, RSA and Ed25519", ErrWrongKeyType, pub)
	}
}
