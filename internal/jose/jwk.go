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

	"moneyer/internal/strictjson"
)

// The limits of a JWK set.
const (
	MaxJWKS     = 256 << 10 // bytes
	MaxJWKSKeys = 100
)

// maxKeyFile bounds one key in any encoding, in bytes.
const maxKeyFile = 64 << 10

// NamedKey is a public key with the kid under which its owner published it.
type NamedKey struct {
	Kid string // may be empty
	Key *PublicKey
	// JWK is the text of the key as it came, with the members that are no part of Key; nil when it was
	// not read from a set.
	JWK []byte
}

// ParseJWK reads one public key (RFC 7517 section 4). The key is bound to the alg of the JWK, or to
// defaultAlg if the JWK has none, or else to the default algorithm of its key type. If the JWK and
// defaultAlg disagree the error is ErrAlgMismatch. A JWK with a private or symmetric key is refused
// with ErrPrivateKey, and one that is not for verifying signatures with ErrKey.
func ParseJWK(data []byte, defaultAlg Alg) (key *PublicKey, kid string, err error) {
	j, err := readJWK(data)
	if err != nil {
		return nil, "", err
	}
	if j.private() {
		return nil, "", errRegisterPublic
	}
	key, err = j.publicKey("sig", defaultAlg)
	if err != nil {
		return nil, "", err
	}
	return key, j.kid, nil
}

// KeySetRules say how the keys of a set are read.
type KeySetRules struct {
	// Algs are for keys that name no algorithm: each is bound to the first that fits its type, or
	// else to the default algorithm of its key type.
	Algs []Alg
	// SPIFFE is set for a SPIFFE bundle (SPIFFE Trust Domain and Bundle, section 4): its keys for
	// JWT-SVIDs have the use "jwt-svid" and a kid. Other keys are skipped.
	SPIFFE bool
}

// KeySet holds the public keys of a JWK set.
type KeySet struct {
	Keys []NamedKey
	// Refresh is how often the publisher wants the set to be fetched, in seconds: the
	// spiffe_refresh_hint of a SPIFFE bundle. 0 means that it does not say.
	Refresh int64
}

// ParseJWKS reads the public keys of a JWK set (RFC 7517 section 5). Unusable keys are skipped. A
// set that contains a private or symmetric key, or two keys with one kid, is refused as a whole:
// its publisher has lost control of it.
func ParseJWKS(data []byte) ([]NamedKey, error) {
	set, err := ParseKeySet(data, KeySetRules{})
	return set.Keys, err
}

// ParseKeySet is ParseJWKS with rules.
func ParseKeySet(data []byte, rules KeySetRules) (KeySet, error) {
	if len(data) > MaxJWKS {
		return KeySet{}, fmt.Errorf("%w: JWK set longer than %d bytes", ErrKey, MaxJWKS)
	}
	var set KeySet
	found, entries := false, 0
	err := strictjson.Object(data, strictjson.Limits{}, func(name string, v strictjson.Value) (err error) {
		switch {
		case name == "spiffe_refresh_hint" && rules.SPIFFE:
			set.Refresh, err = v.Seconds()
			return err
		case name != "keys":
			return nil
		}
		found = true
		return v.Elements(func(element strictjson.Value) error {
			if entries++; entries > MaxJWKSKeys {
				return fmt.Errorf("more than %d keys", MaxJWKSKeys)
			}
			return set.add(element.Raw(), &rules)
		})
	})
	if err != nil {
		return KeySet{}, fmt.Errorf("%w: JWK set: %w", ErrKey, err)
	}
	if !found {
		return KeySet{}, fmt.Errorf("%w: JWK set without keys", ErrKey)
	}
	return set, nil
}

// add adds the key if it is usable.
func (s *KeySet) add(data []byte, rules *KeySetRules) error {
	j, err := readJWK(data)
	if err != nil {
		return nil
	}
	if j.private() {
		return errRegisterPublic
	}
	use := "sig"
	if rules.SPIFFE {
		use = useJWTSVID
	}
	key, err := j.publicKey(use, j.algOf(rules.Algs))
	switch {
	case err != nil, rules.SPIFFE && j.kid == "":
		return nil
	case j.kid != "" && slices.ContainsFunc(s.Keys, func(k NamedKey) bool { return k.Kid == j.kid }):
		return fmt.Errorf("two keys with kid %q", j.kid)
	}
	s.Keys = append(s.Keys, NamedKey{Kid: j.kid, Key: key, JWK: data})
	return nil
}

// useJWTSVID is the use of a key of a SPIFFE bundle that signs JWT-SVIDs.
const useJWTSVID = "jwt-svid"

// algOf returns the first of algs that fits the type of a JWK without alg, or the empty Alg.
func (j *jwk) algOf(algs []Alg) Alg {
	if j.alg != "" {
		return j.alg
	}
	for _, alg := range algs {
		switch {
		case j.kty == "RSA" && (alg == RS256 || alg == PS256), j.kty == "EC" && alg == ES256, j.kty == "OKP" && alg == EdDSA:
			return alg
		}
	}
	return ""
}

// jwk is a parsed JWK before validation. Byte slices are nil for absent members.
type jwk struct {
	kty, crv, use, kid string
	alg                Alg
	ops                []string // nil when absent
	n, e, x, y         []byte
	d, p, q            []byte
	symmetric          bool // has k
	otherPrivate       bool // has dp, dq, qi or oth
}

// readJWK parses the members of a JWK.
func readJWK(data []byte) (*jwk, error) {
	if len(data) > maxKeyFile {
		return nil, fmt.Errorf("%w: JWK longer than %d bytes", ErrKey, maxKeyFile)
	}
	j := new(jwk)
	err := strictjson.Object(data, strictjson.Limits{}, func(name string, v strictjson.Value) error {
		if err := j.set(name, v); err != nil {
			return fmt.Errorf("%s: %w", name, err)
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
		j.d, err = decodeBytes(v)
	case "p":
		j.p, err = decodeBytes(v)
	case "q":
		j.q, err = decodeBytes(v)
	case "k":
		j.symmetric = true
	case "dp", "dq", "qi", "oth":
		j.otherPrivate = true
	case "keys":
		return errors.New("a JWK set, where one of its keys belongs")
	}
	return err
}

var strictBase64 = base64.RawURLEncoding.Strict()

// decodeBytes decodes a strict base64url string. The result is nil only with an error.
func decodeBytes(v strictjson.Value) ([]byte, error) {
	text, err := v.Text()
	if err != nil {
		return nil, err
	}
	data, err := strictBase64.DecodeString(text)
	if err != nil || len(text) != base64.RawURLEncoding.EncodedLen(len(data)) {
		return nil, errors.New("not strict base64url")
	}
	return data, nil
}

// private reports whether the JWK has a private or symmetric member.
func (j *jwk) private() bool {
	return j.symmetric || j.otherPrivate || j.d != nil || j.p != nil || j.q != nil
}

// publicKey validates the public half. A key without use may be used to verify any signature
// (RFC 7517 section 4.2), but not a JWT-SVID.
func (j *jwk) publicKey(use string, defaultAlg Alg) (*PublicKey, error) {
	if j.use != use && (j.use != "" || use == useJWTSVID) {
		return nil, fmt.Errorf("%w: JWK use is %.32q, want %s", ErrKey, j.use, use)
	}
	if j.ops != nil && !slices.Contains(j.ops, "verify") {
		return nil, fmt.Errorf("%w: JWK key_ops lack verify", ErrKey)
	}
	alg := defaultAlg
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
	return pub, nil
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
