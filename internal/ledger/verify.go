package ledger

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
)

// Source is a ledger that can be verified.
type Source interface {
	// Next returns the next batch, or nil after the last. Batches of one chain come in
	// the order of their numbers; chains may be interleaved. The batch is valid until the
	// next call.
	Next(ctx context.Context) (*Batch, error)
	// Hashes looks up the hash after each of these entries, which are sorted, and calls
	// found with those that exist, and with those before the first of a chain.
	Hashes(ctx context.Context, seqs []int64, found func(seq int64, hash Hash)) error
}

// Options of Verify. The zero value requires a complete ledger, and verifies no signature.
type Options struct {
	// Key checks the signatures of checkpoints, unless it is nil.
	Key ed25519.PublicKey
	// Partial accepts a chain that begins at any entry, as an export may. Otherwise an
	// anchor must confirm that the earlier entries were pruned.
	Partial bool
	// Heads are heads that were noted elsewhere, sorted by their entries. One that is not in
	// the ledger is an error, unless the entries up to it were pruned, or are not in a
	// partial export.
	Heads []Head
	// MaxClaims bounds the claims in memory on entries that are far away, before they are
	// looked up. 0 means no bound, and one look-up at the end.
	MaxClaims int
}

// recentHeads is the number of latest batch ends of each chain that are kept in memory, so
// that claims on them need no look-up.
const recentHeads = 256

// Verify verifies all chains of a ledger: numbers, links and hashes, and the claims of
// checkpoints and anchors. It reports a broken ledger in the report; an error means that
// the source could not be read.
func Verify(ctx context.Context, src Source, o Options) (VerifyReport, error) {
	if o.Key != nil && len(o.Key) != ed25519.PublicKeySize {
		return VerifyReport{}, errors.New("a checkpoint key has 32 bytes")
	}
	v := &verifier{Options: o, source: src, chains: map[int64]*chain{}}
	for _, head := range o.Heads {
		if err := v.claim(ctx, claim{Head: head, noted: true}); err != nil {
			return VerifyReport{}, err
		}
	}
	for {
		b, err := src.Next(ctx)
		if err != nil {
			return VerifyReport{}, err
		}
		if b == nil {
			break
		}
		if err := v.batch(ctx, b); err != nil {
			return VerifyReport{}, err
		}
	}
	if err := v.lookUp(ctx); err != nil {
		return VerifyReport{}, err
	}
	return v.report(), nil
}

// verifier is a running verification.
type verifier struct {
	Options
	source      Source
	chains      map[int64]*chain // that were read, or that a claim is about
	far         claims           // to be looked up
	expecting   int              // the number of claims that chains expect
	checkpoints int64
}

// chain is the state of one chain.
type chain struct {
	number      int64
	first, last int64 // the valid entries; both 0 before the first was read
	start, head Hash  // the chain hashes before first and after last
	hashes      []Hash
	recent      []Head // ends of the last batches, in a ring
	passed      int    // batches
	// stopped means that the chain is broken and no longer followed; broken is the first
	// known broken entry.
	stopped bool
	broken  *BrokenError
	// anchored means that a correct anchor names the last pruned entry or a later one;
	// confirmed is the last entry that a checkpoint names correctly, and the latest time of
	// such a checkpoint.
	anchored   bool
	confirmed  moment
	succession succession
	// expected are claims on entries that were not yet read. refuted is the first false
	// claim. absent is the last claim on an entry that no look-up found; earlier entries
	// may have been pruned.
	expected        claims
	refuted, absent *claim
}

func (v *verifier) chain(number int64) *chain {
	c := v.chains[number]
	if c == nil {
		c = &chain{number: number}
		v.chains[number] = c
	}
	return c
}

// batch checks the next batch of a chain, and the claims in its entries.
func (v *verifier) batch(ctx context.Context, b *Batch) error {
	c := v.chain(ChainOf(b.First))
	if c.stopped {
		return nil
	}
	if broken := v.follow(c, b); broken != nil {
		c.stopped = true
		c.fail(broken)
	}
	v.meet(c, b)
	for i, line := range b.Lines[:len(c.hashes)] {
		if err := v.entry(ctx, c, &Record{Seq: b.First + int64(i), Line: line, Hash: c.hashes[i]}); err != nil {
			return err
		}
	}
	return nil
}

