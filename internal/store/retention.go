package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"moneyer/internal/ledger"
	"moneyer/internal/store/engine"
	"moneyer/internal/store/history"
)

// pruneBatch is how many entries one transaction deletes. It is small, so that appends do
// not wait long.
const pruneBatch = 2048

// Prune removes the entries older than before, which is at least the retention ago, and
// returns how many: whole batches from the start of each chain, but never the last one, nor
// the last checkpoint. First it records an anchor for each chain, signed: Verify refuses a
// chain that does not begin with its first entry and has no anchor. It also renews the
// anchors of chains that were pruned earlier, because their anchors may be removed now. An
// interrupted Prune is completed by the next call. While the ledger is copied, or pruned by
// another process, Prune does nothing.
func (d *DB) Prune(ctx context.Context, before time.Time, retention time.Duration, sign ledger.Signer) (int64, error) {
	end, ok, err := d.maintain(ctx, true)
	if err != nil || !ok {
		return 0, err
	}
	defer func() { _ = end() }()
	starts, err := d.pruneStarts(ctx, before)
	if err != nil || !slices.ContainsFunc(starts, func(s newStart) bool { return s.First < s.Keep }) {
		return 0, err
	}
	err = d.writer.do(ctx, func(t *tx) error { return t.writeAnchors(starts, d.now(), retention, sign) })
	if err != nil {
		return 0, err
	}
	return d.dropBefore(ctx, starts)
}

// newStart is how a chain is to begin after entries were removed.
type newStart struct {
	engine.Range
	newest     int64 // a time after which no removed entry was made, in Unix milliseconds
	checkpoint int64 // the number of the first checkpoint that is left
	renew      bool  // the anchor of an earlier removal may be removed now
}

// renewAhead is how much earlier than needed anchors are renewed: the clock of the replica
// that recorded one may be behind those of the others.
const renewAhead = 2 * time.Minute

// pruneStarts finds the batches of each chain that are older than before.
func (d *DB) pruneStarts(ctx context.Context, before time.Time) ([]newStart, error) {
	chains, err := history.Chains(ctx, d.reads)
	if err != nil {
		return nil, err
	}
	starts := make([]newStart, len(chains))
	for i := range chains {
		c, s := &chains[i], &starts[i]
		s.First = c.First
		err := d.reads.Row(ctx, `SELECT coalesce(min(first_seq), $3) FROM ledger_batch
			WHERE first_seq >= $2 AND first_seq <= $3 AND time_max >= $1`,
			[]any{before.UnixMilli(), c.First, c.LastBatch}, []any{&s.Keep})
		if err == nil {
			err = d.keepCheckpoint(ctx, c, s)
		}
		if err == nil {
			err = d.findNewest(ctx, s, before)
		}
		if err != nil {
			return nil, err
		}
	}
	return starts, nil
}

// keepCheckpoint finds the first checkpoint that is left. If none is, more entries are kept.
func (d *DB) keepCheckpoint(ctx context.Context, c *history.Chain, s *newStart) error {
	next, err := d.ledger.FirstCheckpoint(ctx, s.Keep, c.LastBatch)
	if err == nil && next.Number == 0 {
		next, err = d.ledger.LastCheckpoint(ctx, s.Keep-1)
	}
	s.checkpoint = max(next.Number, 1)
	if err != nil || next.Number == 0 || next.Head.Seq >= s.Keep {
		return err
	}
	return d.reads.Row(ctx, `SELECT max(first_seq) FROM ledger_batch WHERE first_seq >= $1 AND first_seq <= $2`,
		[]any{c.First, next.Head.Seq}, []any{&s.Keep})
}

// findNewest finds the time of the newest entry that is removed. If none is, it is bounded
// by that of the first entry that is left.
func (d *DB) findNewest(ctx context.Context, s *newStart, before time.Time) error {
	if s.First < s.Keep {
		return d.reads.Row(ctx, `SELECT time_max FROM ledger_batch WHERE first_seq >= $1 AND first_seq < $2 ORDER BY time_max DESC LIMIT 1`,
			[]any{s.First, s.Keep}, []any{&s.newest})
	}
	err := d.reads.Row(ctx, `SELECT time_max FROM ledger_batch WHERE first_seq = $1 LIMIT 1`, []any{s.Keep}, []any{&s.newest})
	s.renew = s.newest < before.Add(renewAhead).UnixMilli()
	s.newest = min(s.newest, before.UnixMilli())
	return err
}

// dropBefore removes the ranges, whose anchors are recorded, and returns the number of
// entries. Batches from Keep on stay, whatever their times.
func (d *DB) dropBefore(ctx context.Context, starts []newStart) (removed int64, err error) {
	ranges := make([]engine.Range, len(starts))
	for i := range starts {
		ranges[i] = starts[i].Range
	}
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

// writeAnchors records the anchor of each chain that is pruned, or was earlier.
func (t *tx) writeAnchors(starts []newStart, now time.Time, retention time.Duration, sign ledger.Signer) error {
	var anchors []*ledger.Entry
	for i := range starts {
		s := &starts[i]
		if s.First == s.Keep && (!s.renew || ledger.PlaceOf(s.Keep) == 1) {
			continue
		}
		var previous []byte
		err := t.Row(`SELECT previous FROM ledger_batch WHERE first_seq = $1`, []any{s.Keep}, []any{&previous})
		if err != nil {
			return err
		}
		if len(previous) != len(ledger.Hash{}) {
			return &ledger.BrokenError{Seq: s.Keep, How: "its link to the entry before is not a hash"}
		}
		e, err := ledger.NewAnchor(ledger.ChainOf(t.Head.Seq), &ledger.Anchor{Last: ledger.Head{Seq: s.Keep - 1, Hash: ledger.Hash(previous)},
			Newest: time.UnixMilli(s.newest), Retention: retention, Checkpoint: s.checkpoint, Time: now}, sign)
		if err != nil {
			return fmt.Errorf("ledger: nothing is removed: %w", err)
		}
		anchors = append(anchors, e)
	}
	return t.recordEntries(anchors...)
}
