package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"moneyer/internal/authority"
)

// pruneAtOnce is how many entries one transaction removes: few enough that the
// writer is soon free again.
const pruneAtOnce = 2048

// pruneAction is the Action of the entry that tells what Prune removed. Its
// Object is the last entry that it removed and the chain after it.
const pruneAction = "ledger.prune"

// Prune removes the entries older than before and returns how many: whole
// batches from the start of the ledger, never the last one. First it records
// which entry is the last to go, without which Verify refuses a ledger that does
// not begin with entry 1. A Prune that was cut short is finished by the next.
func (d *DB) Prune(ctx context.Context, before time.Time) (int64, error) {
	if err := d.maintain(ctx); err != nil {
		return 0, err
	}
	defer d.maintained()
	first, keep, err := d.pruneRange(ctx, before)
	if err != nil || first == keep {
		return 0, err
	}
	if err := d.writer.do(ctx, func(t *tx) error { return t.writeAnchor(keep, d.now()) }); err != nil {
		return 0, err
	}
	for from := first; from < keep; {
		to := min(from+pruneAtOnce, keep)
		err := d.writer.do(ctx, func(t *tx) error {
			_, err := t.exec(`DELETE FROM ledger_batch WHERE first_seq < $1`, to)
			return err
		})
		if err != nil {
			return from - first, err
		}
		from = to
	}
	return keep - first, nil
}

// pruneRange finds where the ledger begins and the first batch that is to stay.
func (d *DB) pruneRange(ctx context.Context, before time.Time) (first, keep int64, err error) {
	var last int64
	err = d.reads.row(ctx, `SELECT coalesce(min(first_seq), 0), coalesce(max(first_seq), 0) FROM ledger_batch`,
		nil, []any{&first, &last})
	if err != nil {
		return 0, 0, err
	}
	err = d.reads.row(ctx, `SELECT coalesce(min(first_seq), $2) FROM ledger_batch WHERE time_max >= $1`,
		[]any{before.UnixMilli(), last}, []any{&keep})
	return first, keep, err
}

// anchor names the last entry that Prune removed, and the chain after it.
type anchor struct {
	seq  int64
	hash [sha256.Size]byte
}

// writeAnchor records that all before entry keep, the first of its batch, may go.
func (t *tx) writeAnchor(keep int64, now time.Time) error {
	var previous []byte
	err := t.row(`SELECT previous FROM ledger_batch WHERE first_seq = $1`, []any{keep}, []any{&previous})
	if err != nil {
		return err
	}
	l, err := encode(&authority.Entry{
		Kind:   authority.EntryAdmin,
		Time:   now,
		Actor:  "moneyer",
		Action: pruneAction,
		Object: fmt.Sprintf("%d %x", keep-1, previous),
	})
	if err != nil {
		return err
	}
	return t.recordLines([]line{l})
}

// readAnchor reads the anchor that a record holds, if it holds one.
func readAnchor(r *authority.Record) (a anchor, ok bool) {
	if !bytes.Contains(r.Line, []byte(`"`+pruneAction+`"`)) {
		return a, false
	}
	e, err := r.Entry()
	if err != nil || e.Kind != authority.EntryAdmin || e.Action != pruneAction {
		return a, false
	}
	var text string
	if _, err := fmt.Sscanf(e.Object, "%d %s", &a.seq, &text); err != nil {
		return a, false
	}
	hash, err := hex.DecodeString(text)
	if err != nil || len(hash) != sha256.Size {
		return a, false
	}
	a.hash = [sha256.Size]byte(hash)
	return a, true
}
