package jose

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"moneyer/internal/strictjson"
)

// The limits of a JWK set.
const (
	MaxJWKS     = 256 << 10 // bytes
	MaxJWKSKeys = 100
)

// maxReported bounds the keys that Report names.
const maxReported = 8

// NamedKey is a public key with the kid under which its owner published it.
type NamedKey struct {
	Kid string // may be empty
	Key *PublicKey
	// JWK is the text of the key as it came, with the members that are no part of Key; nil when it was
	// not read from a set.
	JWK []byte
}

// Skipped is a key of a set that is not used.
type Skipped struct {
	Kid string // may be empty
	// Reason wraps ErrPrivateKey where the set published a private or symmetric key, or where another
	// entry of the set published the private half of this one.
	Reason error
}

// String names the key and says why it is left out.
func (s Skipped) String() string {
	if s.Kid == "" {
		return fmt.Sprintf("a key without kid: %.300s", s.Reason.Error())
	}
	return fmt.Sprintf("kid %.64q: %.300s", s.Kid, s.Reason.Error())
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

// KeySet holds the public keys of a JWK set. It is made by ParseKeySet or NewKeySet, is immutable and
// safe for concurrent use. The zero KeySet has no keys.
type KeySet struct {
	// Keys are those that can be used, in the order of the set. Two of them with one kid are for
	// different algorithms, or are the same key.
	Keys []NamedKey
	// Skipped are those that cannot. Whoever fetches a set logs them: their publisher believes that
	// they are in use.
	Skipped []Skipped
	// Refresh is how often the publisher wants the set to be fetched, in seconds: the
	// spiffe_refresh_hint of a SPIFFE bundle. 0 means that it does not say.
	Refresh int64

	// The same keys without copies, by kid, those without a kid by thumbprint, and all by algorithm.
	byKid, byThumbprint map[string][]*PublicKey
	byAlg               map[Alg][]*PublicKey
}

// ParseKeySet reads the public keys of a JWK set (RFC 7517 section 5). A key that cannot be used is
// left out, and Skipped says why; the others serve:
//
//   - a key of another type, for another use, or damaged;
//   - a private or symmetric key, of which its publisher has lost control, and every other entry with
//     its public half;
//   - different keys with one kid and one algorithm, all of them, because nobody can tell which is
//     meant. One kid for keys of different algorithms is allowed (section 4.5).
//
// The error is for what is no JWK set as a whole, or is too large.
func ParseKeySet(data []byte, rules KeySetRules) (KeySet, error) {
	if len(data) > MaxJWKS {
		return KeySet{}, fmt.Errorf("%w: JWK set longer than %d bytes", ErrKey, MaxJWKS)
	}
	r := setReader{rules: &rules, private: map[string]bool{}}
	found := false
	err := strictjson.Object(withoutBOM(data), strictjson.Limits{}, func(name string, v strictjson.Value) (err error) {
		switch {
		case name == "spiffe_refresh_hint" && rules.SPIFFE:
			r.refresh, err = v.Seconds()
			return err
		case name != "keys":
			return nil
		}
		found = true
		entries := 0
		return v.Elements(func(element strictjson.Value) error {
			if entries++; entries > MaxJWKSKeys {
				return fmt.Errorf("more than %d keys", MaxJWKSKeys)
			}
			r.add(element.Raw())
			return nil
		})
	})
	if err != nil {
		return KeySet{}, fmt.Errorf("%w: JWK set: %w", ErrKey, err)
	}
	if !found {
		return KeySet{}, fmt.Errorf("%w: JWK set without keys", ErrKey)
	}
	set := newKeySet(r.keys, r.private)
	set.Skipped, set.Refresh = append(r.skipped, set.Skipped...), r.refresh
	return set, nil
}

// NewKeySet returns the set of these keys. Different keys with one kid and one algorithm are left out,
// as by ParseKeySet.
func NewKeySet(keys ...NamedKey) KeySet { return newKeySet(keys, nil) }

// Find returns the key for a signature whose header has that kid, which may be empty, and that alg. It
// is nil when the set has none, or has several that the header does not tell apart. alg only chooses
// between keys that kid does not tell apart: which algorithm a key is for is bound to the key, and
// JWS.Verify compares it. Without a kid the key is the only one of the set, or the only one for alg. A
// key without kid is also found by its thumbprint (RFC 7638).
func (s *KeySet) Find(kid, alg string) *PublicKey {
	keys := s.byKid[kid]
	if len(keys) == 0 {
		keys = s.byThumbprint[kid]
	}
	if kid == "" {
		if len(s.byAlg) == 1 {
			for only := range s.byAlg {
				alg = string(only)
			}
		}
		if keys = s.byAlg[AlgOf(alg)]; len(keys) != 1 {
			return nil
		}
	}
	for _, key := range keys {
		if key.alg == AlgOf(alg) {
			return key
		}
	}
	if len(keys) > 0 {
		return keys[0] // for the error that names the algorithm
	}
	return nil
}

// Report says how many keys were left out and why, in one line for a log; it is empty when there are
// none. It names 8 of them at most, private ones first.
func (s *KeySet) Report() string {
	if len(s.Skipped) == 0 {
		return ""
	}
	var private, others []string
	for _, skipped := range s.Skipped {
		if errors.Is(skipped.Reason, ErrPrivateKey) {
			private = append(private, skipped.String())
		} else {
			others = append(others, skipped.String())
		}
	}
	named := append(private, others...)
	if more := len(named) - maxReported; more > 0 {
		named = append(named[:maxReported], fmt.Sprintf("and %d more", more))
	}
	return fmt.Sprintf("left out %d of %d keys: %s", len(s.Skipped), len(s.Skipped)+len(s.Keys), strings.Join(named, "; "))
}

// Private reports whether the set published a private or symmetric key.
func (s *KeySet) Private() bool {
	for _, skipped := range s.Skipped {
		if errors.Is(skipped.Reason, ErrPrivateKey) {
			return true
		}
	}
	return false
}

// setReader reads the entries of a set.
type setReader struct {
	rules   *KeySetRules
	keys    []NamedKey
	skipped []Skipped
	private map[string]bool // thumbprints of the keys whose private halves are in the set
	refresh int64
}

// add reads one entry.
func (r *setReader) add(data []byte) {
	j, err := readJWK(data)
	if err != nil {
		r.skipped = append(r.skipped, Skipped{Reason: err})
		return
	}
	if j.private() {
		for _, thumbprint := range j.publishedHalves() {
			r.private[thumbprint] = true
		}
		r.skipped = append(r.skipped, Skipped{Kid: j.kid, Reason: fmt.Errorf("%w: whoever reads the set can sign with it; replace it by a new pair", ErrPrivateKey)})
		return
	}
	use := "sig"
	if r.rules.SPIFFE {
		use = useJWTSVID
	}
	key, err := j.publicKey(use, j.algOf(r.rules.Algs))
	if err == nil && r.rules.SPIFFE && j.kid == "" {
		err = fmt.Errorf("%w: a key for JWT-SVIDs has a kid", ErrKey)
	}
	if err != nil {
		r.skipped = append(r.skipped, Skipped{Kid: j.kid, Reason: err})
		return
	}
	r.keys = append(r.keys, NamedKey{Kid: j.kid, Key: key, JWK: data})
}

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

// publishedHalves returns the thumbprints of the public keys that may belong to a private JWK, which may
// be damaged or false: the one that it names, and those that its private members give for each type.
func (j *jwk) publishedHalves() []string {
	halves := j.rsaHalves()
	if pub, err := j.cryptoKey(); err == nil {
		halves = append(halves, pub)
	}
	if key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), j.d); err == nil {
		halves = append(halves, key.Public())
	}
	if len(j.d) == ed25519.SeedSize {
		halves = append(halves, ed25519.NewKeyFromSeed(j.d).Public())
	}
	var thumbprints []string
	for _, pub := range halves {
		if alg, err := KeyAlg(pub); err == nil {
			if key, err := NewPublicKey(pub, alg); err == nil {
				thumbprints = append(thumbprints, key.Thumbprint())
			}
		}
	}
	return thumbprints
}