// follow checks that a batch follows from the one before, and moves to its end. Of a
// broken batch it moves past the entries before the broken one.
func (v *verifier) follow(c *chain, b *Batch) *BrokenError {
	c.hashes = c.hashes[:0]
	met := c.first != 0
	switch {
	case b.First == 0: // Broken 0 in a report means that nothing is broken
		return brokenf(1, "before it comes one with the number 0, which no entry has")
	case b.First < 0 || PlaceOf(b.First) == 0 || ChainOf(b.First) > MaxChain:
		return brokenf(b.First, "no entry has such a number")
	case met && b.First > c.last+1:
		return v.gap(c.last+1, b.First-1)
	case met && b.First <= c.last:
		return brokenf(b.First, "it is there twice, or out of order")
	case b.Unreadable != nil || len(b.Previous) != sha256.Size:
	case PlaceOf(b.First) == 1 && Hash(b.Previous) != Hash{}:
		return brokenf(b.First, "it claims a predecessor")
	case met && !bytes.Equal(b.Previous, c.head[:]):
		return brokenf(b.First, "its link to the entry before is wrong")
	}
	hashes, broken := b.hashes(c.hashes)
	n := len(hashes)
	if n == 0 {
		return broken
	}
	if !met {
		v.begin(c, b)
	}
	c.last, c.head, c.hashes = b.First+int64(n)-1, hashes[n-1], hashes
	return broken
}

// begin records where a chain begins. It drops claims on earlier entries, which were pruned
// or exported earlier.
func (v *verifier) begin(c *chain, b *Batch) {
	c.first, c.last, c.start = b.First, b.First-1, Hash(b.Previous)
	v.met(c, c.last, c.start)
	for _, seq := range c.expected.entries() {
		if seq < c.first {
			v.unexpect(c, seq)
		}
	}
}

// gap returns the error for missing entries.
func (v *verifier) gap(from, to int64) *BrokenError {
	broken := brokenf(from, "it is missing")
	if to > from {
		broken = brokenf(from, "it is missing, with all up to entry %s", ShowSeq(to))
	}
	if v.Partial {
		broken.How += " (only an export without filters can be verified)"
	}
	return broken
}

// meet checks the claims on the valid entries of b, and keeps its end.
func (v *verifier) meet(c *chain, b *Batch) {
	if len(c.hashes) == 0 {
		return
	}
	for i := 0; i < len(c.hashes) && c.expected.n > 0; i++ {
		v.met(c, b.First+int64(i), c.hashes[i])
	}
	end := Head{Seq: c.last, Hash: c.head}
	if len(c.recent) < recentHeads {
		c.recent = append(c.recent, end)
	} else {
		c.recent[c.passed%recentHeads] = end
	}
	c.passed++
}

func (v *verifier) met(c *chain, seq int64, hash Hash) {
	if cl, ok := v.unexpect(c, seq); ok {
		c.judge(&cl, hash)
	}
}

func (v *verifier) unexpect(c *chain, seq int64) (claim, bool) {
	before := c.expected.n
	cl, ok := c.expected.take(seq)
	v.expecting += c.expected.n - before
	return cl, ok
}

// entry checks the claims of an entry on others, and its place among the checkpoints.
func (v *verifier) entry(ctx context.Context, c *chain, r *Record) error {
	cp, err := r.Checkpoint(v.Key)
	switch {
	case err != nil:
		c.fail(brokenf(r.Seq, "%v", err))
		return nil
	case cp != nil:
		return v.checkpoint(ctx, c, r, cp)
	}
	a, err := r.Anchor(v.Key)
	switch {
	case err != nil:
		c.fail(brokenf(r.Seq, "%v", err))
	case a != nil:
		v.chain(ChainOf(a.Last.Seq)).succession.anchored(a, r.Seq)
		return v.claim(ctx, claim{Head: a.Last, by: r.Seq, anchor: true})
	default:
		c.succession.entry(r)
	}
	return nil
}

func (v *verifier) checkpoint(ctx context.Context, c *chain, r *Record, cp *Checkpoint) error {
	v.checkpoints++
	if broken := c.succession.checkpoint(r, cp, c.first); broken != nil {
		c.fail(broken)
	}
	for _, head := range cp.Heads {
		if err := v.claim(ctx, claim{Head: head, by: r.Seq, checkpoint: true, at: cp.Time.UnixMilli()}); err != nil {
			return err
		}
	}
	return nil
}

