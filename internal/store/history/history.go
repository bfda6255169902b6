// Package history reads the ledger of a store: it finds its chains, selects entries, and
// is a source for the verifier in package ledger. It needs only a reader, so it works for
// an open store, a backup and the target of a copy.
//
// It writes nothing, and does not verify: package ledger does. It defines the encoding of
// a batch, the row with the entries of one commit, which package store writes by
// [Packer.Row].
package history

import (
	"moneyer/internal/store/engine"
)

// Ledger is the ledger of a store, for reading.
type Ledger struct {
	reads  *engine.Reader
	packer *Packer
}

// New returns a ledger that reads from reads and decodes batches with packer.
func New(reads *engine.Reader, packer *Packer) *Ledger { return &Ledger{reads, packer} }
