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
	// covered has the end of each chain that the last checkpoint covers, including the
	// checkpoint itself; nil before the first checkpoint.
	covered []ledger.Head
	// last is the last checkpoint of the chain that this process continued after entry
	// found; found is -1 while that is unknown.
	last  history.Checkpoint
	found int64
}

// errContinued means that the session continued a chain that the process did not write.
var errContinued = errors.New("this process has just begun to write another chain of the ledger")

// Checkpoint records the signed heads of all chains, unless only checkpoints were recorded
// since the last one of this process. It returns the heads, that of its own chain being the
// checkpoint; none if it recorded nothing. An attacker who can write the database but not
// sign cannot truncate or rewrite a chain up to an entry that a checkpoint in any chain
// names without being detected.
func (d *DB) Checkpoint(ctx context.Context, sign ledger.Signer) ([]ledger.Head, error) {
	c := &d.checkpoints
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := checkSchema(ctx, d.reads); err != nil {
		return nil, err
	}
	chains, err := history.Chains(ctx, d.reads)
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	if err := d.compare(ctx, chains, c.covered); err != nil {
		return nil, err
	}
	if news, err := d.hasNewEntries(ctx, c.covered); err != nil || !news || len(chains) == 0 {
		return nil, err
	}
	heads, err := d.signHeads(ctx, chains, sign)
	if errors.Is(err, errContinued) {
		if err := d.continueChain(ctx); err != nil {
			return nil, err
		}
		heads, err = d.signHeads(ctx, chains, sign)
	}
	return heads, err
}

// continueChain finds the last checkpoint of the chain that this process writes.
func (d *DB) continueChain(ctx context.Context) error {
	at := new(engine.Tx)
	err := d.writer.do(ctx, func(t *tx) error {
		*at = t.Tx
		return nil
	})
	if err != nil {
		return err
	}
	last, err := d.ledger.LastCheckpoint(ctx, at.Head.Seq)
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	d.checkpoints.last, d.checkpoints.found = last, at.Found
	return nil
}

// signHeads records a checkpoint with the heads of all chains. After an error it is unknown
// whether it was recorded.
func (d *DB) signHeads(ctx context.Context, chains []history.Chain, sign ledger.Signer) ([]ledger.Head, error) {
	c := &d.checkpoints
	last, found, next := c.last, c.found, new(history.Checkpoint)
	c.found = -1
	err := d.writer.do(ctx, func(t *tx) error {
		if t.Found != found {
			return errContinued
		}
		cp := &ledger.Checkpoint{Number: last.Number + 1, Previous: last.Head, Time: d.now(), Heads: withOwn(chains, t.Head.Seq, t.Head.Hash)}
		if last.Head.Seq <= found && ledger.PlaceOf(found) > 0 {
			cp.Resumed = found
		}
		if err := t.stateRegistry(cp, d.stated.Load()); err != nil {
			return err
		}
		e, err := ledger.NewCheckpoint(ledger.ChainOf(t.Head.Seq), cp, sign)
		if err != nil {
			return err
		}
		if err := t.recordEntries(e); err != nil {
			return err
		}
		*next = history.Checkpoint{Number: cp.Number, Head: t.Head}
		return nil
	})
	if err != nil {
		return nil, err
	}
	heads := withOwn(chains, next.Head.Seq, next.Head.Hash)
	c.last, c.found, c.covered = *next, found, heads
	return heads, nil
}

// stateRegistry adds the state of the registry to a checkpoint. It leaves it out while it is
// not as the ledger states it: a checkpoint must not confirm it.
func (t *tx) stateRegistry(c *ledger.Checkpoint, stated bool) error {
	if !stated {
		return nil
	}
	state, err := t.readState()
	if errors.Is(err, errState) || err == nil && (state.Revision == 0 || state.Revision < t.seen) {
		return nil
	}
	if err == nil {
		c.Registry, t.revision = t.rows.Statement(state), state.Revision
	}
	return err
}

// compare returns an error unless the chains still hold what the last checkpoint covers. A
// chain that was rewritten under a running server is not signed.
func (d *DB) compare(ctx context.Context, chains []history.Chain, covered []ledger.Head) error {
	seqs, same := make([]int64, len(covered)), map[int64]bool{}
	for i := range covered {
		seqs[i] = covered[i].Seq
	}
	err := d.ledger.SourceOf(chains).Hashes(ctx, seqs, func(seq int64, hash ledger.Hash) {
		i := slices.Index(seqs, seq)
		same[seq] = covered[i].Hash == hash
	})
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	for _, seq := range seqs {
		i := slices.IndexFunc(chains, func(c history.Chain) bool { return c.Number == ledger.ChainOf(seq) })
		if pruned := i >= 0 && seq < chains[i].First-1; !same[seq] && !pruned {
			return fmt.Errorf("ledger entry %s was changed or removed since it was signed in a checkpoint: nothing more is signed; verify the ledger with heads noted elsewhere (moneyer ledger verify --head)", ledger.ShowSeq(seq))
		}
	}
	return nil
}

// hasNewEntries reports whether entries other than checkpoints were recorded since covered.
// A broken ledger counts as having new entries.
func (d *DB) hasNewEntries(ctx context.Context, covered []ledger.Head) (bool, error) {
	if covered == nil {
		return true, nil
	}
	var q ledger.Query
	for i := range covered {
		q.After = append(q.After, covered[i].Seq)
	}
	err := d.Entries(ctx, q, func(r *ledger.Record) error {
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
