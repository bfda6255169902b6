package store

import (
	"context"
	"time"

	"moneyer/internal/ledger"
	"moneyer/internal/store/engine"
	"moneyer/internal/store/history"
)

// Append implements authority.Ledger. It may also return [ErrBusy] or [ErrClosed], in which
// case nothing was recorded. If ctx ends while the entry is queued, the entry may still be
// recorded. Two equal values are an error.
func (d *DB) Append(ctx context.Context, e *ledger.Entry, consumed ...ledger.Consumed) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := engine.Distinct(consumed); err != nil {
		return err
	}
	l, err := engine.Encode(e)
	if err != nil {
		return err
	}
	return d.writer.append(ctx, l, consumed)
}

// Expect implements authority.Ledger.
func (d *DB) Expect(n int) { d.writer.coming.Add(int64(n)) }

// NewestEntry returns the latest time of an entry in the ledger; zero if there is none.
func (d *DB) NewestEntry(ctx context.Context) (time.Time, error) {
	s, err := d.standing(ctx)
	return s.Newest, err
}

// Heads returns the ends of all chains, in the order of the chains.
func (d *DB) Heads(ctx context.Context) ([]ledger.Head, error) {
	chains, err := history.Chains(ctx, d.reads)
	heads := make([]ledger.Head, len(chains))
	for i := range chains {
		heads[i] = chains[i].Head
	}
	return heads, err
}

// Entries visits the entries that q selects, chain after chain, each in the order of Seq.
// It stops at the first error of visit and returns it. It holds only a few batches in
// memory, and may leave out entries that are recorded during the call. To get the newest
// entries of all chains, sort by time.
func (d *DB) Entries(ctx context.Context, q ledger.Query, visit func(*ledger.Record) error) error {
	return d.ledger.Entries(ctx, q, visit)
}
