package jose

import (
	"encoding/base64"
	"fmt"
	"strings"

	"moneyer/internal/strictjson"
)

// MaxLength is the length of the longest token that is read or written, and
// MaxDocument of the longest document that an issuer signs beside its tokens.
const (
	MaxLength   = 8 << 10
	MaxDocument = 4 << 20
)

// maxName bounds kid, typ and alg.
const maxName = 256

// JWS is a compact JWS whose form was checked. Nothing in it may be believed
// before Verify, but Header.Kid may select the key.
type JWS struct {
	Header       Header
	SigningInput []byte
	Payload      []byte
	Signature    []byte
}

// Header holds the header members that this package understands (RFC 7515
// section 4.1). Kid and Typ are empty when they are absent.
type Header struct {
	Alg string
	Kid string
	Typ string
}

// Parse reads a compact JWS (RFC 7515 section 5.2 up to the signature). There
// is one spelling of every token: the alphabet of base64url and exactly two
// dots, no padding, no white space, no stray bits. The error wraps ErrMalformed
// or ErrHeader.
func Parse(compact string) (*JWS, error) { return parse(compact, MaxLength) }

// ParseDocument is Parse for what SignDocument made.
func ParseDocument(compact string) (*JWS, error) { return parse(compact, MaxDocument) }

func parse(compact string, most int) (*JWS, error) {
	first, second, err := dots(compact, most)
	if err != nil {
		return nil, err
	}
	buf := make([]byte, 0, len(compact)+base64.RawURLEncoding.DecodedLen(len(compact)))
	src := append(buf, compact...)
	header, buf, err := decodePart(src, src[:first], "header")
	if err != nil {
		return nil, err
	}
	payload, buf, err := decodePart(buf, src[first+1:second], "payload")
	if err != nil {
		return nil, err
	}
	sig, _, err := decodePart(buf, src[second+1:], "signature")
	if err != nil {
		return nil, err
	}
	if len(sig) == 0 {
		return nil, fmt.Errorf("%w: no signature", ErrMalformed)
	}
	j := &JWS{SigningInput: src[:second:second], Payload: payload, Signature: sig}
	if j.Header, err = parseHeader(header); err != nil {
		return nil, err
	}
	return j, nil
}

// dots bounds compact, checks its alphabet and returns where its two dots are.
func dots(compact string, most int) (first, second int, err error) {
	if len(compact) > most {
		return 0, 0, fmt.Errorf("%w: longer than %d octets", ErrMalformed, most)
	}
	first, second = -1, -1
	for i := range len(compact) {
		switch c := compact[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		case c == '.' && first < 0:
			first = i
		case c == '.' && second < 0:
			second = i
		case c == '.':
			return 0, 0, fmt.Errorf("%w: more than two dots", ErrMalformed)
		default:
			return 0, 0, fmt.Errorf("%w: octet %d is none of A-Z a-z 0-9 . _ -", ErrMalformed, i)
		}
	}
	if second < 0 {
		return 0, 0, fmt.Errorf("%w: fewer than two dots", ErrMalformed)
	}
	return first, second, nil
}

// decodePart decodes src to the end of buf and returns both.
func decodePart(buf, src []byte, what string) (part, rest []byte, err error) {
	decoded, err := strictBase64.AppendDecode(buf, src)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %s is not strict base64url", ErrMalformed, what)
	}
	return decoded[len(buf):len(decoded):len(decoded)], decoded, nil
}

// parseHeader reads the header. A member that asks for other processing, or
// that brings its own key, is refused; a member that only informs is ignored.
func parseHeader(data []byte) (Header, error) {
	var h Header
	hasAlg := false
	err := strictjson.Object(data, strictjson.Limits{}, func(name string, v strictjson.Value) (err error) {
		switch name {
		case "alg":
			hasAlg = true
			h.Alg, err = boundedText(v, maxName)
		case "kid":
			h.Kid, err = boundedText(v, maxName)
		case "typ":
			h.Typ, err = boundedText(v, maxName)
		case "crit", "b64", "zip", "enc", "jwk", "jku", "x5u", "x5c":
			return fmt.Errorf("member %q is refused", name)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	switch {
	case err != nil:
		return Header{}, fmt.Errorf("%w: %w", ErrHeader, err)
	case !hasAlg:
		return Header{}, fmt.Errorf("%w: no alg", ErrHeader)
	case h.Alg == "" || strings.EqualFold(h.Alg, "none"):
		return Header{}, fmt.Errorf("%w: alg %q is refused", ErrHeader, h.Alg)
	}
	return h, nil
}

// boundedText reads a string of at most limit octets.
func boundedText(v strictjson.Value, limit int) (string, error) {
	text, err := v.Text()
	if err != nil {
		return "", err
	}
	if len(text) > limit {
		return "", fmt.Errorf("longer than %d octets", limit)
	}
	return text, nil
}

// Verify checks that the header names the algorithm of k (ErrAlgMismatch) and
// that the signature is one of k (ErrSignature).
func (j *JWS) Verify(k *PublicKey) error {
	if j.Header.Alg != string(k.alg) {
		return fmt.Errorf("%w: header says %.32q, key is for %s", ErrAlgMismatch, j.Header.Alg, k.alg)
	}
	return k.Verify(j.SigningInput, j.Signature)
}
