package store

import (
	"context"
	"slices"
	"time"

	"moneyer/internal/ledger"
)

// pruneAtOnce is how many entries one transaction removes: few enough that the
// writer is soon free again.
const pruneAtOnce = 2048

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
	if err != nil || !slices.ContainsFunc(ranges, func(r pruneRange) bool { return r.first < r.keep }) {
		return 0, err
	}
	if err := d.writer.do(ctx, func(t *tx) error { return t.writeAnchors(ranges, d.now()) }); err != nil {
		return 0, err
	}
	return d.dropBefore(ctx, ranges)
}

// pruneRange are the entries of a chain that are to go, from first on, up to the
// batch that begins with keep. It is empty when keep is first.
type pruneRange struct{ first, keep int64 }

// pruneRanges finds what each chain has that is older than before.
func (d *DB) pruneRanges(ctx context.Context, before time.Time) ([]pruneRange, error) {
	chains, err := d.chains(ctx)
	if err != nil {
		return nil, err
	}
	ranges := make([]pruneRange, 0, len(chains))
	for i := range chains {
		c := &chains[i]
		r := pruneRange{first: c.first}
		err = d.reads.row(ctx, `SELECT coalesce(min(first_seq), $3) FROM ledger_batch
			WHERE first_seq >= $2 AND first_seq <= $3 AND time_max >= $1`,
			[]any{before.UnixMilli(), c.first, c.lastBatch}, []any{&r.keep})
		if err != nil {
			return nil, err
		}
		ranges = append(ranges, r)
	}
	return ranges, nil
}

// dropBefore removes what is old, which the ledger says already, and returns how
// many entries. The batches from keep on stay, whatever their times.
func (d *DB) dropBefore(ctx context.Context, ranges []pruneRange) (removed int64, err error) {
	if err := d.database.dropWhole(ctx, ranges); err != nil {
		return 0, err
	}
	for _, r := range ranges {
		left := r
		err := d.reads.row(ctx, `SELECT coalesce(min(first_seq), $2) FROM ledger_batch WHERE first_seq >= $1 AND first_seq < $2`,
			[]any{r.first, r.keep}, []any{&left.first})
		if err != nil {
			return removed, err
		}
		for left.first < left.keep {
			to := min(left.first+pruneAtOnce, left.keep)
			err := d.writer.do(ctx, func(t *tx) error {
				_, err := t.exec(`DELETE FROM ledger_batch WHERE first_seq >= $1 AND first_seq < $2`, left.first, to)
				return err
			})
			if err != nil {
				return removed + left.first - r.first, err
			}
			left.first = to
		}
		removed += r.keep - r.first
	}
	return removed, nil
}

// holdOldEntries: this process alone holds the file, and knows what it does with it.
func (s *sqliteFile) holdOldEntries(context.Context, bool) (end func() error, ok bool, err error) {
	return func() error { return nil }, true, nil
}

// dropWhole: a file has no part that could go as a whole.
func (s *sqliteFile) dropWhole(context.Context, []pruneRange) error { return nil }

// writeAnchors records of each chain what is gone or may go.
func (t *tx) writeAnchors(ranges []pruneRange, now time.Time) error {
	var lines []line
	for _, r := range ranges {
		if ledger.PlaceOf(r.keep) == 1 {
			continue
		}
		var previous []byte
		err := t.row(`SELECT previous FROM ledger_batch WHERE first_seq = $1`, []any{r.keep}, []any{&previous})
		if err != nil {
			return err
		}
		if len(previous) != len(ledger.Hash{}) {
			return &ledger.BrokenError{Seq: r.keep, How: "its link to the entry before is not a hash"}
		}
		l, err := encode(ledger.NewAnchor(now, ledger.Head{Seq: r.keep - 1, Hash: ledger.Hash(previous)}))
		if err != nil {
			return err
		}
		lines = append(lines, l)
	}
	return t.recordLines(lines)
}
