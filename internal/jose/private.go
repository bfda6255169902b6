package jose

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
)

// generatedRSABits is the size of generated RSA keys.
const generatedRSABits = 2048

// ParsePrivate reads one private key: PEM "PRIVATE KEY" (PKCS #8), "EC PRIVATE KEY" or "RSA PRIVATE
// KEY", or a private JWK. What a block holds counts, not its label, and the text around it as little as
// for ParsePublic. Certificates, public keys and the "EC PARAMETERS" block of openssl may stand beside
// it. The key must satisfy the limits of NewPublicKey. An encrypted key is refused with
// ErrEncryptedKey.
func ParsePrivate(data []byte) (crypto.Signer, error) {
	if len(data) > maxKeyFile {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrKey, maxKeyFile)
	}
	data = withoutBOM(data)
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		return parsePrivateJWK(data)
	}
	var key crypto.Signer
	var beside string // the type of another block
	for _, block := range pemBlocks(data) {
		if block.Type == "EC PARAMETERS" || holdsCertificate(block.Type) || holdsPublic(block.Type) {
			beside = block.Type
			continue
		}
		if key != nil {
			return nil, fmt.Errorf("%w: more than one private key", ErrKey)
		}
		var err error
		if key, err = privateBlock(block); err != nil {
			return nil, err
		}
	}
	if key == nil && beside != "" {
		return nil, fmt.Errorf("%w: PEM block %q is not a private key: give the file that 'moneyer keygen' or openssl made first", ErrKey, beside)
	}
	if key == nil {
		return nil, NearMiss(data, WantPrivate)
	}
	if err := checkSigner(key); err != nil {
		return nil, err
	}
	return key, nil
}

// privateBlock parses the key of one PEM block.
func privateBlock(block *pem.Block) (crypto.Signer, error) {
	if encrypted(block) {
		return nil, fmt.Errorf("%w: take the passphrase off with: openssl pkey -in encrypted.pem -out private.pem", ErrEncryptedKey)
	}
	switch block.Type {
	case "PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY":
	default:
		if form, known := pemForms[block.Type]; known {
			return nil, form.refuse(WantPrivate)
		}
		return nil, fmt.Errorf("%w: PEM block %.64q is not a private key", ErrKey, block.Type)
	}
	key, err := parsePrivateDER(block.Bytes)
	if err != nil {
		return nil, inBlock(block, err)
	}
	return key, nil
}

// parsePrivateJWK parses a private JWK and checks that its public half belongs to the private one.
func parsePrivateJWK(data []byte) (crypto.Signer, error) {
	j, err := readJWK(data)
	if err != nil {
		return nil, err
	}
	if j.d == nil {
		return nil, fmt.Errorf("%w: JWK without a private half", ErrKey)
	}
	j.ops = nil // a private JWK has "sign" here
	want, err := j.publicKey("sig", "")
	if err != nil {
		return nil, err
	}
	key, err := j.privateKey()
	if err != nil {
		return nil, err
	}
	have, err := NewPublicKey(key.Public(), want.alg)
	if err != nil {
		return nil, err
	}
	if have.Thumbprint() != want.Thumbprint() {
		return nil, fmt.Errorf("%w: the halves of the JWK are not of one key", ErrKey)
	}
	return key, nil
}

// privateKey builds the private key of a JWK whose public half is valid.
func (j *jwk) privateKey() (crypto.Signer, error) {
	switch j.kty {
	case "EC":
		key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), j.d)
		if err != nil {
			return nil, fmt.Errorf("%w: d is not a private key of P-256", ErrKey)
		}
		return key, nil
	case "OKP":
		if len(j.d) != ed25519.SeedSize {
			return nil, fmt.Errorf("%w: d of Ed25519 has %d bytes", ErrKey, ed25519.SeedSize)
		}
		return ed25519.NewKeyFromSeed(j.d), nil
	default:
		return j.rsaPrivateKey()
	}
}

func (j *jwk) rsaPrivateKey() (crypto.Signer, error) {
	if !minimal(j.d) || !minimal(j.p) || !minimal(j.q) {
		return nil, fmt.Errorf("%w: an RSA key needs d, p and q", ErrKey)
	}
	pub, err := j.rsaKey()
	if err != nil {
		return nil, err
	}
	number := func(b []byte) *big.Int { return new(big.Int).SetBytes(b) }
	key := &rsa.PrivateKey{PublicKey: *pub, D: number(j.d), Primes: []*big.Int{number(j.p), number(j.q)}}
	if err := key.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	key.Precompute()
	return key, nil
}

// checkSigner checks the public half of a private key.
func checkSigner(key crypto.Signer) error {
	alg, err := KeyAlg(key.Public())
	if err != nil {
		return err
	}
	_, err = NewPublicKey(key.Public(), alg)
	return err
}

// GenerateKey generates a private key for alg: P-256, RSA of 2048 bits, or Ed25519.
func GenerateKey(alg Alg) (crypto.Signer, error) {
	switch alg.constant() {
	case ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case RS256, PS256:
		return rsa.GenerateKey(rand.Reader, generatedRSABits)
	case EdDSA:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	default:
		return nil, fmt.Errorf("%w: unknown algorithm %.32q", ErrWrongKeyType, string(alg))
	}
}

// MarshalPrivatePEM returns key as a PEM block "PRIVATE KEY" (RFC 5208, RFC 7468 section 10). A key
// that cannot be exported is refused.
func MarshalPrivatePEM(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
