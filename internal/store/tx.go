package store

import (
	"errors"

	"moneyer/internal/ledger"
	"moneyer/internal/rowauth"
	"moneyer/internal/store/engine"
	"moneyer/internal/store/history"
)

// tx is one transaction of the writer.
type tx struct {
	engine.Session
	engine.Tx
	packer *history.Packer
	rows   *rowauth.Key
	rowChanges
	// seen is the newest revision of the registry that this process knows: an earlier one
	// was set back. revision is that of this transaction, or 0.
	seen, revision int64
	// touched is set if registry_state was written without a row.
	touched bool
}

// run runs change in a transaction. After any failure, also of Begin, the session can be
// used for the next.
func (t *tx) run(change func(*tx) error) error {
	err := t.Begin(&t.Tx)
	if err == nil {
		err = change(t)
	}
	if err == nil {
		err = t.Commit(&t.Tx)
	}
	if doubtful := (*engine.Doubt)(nil); err != nil && !errors.As(err, &doubtful) {
		t.Rollback()
	}
	return err
}

// changed adds to the changes of the transaction.
func (t *tx) changed(kind engine.ChangeKind, issuer, id string) {
	t.Changes = append(t.Changes, engine.Change{Kind: kind, Issuer: issuer, ID: id})
}

// recordEntries adds the entries to the chain as one batch.
func (t *tx) recordEntries(entries ...*ledger.Entry) error {
	lines := make([]engine.Line, len(entries))
	for i, e := range entries {
		var err error
		if lines[i], err = engine.Encode(e); err != nil {
			return err
		}
	}
	return t.recordLines(lines)
}

// recordLines adds the lines to the chain as one batch.
func (t *tx) recordLines(lines []engine.Line) error {
	if len(lines) == 0 {
		return nil
	}
	row := t.packer.Row(&t.Head, lines)
	t.First = row.First
	return t.Record(&t.Tx, row)
}
