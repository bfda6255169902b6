package store

import (
	"context"

	"moneyer/internal/ledger"
	"moneyer/internal/store/engine"
)

// Append implements authority.Ledger. It may also return [ErrBusy] or
// [ErrClosed]: nothing was recorded then. When ctx ends while the entry waits,
// the entry may be recorded all the same. Two equal values are an error.
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

// Entries visits the entries that q selects, chain after chain and in the order of
// their Seq, and stops at the first error of visit, which it returns. It never
// holds more than a few batches in memory; entries that are recorded meanwhile may
// be left out. Whoever wants the newest of all chains sorts them by time.
func (d *DB) Entries(ctx context.Context, q ledger.Query, visit func(*ledger.Record) error) error {
	return d.ledger.Entries(ctx, q, visit)
}
