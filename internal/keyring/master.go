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
	"io/fs"
	"slices"
	"strings"

	"moneyer/internal/registry"
	"moneyer/internal/rowauth"
	"moneyer/internal/secrettext"
)

// masterSize is the length of a master key in bytes.
const masterSize = 32

// MasterKey is the secret of an installation: 32 random bytes kept outside the store, from which
// all keys that protect the store are derived. It prints as a placeholder with every format; only
// Text returns the secret.
type MasterKey struct {
	key    [masterSize]byte
	sealer cipher.AEAD
	pepper registry.Pepper
	check  []byte
	head   []byte
	// checkpoint signs the checkpoints of the ledger.
	checkpoint ed25519.PrivateKey
	rows       *rowauth.Key
	sessions   []byte
}

// NewMasterKey generates a master key.
func NewMasterKey() (*MasterKey, error) {
	var key [masterSize]byte
	rand.Read(key[:]) // never fails
	return newMasterKey(key)
}

// ParseMasterKey reads a master key in base64url or base64, padded or not, or in hex. A trailing
// line end is ignored.
func ParseMasterKey(text string) (*MasterKey, error) {
	const is = "a master key is %d bytes in base64url, base64 (43 or 44 characters) or hex (64 characters)"
	text, err := secrettext.Parse([]byte(text))
	if err != nil {
		return nil, fmt.Errorf(is+", and this cannot be one: %w", masterSize, err)
	}
	key, err := decodeMaster(text)
	switch {
	case err != nil || len(key) != masterSize:
		return nil, fmt.Errorf(is+"; these %d characters are not", masterSize, len(text))
	case bytes.Count(key, key[:1]) == masterSize:
		return nil, errors.New("a master key is random; this one is one byte repeated")
	}
	return newMasterKey([masterSize]byte(key))
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
	text, err := readPrivate(path, ownerOnly)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("master key: %w: restore your copy of it; for a first start `moneyer init` makes one", err)
	}
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	m, err := ParseMasterKey(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// newMasterKey derives one key for each purpose (RFC 5869). The infos keep them independent: one
// derived key reveals nothing about the others.
func newMasterKey(key [masterSize]byte) (*MasterKey, error) {
	derive := func(info string, size int) ([]byte, error) {
		return hkdf.Key(sha256.New, key[:], nil, info, size)
	}
	seal, err1 := derive("moneyer seal v1", 32)
	pepper, err2 := derive("moneyer pepper v1", 32)
	check, err3 := derive("moneyer check v1", 16)
	checkpoint, err4 := derive("moneyer checkpoint v1", ed25519.SeedSize)
	rowSecret, err5 := derive("moneyer rows v1", 32)
	head, err6 := derive("moneyer head v1", sha256.Size)
	sessions, err7 := derive("moneyer sessions v1", 32)
	if err := errors.Join(err1, err2, err3, err4, err5, err6, err7); err != nil {
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
	rows, err := rowauth.NewKey([32]byte(rowSecret))
	if err != nil {
		return nil, err
	}
	return &MasterKey{key: key, sealer: sealer, pepper: pepper, check: check, head: head, checkpoint: ed25519.NewKeyFromSeed(checkpoint), rows: rows, sessions: sessions}, nil
}

// Text returns the master key in base64url, which ParseMasterKey reads.
func (m *MasterKey) Text() string { return base64.RawURLEncoding.EncodeToString(m.key[:]) }

// Pepper returns the key for the digests of client secrets.
func (m *MasterKey) Pepper() registry.Pepper { return bytes.Clone(m.pepper) }

// HeadKey returns the key for the MAC of the note of the ledger's head beside a store.
func (m *MasterKey) HeadKey() []byte { return bytes.Clone(m.head) }

// SessionKey returns the key from which those of TLS session tickets are derived.
func (m *MasterKey) SessionKey() []byte { return bytes.Clone(m.sessions) }

// RowKey returns the key that authenticates the rows of the store.
func (m *MasterKey) RowKey() *rowauth.Key { return m.rows }

// Check returns a fingerprint of the master key that reveals nothing about it. It is stored, so
// that a start with the wrong master key is detected.
func (m *MasterKey) Check() string { return base64.RawURLEncoding.EncodeToString(m.check) }

// SignCheckpoint signs the message of a ledger checkpoint with Ed25519 (RFC 8032).
func (m *MasterKey) SignCheckpoint(message []byte) ([]byte, error) {
	return m.checkpoint.Sign(nil, message, crypto.Hash(0))
}

// CheckpointKey returns the public key that verifies checkpoints.
func (m *MasterKey) CheckpointKey() ed25519.PublicKey {
	return slices.Clone(ed25519.PublicKey(m.checkpoint[ed25519.SeedSize:]))
}

// Format prints a placeholder for every verb.
func (MasterKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[master key]") }
