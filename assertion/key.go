package assertion

import (
	"crypto"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"

	"moneyer/internal/jose"
)

// idLength characters have 126 random bits, so that an id cannot be guessed and does
// not repeat.
const idLength = 21

// NewID returns a fresh jti: 21 random characters of A-Z a-z 0-9 - and _.
func NewID() string {
	var random [16]byte
	rand.Read(random[:])
	return base64.RawURLEncoding.EncodeToString(random[:])[:idLength]
}

// GenerateKey makes a private key for an algorithm, as in NewSigner. Empty means
// ES256.
func GenerateKey(alg string) (crypto.Signer, error) {
	if alg == "" {
		alg = string(jose.ES256)
	}
	key, err := jose.GenerateKey(jose.Alg(alg))
	if err != nil {
		return nil, fmt.Errorf("assertion: %w", err)
	}
	return key, nil
}

// LoadKey reads a private key from a file, as ParseKey does.
func LoadKey(path string) (crypto.Signer, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("assertion: %w", err)
	}
	key, err := jose.ParsePrivate(data)
	if err != nil {
		return nil, fmt.Errorf("assertion: %s: %w", path, err)
	}
	return key, nil
}

// ParseKey parses a private key: PEM "PRIVATE KEY", "EC PRIVATE KEY" or "RSA PRIVATE
// KEY", as openssl writes them, or a private JWK. What a block holds counts, not its label, and
// certificates may stand beside it. Another form (DER, PKCS #12, OpenSSH ...) is refused with the
// command that turns it into PEM. It must be a P-256 key, an RSA key
// of 2048 to 4096 bits, or an Ed25519 key, and must not be encrypted.
func ParseKey(data []byte) (crypto.Signer, error) {
	key, err := jose.ParsePrivate(data)
	if err != nil {
		return nil, fmt.Errorf("assertion: %w", err)
	}
	return key, nil
}

// MarshalKey returns a private key as PEM "PRIVATE KEY" (PKCS #8), which is not
// encrypted.
func MarshalKey(key crypto.Signer) ([]byte, error) {
	pem, err := jose.MarshalPrivatePEM(key)
	if err != nil {
		return nil, fmt.Errorf("assertion: %w", err)
	}
	return pem, nil
}

// PublicPEM returns the public half of a key as PEM "PUBLIC KEY", to be registered
// with the platform.
func PublicPEM(key crypto.Signer) ([]byte, error) {
	public, err := publicKey(key)
	if err != nil {
		return nil, fmt.Errorf("assertion: %w", err)
	}
	return public.PEM(), nil
}

// Thumbprint returns the SHA-256 thumbprint of a key (RFC 7638). It is often used as
// the kid.
func Thumbprint(key crypto.Signer) (string, error) {
	public, err := publicKey(key)
	if err != nil {
		return "", fmt.Errorf("assertion: %w", err)
	}
	return public.Thumbprint(), nil
}

func publicKey(key crypto.Signer) (*jose.PublicKey, error) {
	alg, err := jose.KeyAlg(key.Public())
	if err != nil {
		return nil, err
	}
	return jose.NewPublicKey(key.Public(), alg)
}

// algFor returns alg, or the algorithm that NewSigner documents when it is empty.
func algFor(key crypto.Signer, alg string) (jose.Alg, error) {
	if alg != "" {
		return jose.Alg(alg), nil
	}
	return jose.KeyAlg(key.Public())
}
