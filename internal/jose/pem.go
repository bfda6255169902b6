package jose

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
)

// errRegisterPublic refuses a private key and says how to get the public one.
var errRegisterPublic = fmt.Errorf(
	"%w: register the public half only, made with: openssl ec -in private.pem -pubout (openssl pkey for RSA and Ed25519)",
	ErrPrivateKey)

// ParsePublic reads a public key in the encodings in which it is commonly sent: PEM "PUBLIC KEY" as
// written by `openssl ec -pubout`, "RSA PUBLIC KEY", "CERTIFICATE", or a JWK. Text around a PEM
// block, an "EC PARAMETERS" block, CR LF and blanks at the ends of lines are ignored. The result
// includes the kid of a JWK. With an empty alg the key is bound to the default algorithm of its
// type.
//
// Input that contains a private key is refused with ErrPrivateKey, several different keys with
// ErrKey. Of a certificate only the key is used: names, dates and issuer are not checked.
func ParsePublic(data []byte, alg Alg) (key *PublicKey, kid string, err error) {
	if len(data) > maxKeyFile {
		return nil, "", fmt.Errorf("%w: longer than %d bytes", ErrKey, maxKeyFile)
	}
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		return ParseJWK(data, alg)
	}
	// This precedes any decoding, so that a damaged private key is reported as one too.
	if bytes.Contains(data, []byte("PRIVATE KEY-----")) {
		return nil, "", errRegisterPublic
	}
	for _, block := range pemBlocks(data) {
		if block.Type == "EC PARAMETERS" {
			continue
		}
		next, err := publicBlock(block, alg)
		if err != nil {
			return nil, "", err
		}
		if key != nil && key.Thumbprint() != next.Thumbprint() {
			return nil, "", fmt.Errorf("%w: several different keys in one text", ErrKey)
		}
		key = next
	}
	if key == nil {
		return nil, "", fmt.Errorf("%w: neither a PEM block nor a JWK", ErrKey)
	}
	return key, "", nil
}

// pemBlocks returns the PEM blocks of data. Blanks around each line are removed first, which RFC
// 7468 section 2 allows.
func pemBlocks(data []byte) []*pem.Block {
	var lines []byte
	for line := range bytes.Lines(data) {
		lines = append(lines, bytes.TrimSpace(line)...)
		lines = append(lines, '\n')
	}
	var blocks []*pem.Block
	for block, rest := pem.Decode(lines); block != nil; block, rest = pem.Decode(rest) {
		blocks = append(blocks, block)
	}
	return blocks
}

// publicBlock parses the key of one PEM block.
func publicBlock(block *pem.Block, alg Alg) (*PublicKey, error) {
	var (
		pub crypto.PublicKey
		err error
	)
	switch block.Type {
	case "PUBLIC KEY":
		pub, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		pub, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var cert *x509.Certificate
		if cert, err = x509.ParseCertificate(block.Bytes); err == nil {
			pub = cert.PublicKey
		}
	default:
		return nil, fmt.Errorf("%w: PEM block %.64q is not a public key", ErrKey, block.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: PEM block %q: %w", ErrKey, block.Type, err)
	}
	if alg == "" {
		if alg, err = KeyAlg(pub); err != nil {
			return nil, err
		}
	}
	return NewPublicKey(pub, alg)
}

// encrypted reports whether a PEM block holds a key encrypted with a passphrase, in PKCS #8 or RFC
// 1423 form.
func encrypted(block *pem.Block) bool {
	return block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED")
}
