package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"moneyer/internal/strictjson"
)

// maxKeyFile bounds one key in any encoding, in bytes.
const maxKeyFile = 64 << 10

// ParseJWK reads one public key (RFC 7517 section 4). The key is bound to the alg of the JWK, or to
// defaultAlg if the JWK has none, or else to the default algorithm of its key type. If the JWK and
// defaultAlg disagree the error is ErrAlgMismatch. A JWK with a private or symmetric key is refused
// with ErrPrivateKey, and one that is not for verifying signatures with ErrKey.
func ParseJWK(data []byte, defaultAlg Alg) (key *PublicKey, kid string, err error) {
	j, err := readJWK(data)
	if err != nil {
		return nil, "", err
	}
	switch {
	case j.symmetric:
		return nil, "", errSymmetric
	case j.private():
		return nil, "", errPrivateJWK
	}
	key, err = j.publicKey("sig", defaultAlg)
	if err != nil {
		return nil, "", err
	}
	return key, j.kid, nil
}

// useJWTSVID is the use of a key of a SPIFFE bundle that signs JWT-SVIDs.
const useJWTSVID = "jwt-svid"

// jwk is a parsed JWK before validation. Byte slices are nil for absent members.
type jwk struct {
	kty, crv, use, kid string
	alg                Alg
	ops                []string // nil when absent
	n, e, x, y         []byte
	d, p, q            []byte
	symmetric          bool  // has k
	asymmetric         bool  // has d, p, q, dp, dq, qi or oth
	bad                error // the first member that is not as it must be
}

