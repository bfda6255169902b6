package main

import (
	"crypto/ed25519"
	"fmt"
	"maps"
	"slices"

	"moneyer/internal/adminapi"
	"moneyer/internal/ledger"
)

// verifyFile follows the chains along an export.
func (o *onboarding) verifyFile(name string, key ed25519.PublicKey) (adminapi.Verified, error) {
	w := &exportWalk{key: key, chains: map[int64]*exportChain{}, passed: map[int64]exportClaim{}}
	if err := o.eachExported(name, w.line); err != nil {
		return adminapi.Verified{}, err
	}
	if len(w.passed) > 0 {
		if name == "-" {
			return adminapi.Verified{}, usagef("checkpoints name entries that came before: verify an export of several chains as a file, not from standard input")
		}
		if err := o.eachExported(name, w.again); err != nil {
			return adminapi.Verified{}, err
		}
	}
	report := w.report()
	return adminapi.ShowVerified(&report, key), nil
}

func (o *onboarding) eachExported(name string, visit func(line []byte) error) error {
	in, err := o.openInput(name)
	if err != nil {
		return usage(err)
	}
	defer func() { _ = in.Close() }()
	if err := adminapi.EachLine(in, visit); err != nil {
		return usagef("%s: %w", name, err)
	}
	return nil
}

// exportWalk follows the chains of an export, which come one after the other or in
// turns. What was pruned, or exported earlier, before the first entry of a chain is
// not its business.
type exportWalk struct {
	key         ed25519.PublicKey
	chains      map[int64]*exportChain
	at          int64 // the last line's entry
	checkpoints int64
	// passed are what checkpoints say of entries that the walk has left behind. They
	// are looked at again: the hashes of all entries are too many to be kept.
	passed map[int64]exportClaim
}

// exportChain is a chain that was met, or that a checkpoint names.
type exportChain struct {
	first, last   int64 // 0: none was met
	start, head   [32]byte
	confirmed     int64
	stopped       bool // the entries no longer follow from each other
	broken        int64
	how           string
	expected      map[int64]exportClaim // of entries to come
	expectedFirst exportClaim           // the first of them that came
}

// exportClaim is what a checkpoint says of an entry.
type exportClaim struct {
	ledger.Head
	by int64
}

func (w *exportWalk) chain(number int64) *exportChain {
	c := w.chains[number]
	if c == nil {
		c = &exportChain{expected: map[int64]exportClaim{}}
		w.chains[number] = c
	}
	return c
}

// line checks the next line.
func (w *exportWalk) line(line []byte) error {
	r, err := adminapi.ParseRecord(line)
	if err != nil {
		w.chain(ledger.ChainOf(w.at)).stop(w.at+1, err.Error())
		return nil
	}
	w.at = r.Seq
	c := w.chain(ledger.ChainOf(r.Seq))
	if c.stopped {
		return nil
	}
	if err := c.follow(r); err != nil {
		c.stop(err.seq, err.how)
		return nil
	}
	heads, err := r.Checkpoint(w.key)
	if err != nil {
		c.fail(r.Seq, err.Error())
	}
	if heads != nil {
		w.checkpoints++
	}
	for _, head := range heads {
		w.claim(exportClaim{head, r.Seq}, r)
	}
	return nil
}

// brokenExport names an entry of an export that is not as it was recorded.
type brokenExport struct {
	seq int64
	how string
}

// follow checks an entry of the chain and moves past it.
func (c *exportChain) follow(r *ledger.Record) *brokenExport {
	switch {
	case ledger.PlaceOf(r.Seq) == 0 || r.Seq < 0 || ledger.ChainOf(r.Seq) > ledger.MaxChain:
		return &brokenExport{r.Seq, "no entry has such a number"}
	case r.Hash != ledger.ChainHash(r.Previous, r.Line):
		return &brokenExport{r.Seq, "it was changed: its hash is not that of what it says"}
	case ledger.PlaceOf(r.Seq) == 1 && r.Previous != [32]byte{}:
		return &brokenExport{r.Seq, "it claims a predecessor"}
	case c.first == 0:
		c.first, c.start = r.Seq, r.Previous
		c.meet(r.Seq-1, r.Previous)
	case r.Seq > c.last+1:
		return &brokenExport{c.last + 1, "it is missing (only an export without filters can be verified)"}
	case r.Seq <= c.last:
		return &brokenExport{r.Seq, "it is there twice, or out of order"}
	case r.Previous != c.head:
		return &brokenExport{r.Seq, "it does not follow from the entry before"}
	}
	c.last, c.head = r.Seq, r.Hash
	c.meet(r.Seq, r.Hash)
	return nil
}

