package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"moneyer/internal/authority"
)

// VerifyReport is what a walk along the whole ledger found.
type VerifyReport struct {
	// First and Last are the entries that the ledger holds; 0 when it holds none.
	// Of a broken ledger, Last is the last entry that was found good.
	First, Last int64
	// Head is the chain after Last. Whoever noted an earlier head elsewhere can
	// tell from it that no entry was taken off the end.
	Head [sha256.Size]byte
	// Broken is the first entry that is not as it was recorded; 0 means none.
	Broken int64
	// How says in what way it is broken.
	How string
}

// brokenError names the first broken entry.
type brokenError struct {
	seq int64
	how string
}

func (e *brokenError) Error() string {
	return fmt.Sprintf("ledger entry %d is broken: %s", e.seq, e.how)
}

func brokenf(seq int64, format string, args ...any) error {
	return &brokenError{seq: seq, how: fmt.Sprintf(format, args...)}
}

// Verify walks the ledger up to the entry that was last when it began. A broken
// ledger is no error but a report that says so; an error means that the walk
// could not be made. Prune waits until the walk is over.
func (d *DB) Verify(ctx context.Context) (VerifyReport, error) {
	if err := d.maintain(ctx); err != nil {
		return VerifyReport{}, err
	}
	defer d.maintained()
	var last int64
	err := d.reads.row(ctx, `SELECT coalesce(max(first_seq), 0) FROM ledger_batch`, nil, []any{&last})
	if err != nil {
		return VerifyReport{}, fmt.Errorf("ledger: %w", err)
	}
	w := &walk{}
	err = d.batches(ctx, 0, last, w.batch)
	if err == nil && w.first > 1 {
		err = d.checkAnchors(ctx, w)
	}
	report := VerifyReport{First: w.first, Last: w.seq, Head: w.hash}
	if broken := (*brokenError)(nil); errors.As(err, &broken) {
		report.Broken, report.How = broken.seq, broken.how
		return report, nil
	}
	return report, err
}

// maintain keeps other maintenance out until maintained is called.
func (d *DB) maintain(ctx context.Context) error {
	select {
	case d.maintenance <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *DB) maintained() { <-d.maintenance }

// walk follows the chain batch by batch.
type walk struct {
	first int64             // the first entry there is
	start [sha256.Size]byte // the chain before it
	seq   int64             // the last entry found good
	hash  [sha256.Size]byte // the chain after it
	// anchors were left by Prune in the entries passed so far.
	anchors []anchor
}

// batch checks one batch and moves past it.
func (w *walk) batch(b *batch) error {
	if len(b.previous) != sha256.Size {
		return brokenf(b.first, "its link to the entry before is not a hash")
	}
	if w.first == 0 {
		w.first, w.start, w.seq = b.first, [sha256.Size]byte(b.previous), b.first-1
		w.hash = w.start
	}
	switch {
	case b.first > w.seq+1:
		return brokenf(w.seq+1, "it is missing, with all up to entry %d", b.first-1)
	case b.first < w.seq+1:
		return brokenf(b.first, "it is there twice")
	case !bytes.Equal(b.previous, w.hash[:]):
		return brokenf(b.first, "its link to the entry before is wrong")
	}
	if b.unreadable != nil {
		return brokenf(b.first, "it cannot be read, nor the rest of its batch: %v", b.unreadable)
	}
	for i := range b.count {
		if err := w.entry(b, int(i)); err != nil {
			return err
		}
	}
	if int64(len(b.lines)) > b.count {
		return brokenf(w.seq, "lines were added after it")
	}
	if !bytes.Equal(b.last, w.hash[:]) {
		return brokenf(b.first, "its batch, up to entry %d, does not lead to the hash at its end", w.seq)
	}
	return nil
}

// entry checks the i-th entry of b, as far as its mark goes.
func (w *walk) entry(b *batch, i int) error {
	seq := w.seq + 1
	if i >= len(b.lines) {
		return brokenf(seq, "its line is missing")
	}
	hash := authority.ChainHash(w.hash, b.lines[i])
	if len(b.marks) >= (i+1)*markSize && !bytes.Equal(hash[:markSize], b.marks[i*markSize:][:markSize]) {
		return brokenf(seq, "its line was changed")
	}
	w.seq, w.hash = seq, hash
	if a, ok := readAnchor(&authority.Record{Seq: seq, Line: b.lines[i]}); ok {
		w.anchors = append(w.anchors, a)
	}
	return nil
}

// checkAnchors accepts a ledger that does not begin with entry 1 if an anchor
// covers what is gone: it names an entry and its hash, all before may be pruned,
// and from where the ledger begins the chain leads to that very hash.
func (d *DB) checkAnchors(ctx context.Context, w *walk) error {
	for _, a := range w.anchors {
		if a.seq < w.first-1 || a.seq > w.seq {
			continue
		}
		hash, err := d.hashAfter(ctx, w, a.seq)
		if err != nil {
			return err
		}
		if hash == a.hash {
			return nil
		}
	}
	return brokenf(w.first, "the entries before it are gone, and no anchor tells that they were pruned")
}

// hashAfter returns the chain after an entry that was walked past, or before the
// first. Of any other it cannot be asked.
func (d *DB) hashAfter(ctx context.Context, w *walk, seq int64) (hash [sha256.Size]byte, err error) {
	if seq == w.first-1 {
		return w.start, nil
	}
	var first int64
	err = d.reads.row(ctx, `SELECT max(first_seq) FROM ledger_batch WHERE first_seq <= $1`, []any{seq}, []any{&first})
	if err != nil {
		return hash, err
	}
	err = d.batches(ctx, first, first, func(b *batch) error {
		if b.chained() {
			hash = b.hashes[seq-first] // the walk has passed it
		}
		return nil
	})
	return hash, err
}
