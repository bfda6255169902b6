package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"

	"moneyer/internal/strictjson"
)

// The sizes of RSA keys that are accepted. RFC 7518 section 3.3 asks for the
// lower bound; the upper one keeps a registered key from being a burden.
const (
	minRSABits = 2048
	maxRSABits = 4096
	minRSAExp  = 65537
)

// PublicKey is a public key that was found good, bound to one algorithm. It is
// immutable and safe for concurrent use.
type PublicKey struct {
	alg Alg
	key crypto.PublicKey // *ecdsa.PublicKey, *rsa.PublicKey or ed25519.PublicKey
}

// NewPublicKey binds pub to alg. It refuses a key of another type or curve than
// alg asks for (ErrWrongKeyType, ErrWrongCurve), a point that is not on its
// curve, and a key that is too weak or too large (ErrWeakKey).
func NewPublicKey(pub crypto.PublicKey, alg Alg) (*PublicKey, error) {
	if !alg.Known() {
		return nil, fmt.Errorf("%w: unknown algorithm %.32q", ErrWrongKeyType, string(alg))
	}
	if err := checkPublic(pub, alg); err != nil {
		return nil, err
	}
	return &PublicKey{alg: alg, key: pub}, nil
}

// checkPublic refuses what alg cannot be verified with.
func checkPublic(pub crypto.PublicKey, alg Alg) error {
	switch pub := pub.(type) {
	case *ecdsa.PublicKey:
		if alg != ES256 {
			return fmt.Errorf("%w: an EC key for %s", ErrWrongKeyType, alg)
		}
		_, err := p256Point(pub)
		return err
	case *rsa.PublicKey:
		if alg != RS256 && alg != PS256 {
			return fmt.Errorf("%w: an RSA key for %s", ErrWrongKeyType, alg)
		}
		return checkRSA(pub)
	case ed25519.PublicKey:
		if alg != EdDSA {
			return fmt.Errorf("%w: an Ed25519 key for %s", ErrWrongKeyType, alg)
		}
		return checkEd25519(pub)
	default:
		return fmt.Errorf("%w: %T is none of P-256, RSA and Ed25519", ErrWrongKeyType, pub)
	}
}

// appendMembers appends the required JWK members in the order of RFC 7638 section
// 3.3, without braces.
func (k *PublicKey) appendMembers(dst []byte) []byte {
	b64 := base64.RawURLEncoding.EncodeToString
	switch pub := k.key.(type) {
	case *ecdsa.PublicKey:
		point, _ := p256Point(pub) // was found good
		return fmt.Appendf(dst, `"crv":"P-256","kty":"EC","x":%q,"y":%q`, b64(point[1:33]), b64(point[33:]))
	case *rsa.PublicKey:
		e := big.NewInt(int64(pub.E)).Bytes()
		return fmt.Appendf(dst, `"e":%q,"kty":"RSA","n":%q`, b64(e), b64(pub.N.Bytes()))
	case ed25519.PublicKey:
		return fmt.Appendf(dst, `"crv":"Ed25519","kty":"OKP","x":%q`, b64(pub))
	default:
		return dst // there is no other
	}
}

// p256Point returns the uncompressed point of pub: 4, x, y.
func p256Point(pub *ecdsa.PublicKey) ([]byte, error) {
	if pub == nil || pub.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%w: ES256 takes P-256", ErrWrongCurve)
	}
	point, err := pub.Bytes()
	if err != nil {
		return nil, fmt.Errorf("%w: the point is not on P-256", ErrKey)
	}
	return point, nil
}

