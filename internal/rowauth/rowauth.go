// Package rowauth authenticates the rows of a store that decide who may sign, who may get
// a token and what was revoked, under a key that the store does not hold: each row by a
// MAC, and all of them together by a sum that tells a deleted row, and one that was set
// back to an earlier state.
//
// It is not encryption: rows stay readable. It reads and writes no store, and does not
// derive its key: package keyring does, from the master key.
//
// RFC 2104 (HMAC), RFC 5869 (HKDF).
package rowauth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
)

// Kind is what a row holds. It is part of the MAC, and ledger entries name rows by it.
type Kind string

// The kinds of rows.
const (
	Client      Kind = "client"
	Account     Kind = "account"
	Item        Kind = "item"
	SigningKeys Kind = "signing-keys"
	Revocation  Kind = "revocation"
)

// Row is all of a row that its MAC covers. What else the table has, such as columns for
// an index, follows from it.
type Row struct {
	Name
	// Revision counts the changes of the row; 0 for kinds that do not count them.
	Revision int64
	// Document is the row's contents: see Fields for a row that has no document.
	Document []byte
}

// Fields encodes the columns of a row that has no document. Different lists have different
// encodings.
func Fields(values ...string) []byte {
	var dst []byte
	for _, value := range values {
		dst = appendField(dst, value)
	}
	return dst
}

// Key authenticates rows. It prints as a placeholder with every format. Its methods are
// safe for concurrent use.
type Key struct {
	row, term, statement []byte
	state                cipher.AEAD
}

// NewKey derives the keys for each purpose from a secret that the store does not hold.
func NewKey(secret [32]byte) (*Key, error) {
	k := &Key{}
	var state []byte
	for _, derived := range []struct {
		info string
		to   *[]byte
	}{{"row", &k.row}, {"term", &k.term}, {"statement", &k.statement}, {"state", &state}} {
		var err error
		if *derived.to, err = hkdf.Expand(sha256.New, secret[:], derived.info, sha256.Size); err != nil {
			return nil, fmt.Errorf("deriving the keys for rows: %w", err)
		}
	}
	block, err := aes.NewCipher(state)
	if err != nil {
		return nil, err
	}
	k.state, err = cipher.NewGCMWithRandomNonce(block)
	return k, err
}

// MAC returns the HMAC-SHA-256 of a row. Every field is preceded by its length, so that
// no two rows have the same encoding.
func (k *Key) MAC(r *Row) []byte {
	dst := make([]byte, 0, 128+len(r.Document))
	dst = appendField(dst, string(r.Kind))
	dst = appendField(dst, r.Issuer)
	dst = appendField(dst, r.ID)
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.Revision)) //nolint:gosec // the bits alone matter
	return sum(k.row, appendField(dst, r.Document))
}

// Verify reports whether mac is the MAC of the row.
func (k *Key) Verify(r *Row, mac []byte) bool { return hmac.Equal(k.MAC(r), mac) }

// Format prints a placeholder for every verb.
func (Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[row key]") }

func appendField[T string | []byte](dst []byte, field T) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(len(field)))
	return append(dst, field...)
}

func sum(key, message []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(message)
	return mac.Sum(nil)
}
