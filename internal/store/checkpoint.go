package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"moneyer/internal/ledger"
	"moneyer/internal/store/engine"
	"moneyer/internal/store/history"
)

// checkpoints is what this process knows of those that it made.
type checkpoints struct {
	mu sync.Mutex
	// covered is up to which entry of each chain the last one goes, itself included;
	// nil before there is one.
	covered []int64
}

// Checkpoint records the heads of all chains under a signature, unless nothing but
// other checkpoints came since the last one of this process. Whoever can write to
// the database and cannot sign can no more cut or rewrite a chain unnoticed, up to
// where a checkpoint in any chain names it.
func (d *DB) Checkpoint(ctx context.Context, sign func(message []byte) ([]byte, error)) error {
	c := &d.checkpoints
	c.mu.Lock()
	defer c.mu.Unlock()
	chains, err := history.Chains(ctx, d.reads)
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	if news, err := d.hasNewEntries(ctx, c.covered); err != nil || !news || len(chains) == 0 {
		return err
	}
	var covered []int64
	err = d.writer.do(ctx, func(t *tx) error {
		heads := withOwn(chains, t.Head.Seq, t.Head.Hash)
		e, err := ledger.NewCheckpoint(ledger.ChainOf(t.Head.Seq), d.now(), heads, sign)
		if err != nil {
			return err
		}
		l, err := engine.Encode(e)
		if err != nil {
			return err
		}
		if err := t.recordLines([]engine.Line{l}); err != nil {
			return err
		}
		covered = []int64{t.Head.Seq}
		for i := range heads {
			if ledger.ChainOf(heads[i].Seq) != ledger.ChainOf(t.Head.Seq) {
				covered = append(covered, heads[i].Seq)
			}
		}
		return nil
	})
	if err == nil {
		c.covered = covered
	}
	return err
}

// news reports whether anything but checkpoints was recorded since covered. A ledger
// that cannot be read is news to those who verify it.
func (d *DB) hasNewEntries(ctx context.Context, covered []int64) (bool, error) {
	if covered == nil {
		return true, nil
	}
	err := d.Entries(ctx, ledger.Query{After: covered}, func(r *ledger.Record) error {
		if e, err := r.Entry(); err != nil || e.Kind != ledger.KindCheckpoint {
			return errNewEntry
		}
		return nil
	})
	if broken := (*ledger.BrokenError)(nil); errors.Is(err, errNewEntry) || errors.As(err, &broken) {
		return true, nil
	}
	return false, err
}

var errNewEntry = errors.New("news")

// withOwn returns the heads of the chains, that of the writer's own as it is now.
func withOwn(chains []history.Chain, seq int64, hash ledger.Hash) []ledger.Head {
	var heads []ledger.Head
	if ledger.PlaceOf(seq) > 0 {
		heads = append(heads, ledger.Head{Seq: seq, Hash: hash})
	}
	for i := range chains {
		if chains[i].Number != ledger.ChainOf(seq) {
			heads = append(heads, chains[i].Head)
		}
	}
	slices.SortFunc(heads, func(a, b ledger.Head) int { return cmp.Compare(a.Seq, b.Seq) })
	return heads
}
