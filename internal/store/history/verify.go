package history

import (
	"context"
	"crypto/ed25519"
	"slices"

	"moneyer/internal/ledger"
)

// Verify verifies all chains of the ledger up to their ends at the start of the call. No
// entry may be removed until it returns. The heads noted elsewhere must be in it, and are
// sorted by their entries.
func (l *Ledger) Verify(ctx context.Context, key ed25519.PublicKey, noted ...ledger.Head) (ledger.VerifyReport, error) {
	source, err := l.Source(ctx)
	if err != nil {
		return ledger.VerifyReport{}, err
	}
	return ledger.Verify(ctx, source, ledger.Options{Key: key, Heads: noted, MaxClaims: maxClaims})
}

// maxClaims is the ledger.Options.MaxClaims of a verification.
const maxClaims = 1 << 15

// source reads all chains side by side, ordered by time, so that the entries which a
// checkpoint names in other chains were read recently.
type source struct {
	ledger *Ledger
	chains []sourceChain
}

type sourceChain struct {
	*Chain
	reader *batchReader
	next   *Batch
	ended  bool
}

// Source returns the current entries of the ledger as a source for ledger.Verify.
func (l *Ledger) Source(ctx context.Context) (ledger.Source, error) {
	chains, err := Chains(ctx, l.reads)
	if err != nil {
		return nil, err
	}
	return l.SourceOf(chains), nil
}

// SourceOf returns the entries of these chains as a source for ledger.Verify.
func (l *Ledger) SourceOf(chains []Chain) ledger.Source {
	s := &source{ledger: l}
	for i := range chains {
		c := &chains[i]
		s.chains = append(s.chains, sourceChain{Chain: c, reader: l.batchReader(c.First, c.LastBatch)})
	}
	return s
}

// Next returns the oldest of the next batches of all chains.
func (s *source) Next(ctx context.Context) (*ledger.Batch, error) {
	var oldest *sourceChain
	for i := range s.chains {
		c := &s.chains[i]
		if c.next == nil && !c.ended {
			var err error
			if c.next, err = c.reader.read(ctx); err != nil {
				return nil, err
			}
			c.ended = c.next == nil
		}
		if c.next != nil && (oldest == nil || c.next.TimeMax < oldest.next.TimeMax) {
			oldest = c
		}
	}
	if oldest == nil {
		return nil, nil
	}
	b := oldest.next
	oldest.next = nil
	return &b.Batch, nil
}

// Hashes looks up the hash after each of these entries, also after the one before the first
// of a chain. It leaves out entries of broken batches.
func (s *source) Hashes(ctx context.Context, seqs []int64, found func(seq int64, hash ledger.Hash)) error {
	first, hashes := int64(0), []ledger.Hash(nil) // first is the entry before a batch
	for _, seq := range seqs {
		if seq < first || seq >= first+int64(len(hashes)) {
			var err error
			if first, hashes, err = s.hashesFrom(ctx, seq); err != nil {
				return err
			}
		}
		if i := seq - first; i >= 0 && i < int64(len(hashes)) {
			found(seq, hashes[i])
		}
	}
	return nil
}

// hashesFrom reads the batch that may hold an entry, and returns its hashes, beginning with
// that of the entry before the batch.
func (s *source) hashesFrom(ctx context.Context, seq int64) (first int64, hashes []ledger.Hash, err error) {
	i := slices.IndexFunc(s.chains, func(c sourceChain) bool { return c.Number == ledger.ChainOf(seq) })
	if i < 0 {
		return 0, nil, nil
	}
	c := s.chains[i]
	err = s.ledger.reads.Row(ctx, `SELECT coalesce(max(first_seq), $1) FROM ledger_batch WHERE first_seq >= $1 AND first_seq <= $2`,
		[]any{c.First, min(seq, c.LastBatch)}, []any{&first})
	if err != nil {
		return 0, nil, err
	}
	err = s.ledger.Batches(ctx, first, first, func(b *Batch) error {
		if after, err := b.Hashes(nil); err == nil {
			hashes = append([]ledger.Hash{ledger.Hash(b.Previous)}, after...)
		}
		return nil
	})
	return first - 1, hashes, err
}
