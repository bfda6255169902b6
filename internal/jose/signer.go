package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"moneyer/internal/openssl"
	"moneyer/internal/strictjson"
)

// Signer signs compact JWS with one key, one algorithm and one header. It is safe for concurrent
// use if its crypto.Signer is.
type Signer struct {
	key    crypto.Signer
	random io.Reader
	public *PublicKey
	kid    string
	prefix []byte // the encoded header and the dot after it
}

// NewSigner returns a Signer for any crypto.Signer, in memory or in hardware. The header has alg,
// typ and kid, in this order; an empty typ or kid is left out.
func NewSigner(key crypto.Signer, alg Alg, kid, typ string) (*Signer, error) {
	if key == nil {
		return nil, fmt.Errorf("%w: none given", ErrKey)
	}
	public, err := NewPublicKey(key.Public(), alg)
	if err != nil {
		return nil, err
	}
	alg = public.alg
	if len(kid) > maxName || len(typ) > maxName || !utf8.ValidString(kid) || !utf8.ValidString(typ) {
		return nil, fmt.Errorf("%w: kid and typ are UTF-8 of at most %d bytes", ErrHeader, maxName)
	}
	key = openssl.Signer(key, alg.signerOpts())
	return &Signer{key: key, random: randomFor(key), public: public, kid: kid, prefix: headerPrefix(alg, kid, typ)}, nil
}

// randomFor returns the source of randomness for signatures of key: none for an ECDSA key that Go has in
// memory, which makes its signatures deterministic, as RFC 8725 section 3.2 recommends (RFC 6979). That
// also takes a sixth less time.
func randomFor(key crypto.Signer) io.Reader {
	if _, ok := key.(*ecdsa.PrivateKey); ok {
		return nil
	}
	return rand.Reader
}

// As returns a Signer with the same key and another typ, for documents other than access tokens
// that must not be mistaken for one (RFC 8725 section 3.11).
func (s *Signer) As(typ string) *Signer {
	return &Signer{key: s.key, random: s.random, public: s.public, kid: s.kid, prefix: headerPrefix(s.public.alg, s.kid, typ)}
}

// headerPrefix encodes the header and the dot after it.
func headerPrefix(alg Alg, kid, typ string) []byte {
	header := append([]byte(`{"alg":"`), alg...)
	header = append(header, '"')
	if typ != "" {
		header = append(header, `,"typ":`...)
		header = strictjson.AppendString(header, typ)
	}
	if kid != "" {
		header = append(header, `,"kid":`...)
		header = strictjson.AppendString(header, kid)
	}
	header = append(header, '}')
	prefix := base64.RawURLEncoding.AppendEncode(nil, header)
	return append(prefix, '.')
}

// Alg returns the algorithm of the header.
func (s *Signer) Alg() Alg { return s.public.alg }

// Kid returns the kid of the header, which may be empty.
func (s *Signer) Kid() string { return s.kid }

// Public returns the public half of the key.
func (s *Signer) Public() *PublicKey { return s.public }

// Sign appends the compact JWS of payload to dst (RFC 7515 section 5.1). A result longer than
// MaxLength, which Parse would refuse, is an error.
func (s *Signer) Sign(dst, payload []byte) ([]byte, error) {
	return s.sign(dst, payload, MaxLength)
}

// SignDocument signs a document of up to MaxDocument bytes, which ParseDocument reads.
func (s *Signer) SignDocument(payload []byte) ([]byte, error) {
	return s.sign(nil, payload, MaxDocument)
}

func (s *Signer) sign(dst, payload []byte, most int) ([]byte, error) {
	start := len(dst)
	dst = append(dst, s.prefix...)
	dst = base64.RawURLEncoding.AppendEncode(dst, payload)
	var buf [maxRSABits / 8]byte
	sig, err := s.signature(buf[:0], dst[start:])
	if err != nil {
		return nil, err
	}
	dst = append(dst, '.')
	dst = base64.RawURLEncoding.AppendEncode(dst, sig)
	if len(dst)-start > most {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrMalformed, most)
	}
	return dst, nil
}

// signerOpts returns the options for the crypto.Signer.
func (a Alg) signerOpts() crypto.SignerOpts {
	switch a {
	case PS256:
		return pssOptions()
	case EdDSA:
		return crypto.Hash(0)
	default:
		return crypto.SHA256
	}
}

// signature returns the JWS signature of input. buf is used if the signature has to be converted.
func (s *Signer) signature(buf, input []byte) ([]byte, error) {
	message := input
	if s.public.alg != EdDSA {
		digest := sha256.Sum256(input)
		message = digest[:]
	}
	sig, err := s.key.Sign(s.random, message, s.public.alg.signerOpts())
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	if s.public.alg == ES256 {
		return appendRaw(buf, sig)
	}
	if len(sig) == 0 {
		return nil, errors.New("signer returned no signature")
	}
	return sig, nil
}
