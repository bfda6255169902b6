package history

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"

	"moneyer/internal/ledger"
)

// BrokenError names a broken entry.
type BrokenError struct {
	Seq int64
	How string
}

// Error says so.
func (e *BrokenError) Error() string {
	return fmt.Sprintf("ledger entry %s is broken: %s", ledger.ShowSeq(e.Seq), e.How)
}

func brokenf(seq int64, format string, args ...any) error {
	return &BrokenError{Seq: seq, How: fmt.Sprintf(format, args...)}
}

// Verify walks all chains of the ledger up to the entries that were last when it
// began, and holds each checkpoint that it passes to what it says; to its
// signature, too, unless key is nil. A broken ledger is no error but a report that
// says so; an error means that the walk could not be made. No entry may be removed
// until it is over.
func (l *Ledger) Verify(ctx context.Context, key ed25519.PublicKey) (report ledger.VerifyReport, err error) {
	chains, err := Chains(ctx, l.reads)
	if err != nil {
		return report, err
	}
	v := &verification{key: key}
	for i := range chains {
		c := &chains[i]
		v.walks = append(v.walks, &walk{ledger: l, chain: c, reader: l.batchReader(c.First, c.LastBatch),
			seq: c.First - 1, confirmed: c.First - 1, anchored: ledger.PlaceOf(c.First) == 1})
	}
	if err := v.run(ctx); err != nil {
		return report, err
	}
	return v.report(), nil
}

// verification walks all chains side by side, in the order of their times. So
// what a checkpoint says of another chain was passed there a moment ago.
type verification struct {
	key         ed25519.PublicKey
	walks       []*walk // by chain
	missing     []ledger.ChainReport
	checkpoints int64
}

func (v *verification) run(ctx context.Context) error {
	for _, w := range v.walks {
		if err := w.read(ctx); err != nil {
			return err
		}
		if w.next != nil {
			copy(w.start[:], w.next.Previous)
			w.hash = w.start
		}
	}
	for w := v.oldest(); w != nil; w = v.oldest() {
		if err := v.pass(ctx, w); err != nil {
			return err
		}
	}
	v.checkStarts()
	return nil
}

// oldest is the walk whose next batch is the oldest, or nil at the end of all.
func (v *verification) oldest() *walk {
	var oldest *walk
	for _, w := range v.walks {
		if w.next != nil && (oldest == nil || w.next.TimeMax < oldest.next.TimeMax) {
			oldest = w
		}
	}
	return oldest
}

// pass checks the next batch of a chain, and what its entries say of others.
func (v *verification) pass(ctx context.Context, w *walk) error {
	b := w.next
	if err := w.batch(b); err != nil {
		w.next, w.stopped = nil, true
		return w.fail(err)
	}
	w.meet(b)
	for i, line := range b.Lines {
		if err := v.entry(ctx, w, &ledger.Record{Seq: b.First + int64(i), Line: line}); err != nil {
			return err
		}
	}
	return w.read(ctx)
}

// entry follows up what an entry says of others.
func (v *verification) entry(ctx context.Context, w *walk, r *ledger.Record) error {
	if a, ok := readAnchor(r); ok {
		return v.claim(ctx, claim{Head: a, by: r.Seq, anchor: true})
	}
	heads, err := r.Checkpoint(v.key)
	if err != nil {
		return w.fail(brokenf(r.Seq, "%v", err))
	}
	if heads != nil {
		v.checkpoints++
	}
	for _, head := range heads {
		if err := v.claim(ctx, claim{Head: head, by: r.Seq}); err != nil {
			return err
		}
	}
	return nil
}

// claim is what an entry says of the chain after another: that of a checkpoint must
// be true, that of an anchor accounts for the entries before if it is.
type claim struct {
	ledger.Head
	by     int64
	anchor bool
}