// claim judges what the checkpoint r says, or leaves it until it can.
func (w *exportWalk) claim(claim exportClaim, r *ledger.Record) {
	c := w.chain(ledger.ChainOf(claim.Seq))
	switch {
	case c.stopped && claim.Seq > c.last, c.first != 0 && claim.Seq < c.first-1:
	case c.first == 0 || claim.Seq > c.last:
		c.expect(claim)
	case claim.Seq == c.last:
		c.judge(claim, c.head)
	case claim.Seq == r.Seq-1:
		c.judge(claim, r.Previous)
	case claim.Seq == c.first-1:
		c.judge(claim, c.start)
	default:
		if other, twice := w.passed[claim.Seq]; !twice {
			w.passed[claim.Seq] = claim
		} else if other.Hash != claim.Hash {
			c.judge(claim, other.Hash)
		}
	}
}

// expect keeps a claim on an entry that is to come.
func (c *exportChain) expect(claim exportClaim) {
	if len(c.expected) == 0 {
		c.expectedFirst = claim
	}
	if other, twice := c.expected[claim.Seq]; !twice {
		c.expected[claim.Seq] = claim
	} else if other.Hash != claim.Hash {
		c.judge(claim, other.Hash)
	}
}

// meet judges the claim on an entry that was expected.
func (c *exportChain) meet(seq int64, hash [32]byte) {
	if claim, ok := c.expected[seq]; ok {
		delete(c.expected, seq)
		c.judge(claim, hash)
	}
}

func (c *exportChain) judge(claim exportClaim, hash [32]byte) {
	if claim.Hash == hash {
		if claim.Seq >= c.first {
			c.confirmed = max(c.confirmed, claim.Seq)
		}
		return
	}
	c.fail(claim.Seq, fmt.Sprintf("it is not the entry that checkpoint %s names: it was rewritten with all that follow, or one before it was",
		ledger.ShowSeq(claim.by)))
}

// fail notes a broken entry, unless an earlier one is known.
func (c *exportChain) fail(seq int64, how string) {
	if c.broken == 0 || seq < c.broken {
		c.broken, c.how = seq, how
	}
}

func (c *exportChain) stop(seq int64, how string) {
	c.stopped = true
	c.fail(seq, how)
}

// again judges what was left behind.
func (w *exportWalk) again(line []byte) error {
	r, err := adminapi.ParseRecord(line)
	if err != nil {
		return nil //nolint:nilerr // the first walk has told of it
	}
	if claim, ok := w.passed[r.Seq]; ok {
		delete(w.passed, r.Seq)
		w.chain(ledger.ChainOf(r.Seq)).judge(claim, r.Hash)
	}
	return nil
}

func (w *exportWalk) report() ledger.VerifyReport {
	var chains []ledger.ChainReport
	for number, c := range w.chains {
		if !c.judgeLeft(number) {
			continue
		}
		chains = append(chains, ledger.ChainReport{Chain: number, First: c.first, Last: c.last, Head: c.head,
			Confirmed: c.confirmed, Broken: c.broken, How: c.how})
	}
	r := ledger.Report(chains)
	r.Checkpoints, r.Signed = w.checkpoints, w.key != nil
	return r
}

// judgeLeft judges the claims on entries that never came. It tells whether there
// is anything to report.
func (c *exportChain) judgeLeft(number int64) bool {
	if c.first == 0 && !c.stopped && len(c.expected) > 0 {
		c.fail(ledger.Numbered(number, 1), fmt.Sprintf("its whole chain is missing, of which checkpoint %s names entry %s",
			ledger.ShowSeq(c.expectedFirst.by), ledger.ShowSeq(c.expectedFirst.Seq)))
	}
	for _, seq := range slices.Sorted(maps.Keys(c.expected)) {
		if c.first != 0 && !c.stopped && seq > c.last {
			c.fail(c.last+1, fmt.Sprintf("it is missing, with all up to entry %s, which checkpoint %s names",
				ledger.ShowSeq(seq), ledger.ShowSeq(c.expected[seq].by)))
			break
		}
	}
	return c.first != 0 || c.broken != 0
}
