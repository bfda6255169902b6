package registry

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
)

// Digest is the HMAC-SHA-256 of a secret under the installation's pepper. The
// secrets are 256 random bits of our own making, so a slow hash would only slow
// the honest.
type Digest [sha256.Size]byte

// Pepper keys the digests. It is derived from the master key and is in no store.
type Pepper []byte

// Digest hashes a secret.
func (p Pepper) Digest(secret string) Digest {
	mac := hmac.New(sha256.New, p)
	mac.Write([]byte(secret))
	return Digest(mac.Sum(nil))
}

// Equal compares in constant time.
func (d Digest) Equal(other Digest) bool { return hmac.Equal(d[:], other[:]) }

// MarshalText writes base64url.
func (d Digest) MarshalText() ([]byte, error) {
	return base64.RawURLEncoding.AppendEncode(nil, d[:]), nil
}

// UnmarshalText reads base64url.
func (d *Digest) UnmarshalText(text []byte) error {
	if base64.RawURLEncoding.DecodedLen(len(text)) == len(d) {
		if n, err := strictBase64.Decode(d[:], text); err == nil && n == len(d) {
			return nil
		}
	}
	return fmt.Errorf("a digest is %d bytes in base64url", len(d))
}

var strictBase64 = base64.RawURLEncoding.Strict()
