// Package history reads the ledger of a store: it finds its chains, selects entries, and
// is a source for the verifier in package ledger. It needs nothing but a reader, so it
// serves an open store, a backup and the target of a copy alike.
//
// It writes nothing, and does not say when a ledger is whole: package ledger does. It has the form of a batch, one row for the entries of a commit,
// which package store writes through [Packer.Row].
package history

import (
	"moneyer/internal/store/engine"
)

// Ledger is the ledger of a store, for reading.
type Ledger struct {
	reads  *engine.Reader
	packer *Packer
}

// New returns the ledger that reads reads and whose batches packer packed.
func New(reads *engine.Reader, packer *Packer) *Ledger { return &Ledger{reads, packer} }