// rsaHalves returns the RSA keys of n, and of the product of p and q, each with e and with the exponent
// that nearly all keys have.
func (j *jwk) rsaHalves() (halves []crypto.PublicKey) {
	const usual = 65537
	number := func(b []byte) *big.Int { return new(big.Int).SetBytes(b) }
	exponents := []int{usual}
	if e := number(j.e); e.BitLen() <= 31 && e.Int64() != usual {
		exponents = append(exponents, int(e.Int64()))
	}
	for _, n := range []*big.Int{number(j.n), new(big.Int).Mul(number(j.p), number(j.q))} {
		for _, e := range exponents {
			halves = append(halves, &rsa.PublicKey{N: n, E: e})
		}
	}
	return halves
}

// newKeySet makes the set of keys, without those whose thumbprints are in private.
func newKeySet(keys []NamedKey, private map[string]bool) KeySet {
	type name struct {
		kid string
		alg Alg
	}
	set := KeySet{byKid: map[string][]*PublicKey{}, byThumbprint: map[string][]*PublicKey{}, byAlg: map[Alg][]*PublicKey{}}
	thumbprints := make([]string, len(keys))
	named := map[name]map[string]bool{} // the different keys of a name
	for i, key := range keys {
		thumbprints[i] = key.Key.Thumbprint()
		at := name{key.Kid, key.Key.alg}
		if named[at] == nil {
			named[at] = map[string]bool{}
		}
		named[at][thumbprints[i]] = true
	}
	for i, key := range keys {
		switch {
		case private[thumbprints[i]]:
			set.Skipped = append(set.Skipped, Skipped{key.Kid, fmt.Errorf("%w: another entry of the set has the private half of this key", ErrPrivateKey)})
		case key.Kid != "" && len(named[name{key.Kid, key.Key.alg}]) > 1:
			set.Skipped = append(set.Skipped, Skipped{key.Kid, fmt.Errorf("%w: different keys for %s have this kid", ErrKey, key.Key.alg)})
		default:
			set.use(key, thumbprints[i])
		}
	}
	return set
}

// use adds a key, unless it is the copy of one.
func (s *KeySet) use(named NamedKey, thumbprint string) {
	for _, other := range s.Keys {
		if bytes.Equal(other.JWK, named.JWK) && other.Kid == named.Kid && other.Key.same(named.Key) {
			return
		}
	}
	s.Keys = append(s.Keys, named)
	if named.Kid == "" {
		s.byThumbprint[thumbprint] = addKey(s.byThumbprint[thumbprint], named.Key)
	} else {
		s.byKid[named.Kid] = addKey(s.byKid[named.Kid], named.Key)
	}
	s.byAlg[named.Key.alg] = addKey(s.byAlg[named.Key.alg], named.Key)
}

// addKey adds key unless keys has it.
func addKey(keys []*PublicKey, key *PublicKey) []*PublicKey {
	if slices.ContainsFunc(keys, key.same) {
		return keys
	}
	return append(keys, key)
}

// same reports whether both are one key for one algorithm.
func (k *PublicKey) same(other *PublicKey) bool {
	key, ok := k.key.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.alg == other.alg && key.Equal(other.key)
}