// claim finds out whether c is true, or leaves it to the walk that has not come so far.
func (v *verification) claim(ctx context.Context, c claim) error {
	w := v.walk(ledger.ChainOf(c.Seq))
	switch {
	case w == nil:
		v.miss(&c)
		return nil
	case c.Seq < w.chain.First-1: // it was pruned
		return nil
	case c.anchor && (w.anchored || c.Seq > w.chain.Head.Seq):
		return nil
	case c.Seq > w.chain.Head.Seq:
		return w.fail(brokenf(w.chain.Head.Seq+1, "it is missing, with all up to entry %s, which checkpoint %s names",
			ledger.ShowSeq(c.Seq), ledger.ShowSeq(c.by)))
	case c.Seq > w.seq && w.stopped:
		return nil
	case c.Seq > w.seq && len(w.expected) < mostExpected:
		w.expect(c)
		return nil
	}
	hash, err := w.hashAfter(ctx, c.Seq)
	if err != nil {
		return err
	}
	return w.judge(&c, hash)
}

func (v *verification) walk(number int64) *walk {
	for _, w := range v.walks {
		if w.chain.Number == number {
			return w
		}
	}
	return nil
}

// miss notes that a whole chain is missing.
func (v *verification) miss(c *claim) {
	number := ledger.ChainOf(c.Seq)
	for i := range v.missing {
		if v.missing[i].Chain == number {
			return
		}
	}
	if c.anchor {
		return
	}
	v.missing = append(v.missing, ledger.ChainReport{Chain: number, Broken: ledger.Numbered(number, 1),
		How: fmt.Sprintf("its whole chain is missing, of which checkpoint %s names entry %s", ledger.ShowSeq(c.by), ledger.ShowSeq(c.Seq))})
}

// checkStarts accepts a chain that does not begin with its first entry only if an
// anchor was found true. Where a walk was stopped, the anchor may be in the rest.
func (v *verification) checkStarts() {
	for _, w := range v.walks {
		if w.stopped {
			return
		}
	}
	for _, w := range v.walks {
		if !w.anchored {
			_ = w.fail(brokenf(w.chain.First, "the entries before it are gone, and no anchor tells that they were pruned"))
		}
	}
}

func (v *verification) report() ledger.VerifyReport {
	chains := v.missing
	for _, w := range v.walks {
		c := ledger.ChainReport{Chain: w.chain.Number, First: w.chain.First, Last: w.seq, Head: w.hash}
		if w.confirmed >= w.chain.First {
			c.Confirmed = w.confirmed
		}
		if w.broken != nil {
			c.Broken, c.How = w.broken.Seq, w.broken.How
		}
		chains = append(chains, c)
	}
	r := ledger.Report(chains)
	r.Checkpoints, r.Signed = v.checkpoints, v.key != nil
	return r
}

// walk follows one chain batch by batch.
type walk struct {
	ledger *Ledger
	chain  *Chain
	reader *batchReader
	next   *Batch            // nil at the end, or where the walk was stopped
	start  [sha256.Size]byte // the chain before its first entry
	seq    int64             // the last entry found good
	hash   [sha256.Size]byte // the chain after it
	// stopped tells that the entries no longer follow from each other, broken what
	// is known as the first broken entry.
	stopped bool
	broken  *BrokenError
	// anchored tells that no entry is missing before the first, confirmed is the
	// last entry that a checkpoint named truly.
	anchored  bool
	confirmed int64
	// recent are the ends of the last batches, expected the claims on entries that
	// are still to come, by their Seq.
	recent   [mostRecent]ledger.Head
	passed   int
	expected []claim
}

// What is kept of a walk. Claims on what is further away are looked up.
const (
	mostRecent   = 256
	mostExpected = 4096
)

// read reads the next batch.
func (w *walk) read(ctx context.Context) (err error) {
	w.next, err = w.reader.read(ctx)
	return err
}

// fail notes a broken entry, unless an earlier one is known; any other error is returned.
func (w *walk) fail(err error) error {
	broken := (*BrokenError)(nil)
	if !errors.As(err, &broken) {
		return err
	}
	if w.broken == nil || broken.Seq < w.broken.Seq {
		w.broken = broken
	}
	return nil
}

