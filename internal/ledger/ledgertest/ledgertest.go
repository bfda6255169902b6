// Package ledgertest makes ledgers and tampers with them, for the tests of whatever
// reads one: a store, an export. All must come to the same verdict.
package ledgertest

import (
	"cmp"
	"crypto/ed25519"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"moneyer/internal/ledger"
)

// Ledger is a ledger that a test makes.
type Ledger struct {
	// Chains are the records of each chain.
	Chains map[int64][]ledger.Record
	// Key checks the signatures of its checkpoints.
	Key ed25519.PublicKey
	// Every is the time between two entries; 0 means a second.
	Every time.Duration

	private ed25519.PrivateKey
	made    int
	elapsed time.Duration
}

// New makes a ledger of three chains:
//
//	chain 0: 1 to 3, 4 names 0-3, 5 to 6, 7 names 0-6 2-5 5-2
//	chain 2: 1 to 3, 4 names 0-6 2-3 5-2, 5
//	chain 5: 1 to 2, 3 names 0-4 2-5 5-2
func New(t testing.TB) *Ledger {
	l := &Ledger{Chains: map[int64][]ledger.Record{}}
	l.SignWith(1)
	l.Key = ed25519.PublicKey(slices.Clone(l.private[ed25519.SeedSize:]))
	l.Tokens(t, 0, 3)
	l.Checkpoint(t, 0, l.Heads()...)
	l.Tokens(t, 2, 3)
	l.Tokens(t, 5, 2)
	l.Tokens(t, 0, 2)
	l.Checkpoint(t, 2, l.Heads()...)
	l.Tokens(t, 2, 1)
	l.Checkpoint(t, 0, l.Heads()...)
	l.Checkpoint(t, 5, l.At(0, 4), l.At(2, 5), l.At(5, 2))
	return l
}

// SignWith sets the key for later checkpoints.
func (l *Ledger) SignWith(seed byte) {
	l.private = ed25519.NewKeyFromSeed(slices.Repeat([]byte{seed}, ed25519.SeedSize))
}

// At is the n-th entry of a chain.
func (l *Ledger) At(chain, n int64) ledger.Head {
	r := l.Chains[chain][n-1]
	return ledger.Head{Seq: r.Seq, Hash: r.Hash}
}

// Heads are the ends of all chains.
func (l *Ledger) Heads() (heads []ledger.Head) {
	for _, chain := range slices.Sorted(maps.Keys(l.Chains)) {
		heads = append(heads, l.At(chain, int64(len(l.Chains[chain]))))
	}
	return heads
}

// Append records an entry.
func (l *Ledger) Append(t testing.TB, chain int64, e *ledger.Entry) {
	t.Helper()
	l.made++
	l.elapsed += cmp.Or(l.Every, time.Second)
	if e.Time.IsZero() {
		e.Time = l.now()
	}
	line, err := e.AppendJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	h := ledger.Head{Seq: ledger.Numbered(chain, 0)}
	if all := l.Chains[chain]; len(all) > 0 {
		h = ledger.Head{Seq: all[len(all)-1].Seq, Hash: all[len(all)-1].Hash}
	}
	l.Chains[chain] = append(l.Chains[chain], ledger.Record{Seq: h.Seq + 1, Previous: h.Hash, Hash: ledger.ChainHash(h.Hash, line), Line: line})
}

func (l *Ledger) now() time.Time {
	return time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC).Add(l.elapsed)
}

// Wait lets time pass before the next entry.
func (l *Ledger) Wait(d time.Duration) { l.elapsed += d }

// Tokens records n tokens.
func (l *Ledger) Tokens(t testing.TB, chain int64, n int) {
	t.Helper()
	for range n {
		l.Append(t, chain, &ledger.Entry{Kind: ledger.KindToken, JTI: fmt.Sprint("jti-", l.made)})
	}
}

// Checkpoint records a checkpoint that names heads.
func (l *Ledger) Checkpoint(t testing.TB, chain int64, heads ...ledger.Head) {
	t.Helper()
	l.checkpoint(t, chain, &ledger.Checkpoint{Heads: heads})
}

// Resume records the checkpoint of a server that continues a chain, with the ends of all.
func (l *Ledger) Resume(t testing.TB, chain int64) {
	t.Helper()
	l.checkpoint(t, chain, &ledger.Checkpoint{Heads: l.Heads(), Resumed: ledger.Numbered(chain, int64(len(l.Chains[chain])))})
}

