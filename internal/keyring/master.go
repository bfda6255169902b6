package keyring

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"moneyer/internal/registry"
)

// masterSize is the length of a master key in octets.
const masterSize = 32

// MasterKey is the one secret of an installation: 32 random octets outside the
// store, from which everything that protects the store is derived. It prints as
// a placeholder in every format; only Text gives it away.
type MasterKey struct {
	octets [masterSize]byte
	sealer cipher.AEAD
	pepper registry.Pepper
	check  []byte
	// checkpoint signs the ledger's checkpoints.
	checkpoint ed25519.PrivateKey
}

// NewMasterKey makes a new one.
func NewMasterKey() (*MasterKey, error) {
	var octets [masterSize]byte
	rand.Read(octets[:]) // never fails
	return newMasterKey(octets)
}

// ParseMasterKey reads a master key as base64url or base64, padded or not, or as
// hex. A line end after it does no harm.
func ParseMasterKey(text string) (*MasterKey, error) {
	text = strings.TrimRight(text, "\r\n")
	octets, err := decodeMaster(text)
	switch {
	case err != nil || len(octets) != masterSize:
		return nil, fmt.Errorf("a master key is %d octets in base64url, base64 (43 or 44 characters) or hex (64 characters);"+
			" these %d characters are not", masterSize, len(text))
	case bytes.Count(octets, octets[:1]) == masterSize:
		return nil, errors.New("a master key is random; this one is one octet repeated")
	}
	return newMasterKey([masterSize]byte(octets))
}

func decodeMaster(text string) ([]byte, error) {
	if len(text) == hex.EncodedLen(masterSize) {
		return hex.DecodeString(text)
	}
	text = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimSuffix(text, "="))
	return base64.RawStdEncoding.Strict().DecodeString(text)
}

// ReadMasterKey reads a master key from a file that only its owner may read.
func ReadMasterKey(path string) (*MasterKey, error) {
	text, err := readPrivate(path)
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	m, err := ParseMasterKey(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// newMasterKey derives what the key is for (RFC 5869). The infos part the
// purposes: to know one of the derived keys is to know nothing of the others.
func newMasterKey(octets [masterSize]byte) (*MasterKey, error) {
	derive := func(info string, size int) ([]byte, error) {
		return hkdf.Key(sha256.New, octets[:], nil, info, size)
	}
	seal, err1 := derive("moneyer seal v1", 32)
	pepper, err2 := derive("moneyer pepper v1", 32)
	check, err3 := derive("moneyer check v1", 16)
	checkpoint, err4 := derive("moneyer checkpoint v1", ed25519.SeedSize)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, fmt.Errorf("deriving from the master key: %w", err)
	}
	block, err := aes.NewCipher(seal)
	if err != nil {
		return nil, err
	}
	sealer, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &MasterKey{octets: octets, sealer: sealer, pepper: pepper, check: check, checkpoint: ed25519.NewKeyFromSeed(checkpoint)}, nil
}

// Text returns the master key in base64url, as ParseMasterKey reads it.
func (m *MasterKey) Text() string { return base64.RawURLEncoding.EncodeToString(m.octets[:]) }

// Pepper returns the key of the digests of client secrets.
func (m *MasterKey) Pepper() registry.Pepper { return bytes.Clone(m.pepper) }

// Check returns a fingerprint that tells master keys apart and tells nothing of
// them. Kept in the store, it lets a start under the wrong master key be noticed.
func (m *MasterKey) Check() string { return base64.RawURLEncoding.EncodeToString(m.check) }

// SignCheckpoint signs the message of a checkpoint of the ledger with Ed25519
// (RFC 8032).
func (m *MasterKey) SignCheckpoint(message []byte) ([]byte, error) {
	return m.checkpoint.Sign(nil, message, crypto.Hash(0))
}

// CheckpointKey is the public half of the key that signs checkpoints. Whoever has
// it can check them, and sign none.
func (m *MasterKey) CheckpointKey() ed25519.PublicKey {
	return slices.Clone(ed25519.PublicKey(m.checkpoint[ed25519.SeedSize:]))
}

// Format prints a placeholder, whatever the verb.
func (MasterKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[master key]") }