// batch checks one batch and moves past it.
func (w *walk) batch(b *Batch) error {
	if len(b.Previous) != sha256.Size {
		return brokenf(b.First, "its link to the entry before is not a hash")
	}
	show := ledger.ShowSeq
	switch {
	case ledger.PlaceOf(b.First) == 0 || w.chain.Number > ledger.MaxChain:
		return brokenf(b.First, "no entry has such a number")
	case ledger.PlaceOf(b.First) == 1 && w.start != [sha256.Size]byte{}:
		return brokenf(b.First, "it claims a predecessor")
	case b.First > w.seq+1:
		return brokenf(w.seq+1, "it is missing, with all up to entry %s", show(b.First-1))
	case b.First < w.seq+1:
		return brokenf(b.First, "it is there twice")
	case !bytes.Equal(b.Previous, w.hash[:]):
		return brokenf(b.First, "its link to the entry before is wrong")
	}
	if b.Unreadable != nil {
		return brokenf(b.First, "it cannot be read, nor the rest of its batch: %v", b.Unreadable)
	}
	b.hashes = b.hashes[:0]
	for i := range b.Count {
		if err := w.entry(b, int(i)); err != nil {
			return err
		}
	}
	if int64(len(b.Lines)) > b.Count {
		return brokenf(w.seq, "lines were added after it")
	}
	if !bytes.Equal(b.Last, w.hash[:]) {
		return brokenf(b.First, "its batch, up to entry %s, does not lead to the hash at its end", show(w.seq))
	}
	w.recent[w.passed%mostRecent] = ledger.Head{Seq: w.seq, Hash: w.hash}
	w.passed++
	return nil
}

// entry checks the i-th entry of b, as far as its mark goes.
func (w *walk) entry(b *Batch, i int) error {
	seq := w.seq + 1
	if i >= len(b.Lines) {
		return brokenf(seq, "its line is missing")
	}
	hash := ledger.ChainHash(w.hash, b.Lines[i])
	if len(b.Marks) >= (i+1)*markSize && !bytes.Equal(hash[:markSize], b.Marks[i*markSize:][:markSize]) {
		return brokenf(seq, "its line was changed")
	}
	w.seq, w.hash = seq, hash
	b.hashes = append(b.hashes, hash)
	return nil
}

// expect keeps a claim until the walk has come to its entry.
func (w *walk) expect(c claim) {
	i := len(w.expected)
	for i > 0 && w.expected[i-1].Seq > c.Seq {
		i--
	}
	w.expected = append(w.expected, claim{})
	copy(w.expected[i+1:], w.expected[i:])
	w.expected[i] = c
}

// meet judges the claims on entries of b, which was passed.
func (w *walk) meet(b *Batch) {
	for len(w.expected) > 0 && w.expected[0].Seq <= w.seq {
		c := w.expected[0]
		w.expected = w.expected[1:]
		_ = w.judge(&c, b.hashes[c.Seq-b.First]) // it can only be broken
	}
}

// judge compares a claim with the chain as it is.
func (w *walk) judge(c *claim, hash [sha256.Size]byte) error {
	switch {
	case c.anchor:
		w.anchored = w.anchored || hash == c.Hash
	case hash == c.Hash:
		w.confirmed = max(w.confirmed, c.Seq)
	case w.confirmed >= w.chain.First && w.confirmed < c.Seq:
		return w.fail(brokenf(c.Seq, "it is not the entry that checkpoint %s names: it was rewritten with all that follow, or one after entry %s was",
			ledger.ShowSeq(c.by), ledger.ShowSeq(w.confirmed)))
	default:
		return w.fail(brokenf(c.Seq, "it is not the entry that checkpoint %s names: it was rewritten with all that follow, or one before it was",
			ledger.ShowSeq(c.by)))
	}
	return nil
}

// hashAfter returns the chain after an entry that the ledger holds, or before the
// first. Where it is not as it was written the zero hash is as wrong as any.
func (w *walk) hashAfter(ctx context.Context, seq int64) (hash [sha256.Size]byte, err error) {
	if seq == w.chain.First-1 {
		return w.start, nil
	}
	for i := range min(w.passed, mostRecent) {
		end := &w.recent[(w.passed-1-i)%mostRecent]
		if end.Seq == seq {
			return end.Hash, nil
		}
		if end.Seq < seq {
			break
		}
	}
	var first int64
	err = w.ledger.reads.Row(ctx, `SELECT coalesce(max(first_seq), 0) FROM ledger_batch WHERE first_seq >= $1 AND first_seq <= $2`,
		[]any{w.chain.First, seq}, []any{&first})
	if err != nil {
		return hash, err
	}
	err = w.ledger.Batches(ctx, first, first, func(b *Batch) error {
		if i := seq - first; b.chained() && i < int64(len(b.hashes)) {
			hash = b.hashes[i]
		}
		return nil
	})
	return hash, err
}
