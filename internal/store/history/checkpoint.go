package history

import (
	"bytes"
	"context"
	"errors"

	"moneyer/internal/ledger"
)

// Checkpoint is a checkpoint of a chain, and the entry that it is.
type Checkpoint struct {
	Number int64
	Head   ledger.Head
}

// LastCheckpoint returns the last checkpoint of a chain up to entry last; zero if there is
// none. It reads the chain backwards, and does not verify it.
func (l *Ledger) LastCheckpoint(ctx context.Context, last int64) (found Checkpoint, err error) {
	err = l.backwards(ctx, last, func(b *Batch) (more bool) {
		found = b.checkpoint(true)
		return found.Number == 0
	})
	return found, err
}

// LastStatement returns the last statement of the registry in a chain, up to entry last,
// that accept accepts; "" if there is none. It reads the chain backwards, and does not
// verify it.
func (l *Ledger) LastStatement(ctx context.Context, last int64, accept func(statement string) bool) (found string, err error) {
	err = l.backwards(ctx, last, func(b *Batch) (more bool) {
		for i := len(b.Lines) - 1; i >= 0 && found == ""; i-- {
			r := ledger.Record{Seq: b.First + int64(i), Line: b.Lines[i]}
			if !bytes.Contains(r.Line, []byte(`"registry":"`)) {
				continue
			}
			if e, err := r.Entry(); err == nil && (e.Kind == ledger.KindAdmin || e.Kind == ledger.KindCheckpoint) && accept(e.Registry) {
				found = e.Registry
			}
		}
		return found == ""
	})
	return found, err
}

// backwards visits the batches of a chain from entry last to the first, until visit returns
// false. Batches that cannot be read have no lines.
func (l *Ledger) backwards(ctx context.Context, last int64, visit func(*Batch) (more bool)) error {
	begin := ledger.Numbered(ledger.ChainOf(last), 0)
	for atOnce := minPage; last > begin; atOnce = min(2*atOnce, maxPage) {
		var page []*Batch
		err := l.reads.List(ctx, `SELECT first_seq, count, previous, last, marks, lines FROM ledger_batch
			WHERE first_seq > $1 AND first_seq <= $2 ORDER BY first_seq DESC LIMIT $3`, []any{begin, last, atOnce},
			func(scan func(...any) error) error {
				b, packed := &Batch{}, []byte(nil)
				if err := scan(&b.First, &b.Count, &b.Previous, &b.Last, &b.Marks, &packed); err != nil {
					return err
				}
				b.Lines, b.Unreadable = l.packer.unpack(packed)
				page = append(page, b)
				return nil
			})
		if err != nil || len(page) == 0 {
			return err
		}
		for _, b := range page {
			if !visit(b) {
				return nil
			}
		}
		last = page[len(page)-1].First - 1
	}
	return nil
}

// FirstCheckpoint returns the first checkpoint in the batches of a chain that begin from
// first to last; zero if there is none. It does not verify it.
func (l *Ledger) FirstCheckpoint(ctx context.Context, first, last int64) (found Checkpoint, err error) {
	err = l.Batches(ctx, first, last, func(b *Batch) error {
		if found = b.checkpoint(false); found.Number != 0 {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return found, err
}

// checkpoint returns the first or the last checkpoint of an intact batch.
func (b *Batch) checkpoint(last bool) (found Checkpoint) {
	var hashes []ledger.Hash
	for i, line := range b.Lines {
		r := ledger.Record{Seq: b.First + int64(i), Line: line}
		c, err := r.Checkpoint(nil)
		if c == nil || err != nil {
			continue
		}
		if hashes == nil {
			if hashes, err = b.Hashes(nil); err != nil {
				return Checkpoint{}
			}
		}
		if found = (Checkpoint{Number: c.Number, Head: ledger.Head{Seq: r.Seq, Hash: hashes[i]}}); !last {
			break
		}
	}
	return found
}