// readJWK parses the members of a JWK, whose private ones are read even if others are damaged: see bad.
// A member that is null is absent, as some serializers write it.
func readJWK(data []byte) (*jwk, error) {
	if len(data) > maxKeyFile {
		return nil, fmt.Errorf("%w: JWK longer than %d bytes", ErrKey, maxKeyFile)
	}
	j := new(jwk)
	err := strictjson.Object(data, strictjson.Limits{}, func(name string, v strictjson.Value) error {
		if v.Kind() == strictjson.KindNull {
			return nil
		}
		if err := j.set(name, v); err != nil && j.bad == nil {
			j.bad = fmt.Errorf("%w: JWK: %s: %w", ErrKey, name, err)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w: JWK: %w", ErrKey, err)
	}
	return j, nil
}

func (j *jwk) set(name string, v strictjson.Value) (err error) {
	switch name {
	case "kty":
		j.kty, err = boundedText(v, maxName)
	case "crv":
		j.crv, err = boundedText(v, maxName)
	case "use":
		j.use, err = boundedText(v, maxName)
	case "kid":
		j.kid, err = boundedText(v, maxName)
	case "alg":
		var alg string
		alg, err = boundedText(v, maxName)
		j.alg = Alg(alg).constant()
	case "key_ops":
		j.ops, err = v.Texts()
	case "n":
		j.n, err = decodeBytes(v)
	case "e":
		j.e, err = decodeBytes(v)
	case "x":
		j.x, err = decodeBytes(v)
	case "y":
		j.y, err = decodeBytes(v)
	case "d":
		j.asymmetric = true
		j.d, err = decodeBytes(v)
	case "p":
		j.asymmetric = true
		j.p, err = decodeBytes(v)
	case "q":
		j.asymmetric = true
		j.q, err = decodeBytes(v)
	case "k":
		j.symmetric = true
	case "dp", "dq", "qi", "oth":
		j.asymmetric = true
	case "keys":
		return errJWKS
	}
	return err
}

var strictBase64 = base64.RawURLEncoding.Strict()

// decodeBytes decodes a strict base64url string. Text in a near form of it is decoded as well, beside
// the error that names the form: a private key has to be recognized in any form. The result is nil
// only with an error.
func decodeBytes(v strictjson.Value) ([]byte, error) {
	text, err := v.Text()
	if err != nil {
		return nil, err
	}
	data, err := strictBase64.DecodeString(text)
	if err == nil && len(text) == base64.RawURLEncoding.EncodedLen(len(data)) {
		return data, nil
	}
	near := strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(text, "="))
	data, err = base64.RawURLEncoding.DecodeString(near)
	switch {
	case err != nil || strings.ContainsAny(text, "\r\n"):
		return data, errors.New("not strict base64url")
	case strings.ContainsAny(text, "+/"):
		return data, errStdBase64
	case strings.HasSuffix(text, "="):
		return data, errPaddedText
	}
	return data, errors.New("not strict base64url")
}

// private reports whether the JWK has a private or symmetric member.
func (j *jwk) private() bool {
	return j.symmetric || j.asymmetric
}

// publicKey validates the public half. A key without use may be used to verify any signature
// (RFC 7517 section 4.2), but not a JWT-SVID.
func (j *jwk) publicKey(use string, defaultAlg Alg) (*PublicKey, error) {
	if err := j.verifies(use); err != nil {
		return nil, err
	}
	alg := defaultAlg.constant()
	if j.alg != "" {
		if alg != "" && alg != j.alg {
			return nil, fmt.Errorf("%w: JWK is for %.32q, want %s", ErrAlgMismatch, string(j.alg), alg)
		}
		alg = j.alg
	}
	pub, err := j.cryptoKey()
	if err != nil {
		return nil, err
	}
	if alg == "" {
		if alg, err = KeyAlg(pub); err != nil {
			return nil, err
		}
	}
	if _, onCurve := pub.(*ecdsa.PublicKey); onCurve && alg == ES256 {
		return &PublicKey{alg: alg, key: pub}, nil // NewPublicKey would check the point again
	}
	return NewPublicKey(pub, alg)
}

// verifies returns why the key is not for verifying signatures of that use, or nil.
func (j *jwk) verifies(use string) error {
	switch {
	case j.bad != nil:
		return j.bad
	case j.use != use && (j.use != "" || use == useJWTSVID):
		return fmt.Errorf("%w: JWK use is %.32q, want %s", ErrKey, j.use, use)
	case j.ops != nil && !slices.Contains(j.ops, "verify"):
		return fmt.Errorf("%w: JWK key_ops lack verify", ErrKey)
	}
	return nil
}

// cryptoKey builds the public key of RFC 7518 section 6 or RFC 8037 section 2.
func (j *jwk) cryptoKey() (crypto.PublicKey, error) {
	switch j.kty {
	case "EC":
		return j.ecKey()
	case "RSA":
		return j.rsaKey()
	case "OKP":
		if j.crv != "Ed25519" {
			return nil, fmt.Errorf("%w: OKP key on %.32q, want Ed25519", ErrWrongCurve, j.crv)
		}
		return ed25519.PublicKey(j.x), nil
	default:
		return nil, fmt.Errorf("%w: JWK kty is %.32q, want EC, RSA or OKP", ErrWrongKeyType, j.kty)
	}
}

func (j *jwk) ecKey() (*ecdsa.PublicKey, error) {
	if j.crv != "P-256" {
		return nil, fmt.Errorf("%w: EC key on %.32q, want P-256", ErrWrongCurve, j.crv)
	}
	if len(j.x) != 32 || len(j.y) != 32 {
		return nil, fmt.Errorf("%w: x and y of P-256 have 32 bytes", ErrKey)
	}
	point := slices.Concat([]byte{4}, j.x, j.y)
	pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return nil, fmt.Errorf("%w: the point is not on P-256", ErrKey)
	}
	return compacted(pub), nil
}

// compacted returns pub without the room for growth that the numbers of ParseUncompressedPublicKey have, half
// of their size: a server holds a key for each of a million clients.
func compacted(pub *ecdsa.PublicKey) *ecdsa.PublicKey {
	x, y := pub.X.Bits(), pub.Y.Bits() //nolint:staticcheck // Bytes gives no way to change how they are held
	words := slices.Clip(slices.Concat(x, y))
	var c struct {
		pub  ecdsa.PublicKey
		x, y big.Int
	}
	c.x.SetBits(words[:len(x):len(x)])
	c.y.SetBits(words[len(x):])
	c.pub = ecdsa.PublicKey{Curve: pub.Curve, X: &c.x, Y: &c.y} //nolint:staticcheck // as above
	return &c.pub
}

func (j *jwk) rsaKey() (*rsa.PublicKey, error) {
	if !minimal(j.n) || !minimal(j.e) {
		return nil, fmt.Errorf("%w: n and e of an RSA key are numbers without leading zeros", ErrKey)
	}
	e := new(big.Int).SetBytes(j.e)
	if e.BitLen() > 31 {
		return nil, fmt.Errorf("%w: RSA exponent is too large", ErrWeakKey)
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(j.n), E: int(e.Int64())}, nil
}

// minimal reports whether n is a positive number without leading zeros, as Base64urlUInt requires
// (RFC 7518 section 2).
func minimal(n []byte) bool { return len(n) > 0 && n[0] != 0 }
