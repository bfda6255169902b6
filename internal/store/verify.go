package store

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"

	"moneyer/internal/ledger"
)

// maintain keeps other maintenance out until end is called: in this process any, in
// others what does not go with it. ok is false while another process is at it.
func (d *DB) maintain(ctx context.Context, remove bool) (end func() error, ok bool, err error) {
	select {
	case d.maintenance <- struct{}{}:
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	if d.database == nil { // a file that is only read
		return func() error { <-d.maintenance; return nil }, true, nil
	}
	release, ok, err := d.database.holdOldEntries(ctx, remove)
	if err != nil || !ok {
		<-d.maintenance
		return nil, false, err
	}
	return func() error {
		defer func() { <-d.maintenance }()
		return release()
	}, true, nil
}

// Verify follows all chains of the ledger up to the entries that were last when it
// began. Prune waits until it is over.
func (d *DB) Verify(ctx context.Context, key ed25519.PublicKey) (ledger.VerifyReport, error) {
	end, ok, err := d.maintain(ctx, false)
	switch {
	case err != nil:
		return ledger.VerifyReport{}, fmt.Errorf("ledger: %w", err)
	case !ok:
		return ledger.VerifyReport{}, errors.New("ledger: old entries are being removed at this moment: try again in a minute")
	}
	report, err := d.verify(ctx, key)
	if err := errors.Join(err, end()); err != nil {
		return ledger.VerifyReport{}, fmt.Errorf("ledger: %w", err)
	}
	return report, nil
}

func (d *DB) verify(ctx context.Context, key ed25519.PublicKey) (ledger.VerifyReport, error) {
	chains, err := d.chains(ctx)
	if err != nil {
		return ledger.VerifyReport{}, err
	}
	return ledger.Verify(ctx, d.source(chains), ledger.Options{Key: key, MaxClaims: mostClaims})
}

// mostClaims is how many claims on far entries a verification keeps in memory.
const mostClaims = 1 << 15

// source reads all chains side by side, in the order of their times. So what a
// checkpoint says of another chain was read there a moment ago.
type source struct {
	d      *DB
	chains []sourceChain
}

type sourceChain struct {
	*chain
	reader *batchReader
	next   *batch
	ended  bool
}

func (d *DB) source(chains []chain) *source {
	s := &source{d: d}
	for i := range chains {
		c := &chains[i]
		s.chains = append(s.chains, sourceChain{chain: c, reader: d.batchReader(c.first, c.lastBatch)})
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
		if c.next != nil && (oldest == nil || c.next.timeMax < oldest.next.timeMax) {
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

// Hashes looks up the hash after each of these entries, and of the one before the first
// of a chain, but for those in a batch that is not as it was written.
func (s *source) Hashes(ctx context.Context, seqs []int64, found func(seq int64, hash ledger.Hash)) error {
	first, hashes := int64(0), []ledger.Hash(nil) // from before the first entry of a batch
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

// hashesFrom finds the batch that may hold an entry, and its hashes from that of the
// entry before it on.
func (s *source) hashesFrom(ctx context.Context, seq int64) (first int64, hashes []ledger.Hash, err error) {
	i := slices.IndexFunc(s.chains, func(c sourceChain) bool { return c.number == ledger.ChainOf(seq) })
	if i < 0 {
		return 0, nil, nil
	}
	c := s.chains[i]
	err = s.d.reads.row(ctx, `SELECT coalesce(max(first_seq), $1) FROM ledger_batch WHERE first_seq >= $1 AND first_seq <= $2`,
		[]any{c.first, min(seq, c.lastBatch)}, []any{&first})
	if err != nil {
		return 0, nil, err
	}
	err = s.d.batches(ctx, first, first, func(b *batch) error {
		if after, err := b.Hashes(nil); err == nil {
			hashes = append([]ledger.Hash{ledger.Hash(b.Previous)}, after...)
		}
		return nil
	})
	return first - 1, hashes, err
}
