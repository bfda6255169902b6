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

// checkpoints is the state of this process's checkpoints.
type checkpoints struct {
	mu sync.Mutex
	// covered has the last entry of each chain that the last checkpoint covers, including
	// the checkpoint itself; nil before the first checkpoint.
	covered []int64
}

// Checkpoint records the signed heads of all chains, unless only checkpoints were recorded
// since the last one of this process. An attacker who can write the database but not sign
// cannot truncate or rewrite a chain up to an entry that a checkpoint in any chain names
// without being detected.
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

// hasNewEntries reports whether entries other than checkpoints were recorded since covered.
// A broken ledger counts as having new entries.
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

var errNewEntry = errors.New("new entry")

// withOwn returns the heads of the chains, with the current head for the writer's chain.
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
