package jose

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"moneyer/internal/strictjson"
)

// ParseConfirmation reads the cnf of an access token that is bound to a client certificate (RFC
// 7800 section 3.1, RFC 8705 section 3.1) and returns the SHA-256 digest of the certificate. The
// object must have the one member x5t#S256: a token whose binding cannot be checked must not be
// accepted. The error wraps ErrClaims.
func ParseConfirmation(cnf []byte) (certificate [sha256.Size]byte, err error) {
	const member = "x5t#S256"
	found := false
	err = strictjson.Object(cnf, strictjson.Limits{Members: 1}, func(name string, v strictjson.Value) error {
		if name != member {
			return fmt.Errorf("the member %.40q, which cannot be checked", name)
		}
		text, err := boundedText(v, base64.RawURLEncoding.EncodedLen(sha256.Size))
		if err != nil {
			return fmt.Errorf("%s: %w", member, err)
		}
		digest, err := base64.RawURLEncoding.Strict().DecodeString(text)
		if err != nil || copy(certificate[:], digest) != sha256.Size {
			return fmt.Errorf("%s is not the digest of a certificate", member)
		}
		found = true
		return nil
	})
	if err == nil && !found {
		err = fmt.Errorf("no member %s", member)
	}
	if err != nil {
		return certificate, fmt.Errorf("%w: cnf: %w", ErrClaims, err)
	}
	return certificate, nil
}