// checkRSA refuses moduli and exponents outside the accepted range.
func checkRSA(pub *rsa.PublicKey) error {
	if pub == nil || pub.N == nil || pub.N.Sign() < 0 {
		return fmt.Errorf("%w: RSA key without a modulus", ErrKey)
	}
	switch bits := pub.N.BitLen(); {
	case bits < minRSABits:
		return fmt.Errorf("%w: RSA key of %d bits, at least %d are needed", ErrWeakKey, bits, minRSABits)
	case bits > maxRSABits:
		return fmt.Errorf("%w: RSA key of %d bits, at most %d are taken", ErrWeakKey, bits, maxRSABits)
	case pub.N.Bit(0) == 0:
		return fmt.Errorf("%w: RSA modulus is even", ErrWeakKey)
	case pub.E < minRSAExp || pub.E&1 == 0 || int64(pub.E) > 1<<31-1:
		return fmt.Errorf("%w: RSA exponent must be odd, from %d to 2^31-1", ErrWeakKey, minRSAExp)
	}
	if roca(pub.N) {
		return fmt.Errorf("%w: RSA modulus has the form of CVE-2017-15361 (ROCA)", ErrWeakKey)
	}
	return nil
}

// roca tells whether an RSA modulus was made by the broken library of
// CVE-2017-15361, whose primes are powers of 65537 modulo many small primes.
// Other moduli pass for one with a chance below 2^-27.
func roca(n *big.Int) bool {
	for p := int64(3); p <= 167; p += 2 {
		if !big.NewInt(p).ProbablyPrime(0) {
			continue
		}
		rest := new(big.Int).Mod(n, big.NewInt(p)).Int64()
		power := int64(1)
		for power != rest {
			if power = power * 65537 % p; power == 1 {
				return false
			}
		}
	}
	return true
}

// Alg returns the algorithm that the key is bound to.
func (k *PublicKey) Alg() Alg { return k.alg }

// CryptoKey returns the key as the standard library knows it.
func (k *PublicKey) CryptoKey() crypto.PublicKey { return k.key }

// Thumbprint returns the base64url SHA-256 thumbprint of RFC 7638. It does not
// depend on the algorithm or the key id.
func (k *PublicKey) Thumbprint() string {
	sum := sha256.Sum256(append(k.appendMembers([]byte{'{'}), '}'))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// PEM returns the key as a PEM block "PUBLIC KEY" (RFC 7468 section 13).
func (k *PublicKey) PEM() []byte {
	der, _ := x509.MarshalPKIXPublicKey(k.key) // has a form for each type of key that is taken
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// AppendJWK appends the key to dst as a JWK with alg and use, and with kid
// unless kid is empty (RFC 7517 section 4).
func (k *PublicKey) AppendJWK(dst []byte, kid string) []byte {
	dst = append(dst, '{')
	dst = k.appendMembers(dst)
	if kid != "" {
		dst = append(dst, `,"kid":`...)
		dst = strictjson.AppendString(dst, kid)
	}
	dst = append(dst, `,"alg":"`...)
	dst = append(dst, k.alg...)
	return append(dst, `","use":"sig"}`...)
}

// Verify checks sig over signingInput. The error is ErrSignature.
func (k *PublicKey) Verify(signingInput, sig []byte) error {
	if !k.verifies(signingInput, sig) {
		return ErrSignature
	}
	return nil
}

func (k *PublicKey) verifies(signingInput, sig []byte) bool {
	switch pub := k.key.(type) {
	case *ecdsa.PublicKey:
		digest := sha256.Sum256(signingInput)
		return verifyES256(pub, digest[:], sig)
	case *rsa.PublicKey:
		digest := sha256.Sum256(signingInput)
		if k.alg == PS256 {
			return rsa.VerifyPSS(pub, crypto.SHA256, digest[:], sig, pssOptions()) == nil
		}
		return rsa.VerifyPKCS1v15(pub, crypto.SHA256, digest[:], sig) == nil
	case ed25519.PublicKey:
		return ed25519.Verify(pub, signingInput, sig)
	default:
		return false
	}
}

// pssOptions are the parameters of PS256: RFC 7518 section 3.5.
func pssOptions() *rsa.PSSOptions {
	return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
}
