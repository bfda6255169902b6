package store

import (
	"context"
	"slices"
	"time"

	"moneyer/internal/ledger"
	"moneyer/internal/store/engine"
	"moneyer/internal/store/history"
)

// pruneAtOnce is how many entries one transaction removes: few enough that the
// writer is soon free again.
const pruneBatch = 2048

// Prune removes the entries older than before and returns how many: whole
// batches from the start of each chain, never its last one. First it records
// which entry is the last to go, without which Verify refuses a chain that does
// not begin with its first entry; and that of every chain that was pruned earlier,
// for what tells it may go now. A Prune that was cut short is finished by the next;
// so is one that comes while the ledger is copied, or pruned by another process.
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

// pruneRanges finds what each chain has that is older than before.
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

// dropBefore removes what is old, which the ledger says already, and returns how
// many entries. The batches from keep on stay, whatever their times.
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

// writeAnchors records of each chain what is gone or may go.
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
