package jose

import (
	"bytes"
	"crypto/ecdsa"
	"errors"
)

// The order of P-256 and half of it, rounded down: FIPS 186-5, SP 800-186.
const (
	p256Order     = "\xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xbc\xe6\xfa\xad\xa7\x17\x9e\x84\xf3\xb9\xca\xc2\xfc\x63\x25\x51"
	p256HalfOrder = "\x7f\xff\xff\xff\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff\xde\x73\x7d\x56\xd3\x8b\xcf\x42\x79\xdc\xe5\x61\x7e\x31\x92\xa8"
)

// es256Size is the length of an ES256 signature, r and s of 32 bytes each (RFC 7518 section 3.4).
const es256Size = 64

// maxDER is the maximum length of an ES256 signature in DER.
const maxDER = 2 + 2*(2+33)

var errNotDER = errors.New("signer did not return a DER signature of P-256")

// verifyES256 verifies r || s. The standard library takes DER only, so the DER form is built here,
// on the stack.
func verifyES256(pub *ecdsa.PublicKey, digest, sig []byte) bool {
	if len(sig) != es256Size {
		return false
	}
	der := append(make([]byte, 0, maxDER), 0x30, 0)
	der = appendInteger(der, sig[:32])
	der = appendInteger(der, sig[32:])
	der[1] = byte(len(der) - 2)
	return ecdsa.VerifyASN1(pub, digest, der)
}

// appendInteger appends a DER INTEGER. Zero is encoded without content bytes, which the verifier
// refuses, as it must refuse zero.
func appendInteger(der, n []byte) []byte {
	n = bytes.TrimLeft(n, "\x00")
	if len(n) > 0 && n[0] >= 0x80 {
		der = append(der, 0x02, byte(len(n)+1), 0)
	} else {
		der = append(der, 0x02, byte(len(n)))
	}
	return append(der, n...)
}

// appendRaw converts a DER signature of P-256 to r || s and appends it.
func appendRaw(dst, der []byte) ([]byte, error) {
	r, s, ok := splitDER(der)
	if !ok {
		return nil, errNotDER
	}
	var raw [es256Size]byte
	copy(raw[32-len(r):32], r)
	copy(raw[64-len(s):], s)
	return append(dst, raw[:]...), nil
}

// splitDER returns the two integers of a DER signature without leading zeros. It accepts only what
// fits P-256.
func splitDER(der []byte) (r, s []byte, ok bool) {
	if len(der) < 2 || len(der) > maxDER || der[0] != 0x30 || int(der[1]) != len(der)-2 {
		return nil, nil, false
	}
	r, rest, ok := cutInteger(der[2:])
	if !ok {
		return nil, nil, false
	}
	s, rest, ok = cutInteger(rest)
	return r, s, ok && len(rest) == 0
}

// cutInteger splits one positive DER INTEGER of at most 32 bytes off der.
func cutInteger(der []byte) (n, rest []byte, ok bool) {
	if len(der) < 3 || der[0] != 0x02 || der[1] == 0 || int(der[1]) > len(der)-2 {
		return nil, nil, false
	}
	n, rest = der[2:2+der[1]], der[2+der[1]:]
	if n[0] >= 0x80 {
		return nil, nil, false
	}
	if n[0] == 0 {
		n = n[1:]
		if len(n) == 0 || n[0] < 0x80 {
			return nil, nil, false
		}
	}
	return n, rest, len(n) <= 32
}

// LooksLikeDER reports whether sig is an ECDSA signature in DER, which many libraries return
// instead of the form that a JWS carries. It serves to explain a refusal.
func LooksLikeDER(sig []byte) bool {
	_, _, ok := splitDER(sig)
	return ok
}

// CanonicalSignature returns the canonical form of a signature. Anybody can turn an ECDSA
// signature (r, s) into (r, n-s), which verifies too, so replay detection by signature must use
// one form: r || min(s, n-s). The result is sig itself if nothing changes.
func CanonicalSignature(alg Alg, sig []byte) []byte {
	if alg != ES256 || len(sig) != es256Size || string(sig[32:]) <= p256HalfOrder {
		return sig
	}
	canonical := bytes.Clone(sig)
	borrow := 0
	for i := 31; i >= 0; i-- {
		diff := int(p256Order[i]) - int(sig[32+i]) - borrow
		canonical[32+i] = byte(diff)
		borrow = (diff >> 8) & 1
	}
	return canonical
}