// claim checks a claim, or keeps it until it can be checked.
func (v *verifier) claim(ctx context.Context, cl claim) error {
	c := v.chain(ChainOf(cl.Seq))
	if hash, ok := c.hashAfter(cl.Seq); ok {
		c.judge(&cl, hash)
		return nil
	}
	switch {
	case c.first != 0 && cl.Seq < c.first: // it was pruned, or exported earlier
	case c.stopped && cl.Seq > c.last:
	case cl.Seq > c.last && (v.MaxClaims == 0 || v.expecting < v.MaxClaims):
		before := c.expected.n
		c.expected.add(cl)
		v.expecting += c.expected.n - before
	default:
		if v.far.add(cl); v.MaxClaims > 0 && v.far.n >= v.MaxClaims {
			return v.lookUp(ctx)
		}
	}
	return nil
}

// hashAfter returns the chain hash of an entry, if it is in memory: of the last batch, of
// the end of an earlier batch, or of the one before the first.
func (c *chain) hashAfter(seq int64) (Hash, bool) {
	if c.first == 0 || seq > c.last {
		return Hash{}, false
	}
	if i := len(c.hashes) - 1 - int(c.last-seq); i >= 0 {
		return c.hashes[i], true
	}
	if seq == c.first-1 {
		return c.start, true
	}
	for i := range min(c.passed, recentHeads) {
		end := &c.recent[(c.passed-1-i)%recentHeads]
		if end.Seq == seq {
			return end.Hash, true
		}
		if end.Seq < seq {
			break
		}
	}
	return Hash{}, false
}

// lookUp checks the claims on entries that are far away.
func (v *verifier) lookUp(ctx context.Context) error {
	if v.far.n == 0 {
		return nil
	}
	err := v.source.Hashes(ctx, v.far.entries(), func(seq int64, hash Hash) {
		if cl, ok := v.far.take(seq); ok {
			v.chain(ChainOf(seq)).judge(&cl, hash)
		}
	})
	if err != nil {
		return err
	}
	for _, seq := range v.far.entries() {
		cl, _ := v.far.take(seq)
		switch c := v.chain(ChainOf(seq)); {
		case seq > c.last:
			c.absent = latest(c.absent, &cl)
		case seq >= c.first: // it existed when it was read
			c.judge(&cl, Hash{})
		}
	}
	return nil
}

// judge compares the claims on an entry with its hash.
func (c *chain) judge(cl *claim, hash Hash) {
	for ; cl != nil; cl = cl.other {
		switch {
		case hash != cl.Hash:
			c.refuted = earliest(c.refuted, cl)
			continue
		case cl.checkpoint:
			c.confirm(moment{cl.Seq, cl.at})
		}
		c.anchored = c.anchored || cl.anchor
	}
}

// fail records a broken entry, unless an earlier one is known.
func (c *chain) fail(broken *BrokenError) {
	if c.broken == nil || broken.Seq < c.broken.Seq {
		c.broken = broken
	}
}

func (c *chain) confirm(m moment) {
	if m.seq > c.confirmed.seq || m.seq == c.confirmed.seq && m.at > c.confirmed.at {
		c.confirmed = m
	}
}

// checkStart fails for a chain that does not begin with its first entry and has no correct
// anchor.
func (c *chain) checkStart() {
	if c.first != 0 && PlaceOf(c.first) != 1 && !c.anchored {
		c.fail(brokenf(c.first, "the entries before it are gone, and no anchor confirms that they were pruned"))
	}
}

// checkClaims fails for false claims, and for claims on missing entries.
func (c *chain) checkClaims() {
	if cl := c.refuted; cl != nil {
		since := "before it"
		if c.first <= c.confirmed.seq && 0 < c.confirmed.seq && c.confirmed.seq < cl.Seq {
			since = "after entry " + ShowSeq(c.confirmed.seq)
		}
		c.fail(brokenf(cl.Seq, "it is not the entry that %s names: it was rewritten with all that follow, or one %s was", cl.origin(), since))
	}
	missing := c.absent
	for _, cl := range c.expected.of {
		missing = latest(missing, &cl)
	}
	switch {
	case missing == nil || missing.Seq <= c.last || c.stopped:
	case c.first == 0:
		c.fail(brokenf(Numbered(c.number, 1), "its whole chain is missing, of which %s names entry %s", missing.origin(), ShowSeq(missing.Seq)))
	default:
		c.fail(brokenf(c.last+1, "it is missing, with all up to entry %s, which %s names", ShowSeq(missing.Seq), missing.origin()))
	}
}
