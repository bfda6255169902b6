package jose

import (
	"encoding/base64"
	"fmt"
	"strings"

	"moneyer/internal/strictjson"
)

// MaxLength is the maximum length of a token, and MaxDocument that of other signed documents, in
// bytes.
const (
	MaxLength   = 8 << 10
	MaxDocument = 4 << 20
)

// maxName bounds kid, typ and alg.
const maxName = 256

// JWS is a parsed compact JWS. Its content is not authenticated before Verify; only Header.Kid may
// be used earlier, to select the key.
type JWS struct {
	Header       Header
	SigningInput []byte
	Payload      []byte
	Signature    []byte
}

// Header holds the supported header members (RFC 7515 section 4.1). Kid and Typ are empty if
// absent. Alg is "EdDSA" also where the header says "Ed25519" (RFC 9864 section 2.2).
type Header struct {
	Alg string
	Kid string
	Typ string
}

// Parse reads a compact JWS (RFC 7515 section 5.2 up to the signature). It accepts exactly one
// encoding of a token: the base64url alphabet and two dots, no padding, no white space, no non-zero
// trailing bits. The error wraps ErrMalformed or ErrHeader.
func Parse(compact string) (*JWS, error) { return parse(compact, MaxLength) }

// ParseDocument is Parse for the output of SignDocument.
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

// dots checks the length and the alphabet of compact and returns the positions of its two dots.
func dots(compact string, most int) (first, second int, err error) {
	if len(compact) > most {
		return 0, 0, fmt.Errorf("%w: longer than %d bytes", ErrMalformed, most)
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
			return 0, 0, fmt.Errorf("%w: byte %d is none of A-Z a-z 0-9 . _ -", ErrMalformed, i)
		}
	}
	if second < 0 {
		return 0, 0, fmt.Errorf("%w: fewer than two dots", ErrMalformed)
	}
	return first, second, nil
}

// decodePart decodes src, appending to buf, and returns the decoded part and the new buf.
func decodePart(buf, src []byte, what string) (part, rest []byte, err error) {
	decoded, err := strictBase64.AppendDecode(buf, src)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %s is not strict base64url", ErrMalformed, what)
	}
	return decoded[len(buf):len(decoded):len(decoded)], decoded, nil
}

// parseHeader parses the header. A member that changes the processing or contains a key is refused;
// other unknown members are ignored.
func parseHeader(data []byte) (Header, error) {
	var h Header
	hasAlg := false
	err := strictjson.Object(data, strictjson.Limits{}, func(name string, v strictjson.Value) (err error) {
		switch name {
		case "alg":
			hasAlg = true
			h.Alg, err = boundedText(v, maxName)
			h.Alg = string(AlgOf(h.Alg))
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

// boundedText reads a string of at most limit bytes.
func boundedText(v strictjson.Value, limit int) (string, error) {
	text, err := v.Text()
	if err != nil {
		return "", err
	}
	if len(text) > limit {
		return "", fmt.Errorf("longer than %d bytes", limit)
	}
	return text, nil
}

// Verify checks that the header names the algorithm of k (ErrAlgMismatch) and that k verifies the
// signature (ErrSignature).
func (j *JWS) Verify(k *PublicKey) error {
	if j.Header.Alg != string(k.alg) {
		return fmt.Errorf("%w: header says %.32q, key is for %s", ErrAlgMismatch, j.Header.Alg, k.alg)
	}
	return k.Verify(j.SigningInput, j.Signature)
}