func (l *Ledger) checkpoint(t testing.TB, chain int64, cp *ledger.Checkpoint) {
	t.Helper()
	cp.Number, cp.Time = cp.Number+1, l.now()
	for i := range l.Chains[chain] {
		r := &l.Chains[chain][i]
		if last, err := r.Checkpoint(nil); last != nil && err == nil {
			cp.Number, cp.Previous = last.Number+1, ledger.Head{Seq: r.Seq, Hash: r.Hash}
		}
	}
	e, err := ledger.NewCheckpoint(chain, cp, l.sign)
	if err != nil {
		t.Fatal(err)
	}
	l.Append(t, chain, e)
}

func (l *Ledger) sign(message []byte) ([]byte, error) { return ed25519.Sign(l.private, message), nil }

// Anchor records in a chain that another was pruned up to last, by a retention of no time.
func (l *Ledger) Anchor(t testing.TB, chain int64, last ledger.Head) {
	t.Helper()
	l.Append(t, chain, l.anchor(t, chain, last))
}

func (l *Ledger) anchor(t testing.TB, chain int64, last ledger.Head) *ledger.Entry {
	t.Helper()
	a := &ledger.Anchor{Last: last, Newest: l.now(), Time: l.now(), Checkpoint: 1}
	for i := range l.Chains[ledger.ChainOf(last.Seq)] {
		r := &l.Chains[ledger.ChainOf(last.Seq)][i]
		if cp, err := r.Checkpoint(nil); cp != nil && err == nil && r.Seq <= last.Seq {
			a.Checkpoint = cp.Number + 1
		}
	}
	e, err := ledger.NewAnchor(chain, a, l.sign)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// resign signs an entry again that was changed.
func (l *Ledger) resign(t testing.TB, chain int64, e *ledger.Entry) {
	t.Helper()
	if err := e.Sign(chain, l.sign); err != nil {
		t.Fatal(err)
	}
}

// Rewrite changes the entries of a chain from the n-th on and recomputes all hashes.
func (l *Ledger) Rewrite(t testing.TB, chain, n int64, change func(*ledger.Entry)) {
	t.Helper()
	later := l.Chains[chain][n-1:]
	l.Chains[chain] = slices.Clone(l.Chains[chain][:n-1])
	for i := range later {
		e, err := later[i].Entry()
		if err != nil {
			t.Fatal(err)
		}
		change(e)
		l.Append(t, chain, e)
	}
}

// Drop takes out the entries of all chains for which drop returns true, and computes all
// chains anew, as one can who writes the database and does not have the key.
func (l *Ledger) Drop(t testing.TB, drop func(seq int64, e *ledger.Entry) bool) {
	t.Helper()
	for chain, all := range l.Chains {
		l.Chains[chain] = nil
		for i := range all {
			e, err := all[i].Entry()
			if err != nil {
				t.Fatal(err)
			}
			if !drop(all[i].Seq, e) {
				l.Append(t, chain, e)
			}
		}
	}
}

// Remove takes out the entries of a chain from the n-th to the last-th.
func (l *Ledger) Remove(chain, n, last int64) {
	l.Chains[chain] = slices.Delete(slices.Clone(l.Chains[chain]), int(n-1), int(last))
}

// Export writes the records of the chains, in that order.
func (l *Ledger) Export(chains ...int64) string {
	var text []byte
	for _, chain := range chains {
		for i := range l.Chains[chain] {
			text = append(l.Chains[chain][i].AppendJSON(text), '\n')
		}
	}
	return string(text)
}

// Batches are the records of a chain in batches of at most size.
func (l *Ledger) Batches(chain int64, size int) (batches []ledger.Batch) {
	var b *ledger.Batch
	for i := range l.Chains[chain] {
		r := &l.Chains[chain][i]
		if b == nil || len(b.Lines) == size || r.Seq != b.First+b.Count || string(b.Last) != string(r.Previous[:]) {
			batches = append(batches, ledger.Batch{First: r.Seq, Previous: r.Previous[:]})
			b = &batches[len(batches)-1]
		}
		b.Count++
		b.Lines, b.Last, b.Marks = append(b.Lines, r.Line), r.Hash[:], append(b.Marks, r.Hash[:ledger.MarkSize]...)
	}
	return batches
}

// Verdict formats a report, without the text that only exports have.
func Verdict(r *ledger.VerifyReport) string {
	var text strings.Builder
	for i := range r.Chains {
		c := &r.Chains[i]
		if i > 0 {
			text.WriteString("; ")
		}
		fmt.Fprintf(&text, "%d: %s to %s", c.Chain, ledger.ShowSeq(c.First), ledger.ShowSeq(c.Last))
		if c.Confirmed != 0 {
			fmt.Fprintf(&text, ", %s confirmed", ledger.ShowSeq(c.Confirmed))
		}
		if c.Broken != 0 {
			fmt.Fprintf(&text, ", %s broken: %s", ledger.ShowSeq(c.Broken), strings.TrimSuffix(c.How, " (only an export without filters can be verified)"))
		}
	}
	return text.String()
}
