package store

import (
	"context"
	"slices"
	"time"

	"moneyer/internal/ledger"
	"moneyer/internal/store/engine"
	"moneyer/internal/store/history"
)

// pruneBatch is how many entries one transaction deletes. It is small, so that appends do
// not wait long.
const pruneBatch = 2048

// Prune removes the entries older than before and returns how many: whole batches from the
// start of each chain, but never the last one. First it records an anchor, the last entry
// to be removed, for each chain: Verify refuses a chain that does not begin with its first
// entry and has no anchor. It also renews the anchors of chains that were pruned earlier,
// because their anchors may be removed now. An interrupted Prune is completed by the next
// call. While the ledger is copied, or pruned by another process, Prune does nothing.
func (d *DB) Prune(ctx context.Context, before time.Time) (int64, error) {
	end, ok, err := d.maintain(ctx, true)
	if err != nil || !ok {
		return 0, err
	}
	defer func() { _ = end() }()
	ranges, err := d.pruneRanges(ctx, before)
	if err != nil || !slices.ContainsFunc(ranges, func(r engine.Range) bool { return r.First < r.Keep }) {
		return 0, err
	}
	if err := d.writer.do(ctx, func(t *tx) error { return t.writeAnchors(ranges, d.now()) }); err != nil {
		return 0, err
	}
	return d.dropBefore(ctx, ranges)
}

// pruneRanges finds the batches of each chain that are older than before.
func (d *DB) pruneRanges(ctx context.Context, before time.Time) ([]engine.Range, error) {
	chains, err := history.Chains(ctx, d.reads)
	if err != nil {
		return nil, err
	}
	ranges := make([]engine.Range, 0, len(chains))
	for i := range chains {
		c := &chains[i]
		r := engine.Range{First: c.First}
		err = d.reads.Row(ctx, `SELECT coalesce(min(first_seq), $3) FROM ledger_batch
			WHERE first_seq >= $2 AND first_seq <= $3 AND time_max >= $1`,
			[]any{before.UnixMilli(), c.First, c.LastBatch}, []any{&r.Keep})
		if err != nil {
			return nil, err
		}
		ranges = append(ranges, r)
	}
	return ranges, nil
}

// dropBefore removes the ranges, whose anchors are recorded, and returns the number of
// entries. Batches from Keep on stay, whatever their times.
func (d *DB) dropBefore(ctx context.Context, ranges []engine.Range) (removed int64, err error) {
	if err := d.engine.DropWhole(ctx, ranges); err != nil {
		return 0, err
	}
	for _, r := range ranges {
		left := r
		err := d.reads.Row(ctx, `SELECT coalesce(min(first_seq), $2) FROM ledger_batch WHERE first_seq >= $1 AND first_seq < $2`,
			[]any{r.First, r.Keep}, []any{&left.First})
		if err != nil {
			return removed, err
		}
		for left.First < left.Keep {
			to := min(left.First+pruneBatch, left.Keep)
			err := d.writer.do(ctx, func(t *tx) error {
				_, err := t.Exec(`DELETE FROM ledger_batch WHERE first_seq >= $1 AND first_seq < $2`, left.First, to)
				return err
			})
			if err != nil {
				return removed + left.First - r.First, err
			}
			left.First = to
		}
		removed += r.Keep - r.First
	}
	return removed, nil
}

// writeAnchors records the anchor of each chain that is or was pruned.
func (t *tx) writeAnchors(ranges []engine.Range, now time.Time) error {
	var lines []engine.Line
	for _, r := range ranges {
		if ledger.PlaceOf(r.Keep) == 1 {
			continue
		}
		var previous []byte
		err := t.Row(`SELECT previous FROM ledger_batch WHERE first_seq = $1`, []any{r.Keep}, []any{&previous})
		if err != nil {
			return err
		}
		if len(previous) != len(ledger.Hash{}) {
			return &ledger.BrokenError{Seq: r.Keep, How: "its link to the entry before is not a hash"}
		}
		l, err := engine.Encode(ledger.NewAnchor(now, ledger.Head{Seq: r.Keep - 1, Hash: ledger.Hash(previous)}))
		if err != nil {
			return err
		}
		lines = append(lines, l)
	}
	return t.recordLines(lines)
}
