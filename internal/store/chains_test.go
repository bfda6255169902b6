package store

import (
	"crypto/ed25519"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"moneyer/internal/ledger"
	"moneyer/internal/rowauth/rowauthtest"
	"moneyer/internal/store/engine"
	"moneyer/internal/store/history"
)

// signer signs checkpoints with the key that is made of name.
func signer(name string) (ed25519.PublicKey, func([]byte) ([]byte, error)) {
	private := ed25519.NewKeyFromSeed(fmt.Appendf(nil, "%-32s", name))
	public := ed25519.PublicKey(slices.Clone(private[ed25519.SeedSize:]))
	return public, func(message []byte) ([]byte, error) { return ed25519.Sign(private, message), nil }
}

// another is a writer of another chain of the same ledger.
type another struct {
	d   *DB
	end ledger.Head
	// late is how much its clock is ahead.
	late time.Duration
}

func newAnother(d *DB, chain int64) *another {
	return &another{d: d, end: ledger.Head{Seq: ledger.Numbered(chain, 0)}}
}

// write puts a batch of entries into the chain.
func (a *another) write(t *testing.T, entries ...*ledger.Entry) {
	t.Helper()
	err := a.d.writer.do(t.Context(), func(own *tx) error {
		var lines []engine.Line
		for _, e := range entries {
			l, err := engine.Encode(e)
			if err != nil {
				return err
			}
			lines = append(lines, l)
		}
		other := *own
		other.Head = a.end
		err := other.recordLines(lines)
		a.end = other.Head
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// append puts n entries into the chain, the i-th of them i seconds after at.
func (a *another) append(t *testing.T, at, n int) {
	t.Helper()
	var entries []*ledger.Entry
	for i := range n {
		entries = append(entries, timed(at+i, a.late))
	}
	a.write(t, entries...)
}

func timed(seconds int, late time.Duration) *ledger.Entry {
	return &ledger.Entry{Kind: ledger.KindToken, Time: clock().Add(time.Duration(seconds)*time.Second + late),
		JTI: fmt.Sprint("jti-", seconds)}
}

// checkpoint names the heads of all chains.
func (a *another) checkpoint(t *testing.T, at int, sign func([]byte) ([]byte, error)) {
	t.Helper()
	chains, err := history.Chains(t.Context(), a.d.reads)
	if err != nil {
		t.Fatal(err)
	}
	last, err := a.d.ledger.LastCheckpoint(t.Context(), a.end.Seq)
	if err != nil {
		t.Fatal(err)
	}
	cp := &ledger.Checkpoint{Number: last.Number + 1, Previous: last.Head, Time: timed(at, a.late).Time, Heads: withOwn(chains, a.end.Seq, a.end.Hash)}
	e, err := ledger.NewCheckpoint(ledger.ChainOf(a.end.Seq), cp, sign)
	if err != nil {
		t.Fatal(err)
	}
	a.write(t, e)
}

// farAway is more than a walk remembers of the ends of batches.
const farAway = 256

func own(t *testing.T, d *DB, at int) {
	t.Helper()
	if err := d.Append(t.Context(), timed(at, 0)); err != nil {
		t.Fatal(err)
	}
}

const (
	chain2 = int64(2) << ledger.ChainShift
	chain5 = int64(5) << ledger.ChainShift
)

// skew of two clocks is longer than it takes to write severalChains, so that the chains
// are read one after the other, and short enough for the checkpoints to be in time.
const skew = 100 * time.Second

// severalChains makes a ledger of three chains:
//
//	chain 0: 1, 2, 3 a checkpoint (0-2 2-6 5-7), 4, 5 a checkpoint (0-4 2-9 5-8)
//	chain 2: 1 to 3, 4 a checkpoint (0-1 2-3), 5 to 6, 7 to 9
//	chain 5: 1 to 7, 8 a checkpoint (0-3 2-6 5-7)
func severalChains(t *testing.T, late time.Duration) (*DB, *another, *another) {
	t.Helper()
	_, sign := signer("key")
	var now atomic.Int64
	d := openTest(t, filepath.Join(t.TempDir(), "moneyer.db"), Options{Create: true, RowKey: rowauthtest.Key(), Now: func() time.Time {
		return clock().Add(time.Duration(now.Load()) * time.Second)
	}})
	two, five := newAnother(d, 2), newAnother(d, 5)
	two.late, five.late = late, -late
	checkpoint := func(at int64) {
		now.Store(at)
		if _, err := d.Checkpoint(t.Context(), sign); err != nil {
			t.Fatal(err)
		}
	}
	own(t, d, 0)
	two.append(t, 1, 3)
	two.checkpoint(t, 5, sign)
	two.append(t, 10, 2)
	five.append(t, 13, 7)
	own(t, d, 20)
	checkpoint(21)
	five.checkpoint(t, 22, sign)
	own(t, d, 25)
	two.append(t, 30, 3)
	checkpoint(40)
	return d, two, five
}

func seqs(seqs ...int64) string {
	var words []string
	for _, seq := range seqs {
		words = append(words, ledger.ShowSeq(seq))
	}
	return strings.Join(words, " ")
}

// TestVerifySeveralChains walks three chains whose clocks agree, and others whose
// clocks are far from each other, so that a checkpoint is met long before or after
// what it names.
func TestVerifySeveralChains(t *testing.T) {
	key, _ := signer("key")
	for _, late := range []time.Duration{0, skew, -skew} {
		d, two, _ := severalChains(t, late)
		for range 2 {
			report, err := d.Verify(t.Context(), key)
			if err != nil || report.Broken != 0 || report.Checkpoints != 4 || !report.Signed || len(report.Chains) != 3 {
				t.Fatalf("%v late: %+v, %v", late, report, err)
			}
			got := ""
			for _, c := range report.Chains {
				got += fmt.Sprintf("%d: %s; ", c.Chain, seqs(c.First, c.Last, c.Confirmed))
			}
			if want := fmt.Sprintf("0: 1 5 4; 2: 2-1 %s 2-9; 5: 5-1 5-8 5-8; ", seqs(two.end.Seq)); got != want {
				t.Errorf("%v late: first, last and confirmed are %s, want %s", late, got, want)
			}
			if late != 0 {
				break
			}
			two.append(t, 50, 250) // which no checkpoint names
		}
	}
}

// reads reads the batch that begins with entry first.
func readBatch(t *testing.T, d *DB, first int64) (found *history.Batch) {
	t.Helper()
	if err := d.ledger.Batches(t.Context(), first, first, func(b *history.Batch) error { found = b; return nil }); err != nil || found == nil {
		t.Fatal(err)
	}
	return found
}

// rewrite writes the batches of a chain from entry first on anew, all links right.
func rewrite(t *testing.T, d *DB, first int64, change func(*ledger.Entry)) {
	t.Helper()
	b := readBatch(t, d, first)
	a := &another{d: d, end: ledger.Head{Seq: first - 1, Hash: [32]byte(b.Previous)}}
	var later []*history.Batch
	err := d.ledger.Batches(t.Context(), first, first|(1<<ledger.ChainShift-1), func(b *history.Batch) error { later = append(later, b); return nil })
	if err != nil {
		t.Fatal(err)
	}
	tamper(t, d, `DELETE FROM ledger_batch WHERE first_seq >= $1 AND first_seq <= $2`, first, later[len(later)-1].First)
	for _, b := range later {
		var entries []*ledger.Entry
		for i := range b.Lines {
			e, err := (&ledger.Record{Line: b.Lines[i]}).Entry()
			if err != nil {
				t.Fatal(err)
			}
			change(e)
			entries = append(entries, e)
		}
		a.write(t, entries...)
	}
}

// TestVerifyTamperedChain tampers with the ledger of severalChains.
func TestVerifyTamperedChain(t *testing.T) {
	t.Parallel()
	key, sign := signer("key")
	_, foreign := signer("another key")
	statement := func(query string, args ...any) func(*testing.T, *DB) {
		return func(t *testing.T, d *DB) { tamper(t, d, query, args...) }
	}
	for _, test := range []struct {
		name   string
		tamper func(*testing.T, *DB)
		broken string // the first broken entry of each broken chain
		how    string
		// unsigned tells that it is found without the key, too.
		unsigned bool
	}{
		{"nothing", func(*testing.T, *DB) {}, "", "", true},
		{"changed entry", func(t *testing.T, d *DB) {
			editLines(t, d, chain2+5, func(l [][]byte) [][]byte { l[1][20] ^= 1; return l })
		}, "2-6", "changed", true},
		{"changed entry of another", func(t *testing.T, d *DB) {
			editLines(t, d, chain5+1, func(l [][]byte) [][]byte { l[6][20] ^= 1; return l })
		}, "5-7", "changed", true},
		{"missing entries", statement(`DELETE FROM ledger_batch WHERE first_seq = $1`, chain2+5), "2-5", "missing, with all up to entry 2-6", true},
		{"inserted entry", func(t *testing.T, d *DB) {
			a := &another{d: d, end: ledger.Head{Seq: chain2 + 5}}
			a.append(t, 20, 1)
		}, "2-6", "there twice", true},
		{"no start", statement(`DELETE FROM ledger_batch WHERE first_seq = $1`, chain2+1), "2-4", "no anchor", true},
		{"missing chain", statement(`DELETE FROM ledger_batch WHERE first_seq > $1 AND first_seq < $2`, chain2, chain5), "2-1", "whole chain is missing, of which checkpoint", true},
		{"both changed and cut", func(t *testing.T, d *DB) {
			tamper(t, d, `DELETE FROM ledger_batch WHERE first_seq >= $1 AND first_seq < $2`, chain2+7, chain5)
			editLines(t, d, chain2+1, func(l [][]byte) [][]byte { l[1][20] ^= 1; return l })
		}, "2-2", "changed", true},
		{"cut tail", statement(`DELETE FROM ledger_batch WHERE first_seq >= $1 AND first_seq < $2`, chain2+7, chain5), "2-7", "up to entry 2-9, which checkpoint 5 names", true},
		{"cut own tail", statement(`DELETE FROM ledger_batch WHERE first_seq >= 3 AND first_seq < $1`, chain2), "3", "which checkpoint 5-8 names", true},
		{"rewritten tail", func(t *testing.T, d *DB) {
			rewrite(t, d, chain2+7, func(e *ledger.Entry) { e.JTI += "x" })
		}, "2-9", "not the entry that checkpoint 5 names", true},
		{"rewritten chain", func(t *testing.T, d *DB) {
			rewrite(t, d, chain5+1, func(e *ledger.Entry) { e.JTI += "x" })
		}, "5-7", "rewritten with all that follow", true},
		{"false head, signed by another", func(t *testing.T, d *DB) {
			rewrite(t, d, chain5+8, func(e *ledger.Entry) { resign(t, e, 5, foreign) })
		}, "5-8", "", true},
		{"true heads, signed by another", func(t *testing.T, d *DB) {
			rewrite(t, d, 5, func(e *ledger.Entry) { resign(t, e, 0, foreign) })
		}, "5", "its signature is not by the checkpoint key", false},
		{"signature of another checkpoint", func(t *testing.T, d *DB) {
			rewrite(t, d, 5, func(e *ledger.Entry) { e.Signature = "AAAA" + e.Signature[4:] })
		}, "5", "its signature is not by the checkpoint key", false},
		{"no signature", func(t *testing.T, d *DB) {
			rewrite(t, d, 5, func(e *ledger.Entry) { e.Signature = "" })
		}, "5", "its signature is not by the checkpoint key", false},
		{"signature that is none", func(t *testing.T, d *DB) {
			rewrite(t, d, 5, func(e *ledger.Entry) { e.Signature = "=" })
		}, "5", "not base64url", true},
		{"checkpoint moved to another chain", func(t *testing.T, d *DB) {
			e, err := firstRecord(readBatch(t, d, 5)).Entry()
			if err != nil {
				t.Fatal(err)
			}
			b := readBatch(t, d, chain5+8)
			(&another{d: d, end: ledger.Head{Seq: chain5 + 8, Hash: [32]byte(b.Last)}}).write(t, e)
		}, "5-9", "its", true}, // signature is not by the key, or it names an entry of another chain
		{"heads that are none", func(t *testing.T, d *DB) {
			rewrite(t, d, 5, func(e *ledger.Entry) { e.Heads = "0-4"; resign(t, e, 0, sign) })
		}, "5", "hash", true},
		{"no heads", func(t *testing.T, d *DB) {
			rewrite(t, d, 5, func(e *ledger.Entry) { e.Heads = ""; resign(t, e, 0, sign) })
		}, "5", "no number", true},
		{"a head amid a batch", func(t *testing.T, d *DB) { // which is true, if odd
			hashes, _ := readBatch(t, d, chain5+1).Hashes(nil)
			rewrite(t, d, 5, func(e *ledger.Entry) {
				e.Heads = ledger.FormatHeads([]ledger.Head{{Seq: chain5 + 3, Hash: hashes[2]}})
				resign(t, e, 0, sign)
			})
		}, "", "", true},
		{"a number that no entry has", statement(`UPDATE ledger_batch SET first_seq = $1 WHERE first_seq = $2`, chain5, chain5+1), "5-0", "no entry has such a number", true},
		{"a chain that there cannot be", func(t *testing.T, d *DB) { newAnother(d, ledger.MaxChain+1).append(t, 1, 1) }, "8192-1", "such a number", true},
		{"a chain with a predecessor", func(t *testing.T, d *DB) {
			(&another{d: d, end: ledger.Head{Seq: 7 << ledger.ChainShift, Hash: [32]byte{1}}}).append(t, 1, 1)
		}, "7-1", "claims a predecessor", true},
	} {
		for _, late := range []time.Duration{0, skew, -skew} {
			t.Run(fmt.Sprintf("%s, %v late", test.name, late), func(t *testing.T) {
				d, _, _ := severalChains(t, late)
				test.tamper(t, d)
				for _, key := range []ed25519.PublicKey{key, nil} {
					want := test.broken
					if key == nil && !test.unsigned {
						want = ""
					}
					report, err := d.Verify(t.Context(), key)
					var broken []string
					for _, c := range report.Chains {
						if c.Broken != 0 {
							broken = append(broken, ledger.ShowSeq(c.Broken))
						}
					}
					if err != nil || strings.Join(broken, " ") != want || want != "" && !strings.Contains(report.How, test.how) {
						t.Errorf("with key %x: %+v, %v; want %q with %q", key, report, err, want, test.how)
					}
				}
			})
		}
	}
}

func firstRecord(b *history.Batch) *ledger.Record {
	return &ledger.Record{Seq: b.First, Line: b.Lines[0]}
}

func resign(t *testing.T, e *ledger.Entry, chain int64, sign func([]byte) ([]byte, error)) {
	t.Helper()
	if err := e.Sign(chain, sign); err != nil {
		t.Fatal(err)
	}
}

// TestVerifyLookUp: claims on entries that a walk passed long ago, or
// comes to much later.
func TestVerifyLookUp(t *testing.T) {
	t.Parallel()
	key, sign := signer("key")
	for _, late := range []time.Duration{0, skew, -skew} {
		d := openNew(t)
		two := newAnother(d, 2)
		two.late = late
		for i := range 2 * farAway {
			two.append(t, i/8, 2)
		}
		chains, err := history.Chains(t.Context(), d.reads)
		if err != nil {
			t.Fatal(err)
		}
		own(t, d, 0)
		for i, c := range []ledger.Head{chains[0].Head, {Seq: chain2 + 4, Hash: [32]byte(readBatch(t, d, chain2+3).Last)}} {
			last, err := d.ledger.LastCheckpoint(t.Context(), int64(i+1))
			if err != nil {
				t.Fatal(err)
			}
			e, err := ledger.NewCheckpoint(0, &ledger.Checkpoint{Number: last.Number + 1, Previous: last.Head, Time: timed(10*farAway, 0).Time, Heads: []ledger.Head{c}}, sign)
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Append(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			if report, err := d.Verify(t.Context(), key); err != nil || report.Broken != 0 || report.Checkpoints != int64(i+1) || report.Chains[1].Confirmed != chains[0].Head.Seq {
				t.Errorf("%v late: %+v, %v", late, report, err)
			}
		}
		rewrite(t, d, chain2+3, func(e *ledger.Entry) { e.JTI += "x" })
		if report, err := d.Verify(t.Context(), key); err != nil || report.Broken != chain2+4 || report.Chains[0].Broken != 0 {
			t.Errorf("%v late, rewritten: %+v, %v", late, report, err)
		}
	}
}

func TestEntriesOfSeveralChains(t *testing.T) {
	d, _, _ := severalChains(t, 0)
	at := func(seconds int) time.Time { return clock().Add(time.Duration(seconds) * time.Second) }
	place := func(chain, n int64) int64 { return ledger.Numbered(chain, n) }
	for name, test := range map[string]struct {
		q    ledger.Query
		want string
	}{
		"all":                     {ledger.Query{}, "1 2 3 4 5 2-1 2-2 2-3 2-4 2-5 2-6 2-7 2-8 2-9 5-1 5-2 5-3 5-4 5-5 5-6 5-7 5-8"},
		"after one position":      {ledger.Query{After: []int64{place(2, 7)}}, "1 2 3 4 5 2-8 2-9 5-1 5-2 5-3 5-4 5-5 5-6 5-7 5-8"},
		"after all positions":     {ledger.Query{After: []int64{4, place(2, 9), place(5, 6)}}, "5 5-7 5-8"},
		"after ends":              {ledger.Query{After: []int64{place(5, 8), place(2, 1000), 5, place(7, 1)}}, ""},
		"limit over chains":       {ledger.Query{After: []int64{3, place(2, 8)}, Limit: 4}, "4 5 2-9 5-1"},
		"since":                   {ledger.Query{Since: at(21)}, "3 4 5 2-7 2-8 2-9 5-8"},
		"between":                 {ledger.Query{Since: at(11), Until: at(14)}, "2-6 5-1"},
		"between, in one chain":   {ledger.Query{Since: at(32), Until: at(35)}, "2-9"},
		"since, after a position": {ledger.Query{Since: at(21), After: []int64{place(2, 8), place(5, 8)}}, "3 4 5 2-9"},
		"kind":                    {ledger.Query{Kind: ledger.KindCheckpoint}, "3 5 2-4 5-8"},
		"jti":                     {ledger.Query{JTI: "jti-13"}, "5-1"},
	} {
		var found []int64
		err := d.Entries(t.Context(), test.q, func(r *ledger.Record) error {
			found = append(found, r.Seq)
			return nil
		})
		if err != nil || seqs(found...) != test.want {
			t.Errorf("%s: %s, %v; want %s", name, seqs(found...), err, test.want)
		}
	}
}

// TestPruneSeveralChains: each chain keeps at least its last batch and checkpoint, and its
// shortened start is accepted for an entry in the chain of who pruned.
func TestPruneSeveralChains(t *testing.T) {
	key, sign := signer("key")
	d, _, _ := severalChains(t, 0)
	for _, step := range []struct {
		before, gone int
		first        string
	}{{0, 0, "1 2-1 5-1"}, {4, 4, "2 2-4 5-1"}, {12, 0, "2 2-4 5-1"}, {20, 7, "2 2-4 5-8"}, {20, 0, "2 2-4 5-8"}, {100, 10, "12 2-4 5-8"}, {1000, 0, "12 2-4 5-8"}} {
		if step.before == 100 {
			own(t, d, 50)
			if _, err := d.Checkpoint(t.Context(), sign); err != nil {
				t.Fatal(err)
			}
		}
		gone, err := d.Prune(t.Context(), clock().Add(time.Duration(step.before)*time.Second), 0, sign)
		if err != nil || gone != int64(step.gone) {
			t.Errorf("older than %d s: %d are gone, %v; want %d", step.before, gone, err, step.gone)
		}
		report, err := d.Verify(t.Context(), key)
		var first []int64
		for _, c := range report.Chains {
			first = append(first, c.First)
		}
		if err != nil || report.Broken != 0 || seqs(first...) != step.first {
			t.Errorf("older than %d s: %+v, %v; want the chains to begin with %s", step.before, report, err, step.first)
		}
	}
	own(t, d, 50)
	if _, err := d.Checkpoint(t.Context(), sign); err != nil {
		t.Fatal(err)
	}
	tamper(t, d, `DELETE FROM ledger_batch WHERE first_seq < 16`)
	report, err := d.Verify(t.Context(), key)
	if err != nil || slices.ContainsFunc(report.Chains, func(c ledger.ChainReport) bool { return c.Broken == 0 }) {
		t.Errorf("pruned without an anchor: %+v, %v", report, err)
	}
}

// TestNoCheckpointWithoutNewEntries: replicas that have nothing to do do not keep
// each other busy with checkpoints.
func TestNoCheckpointWithoutNewEntries(t *testing.T) {
	_, sign := signer("key")
	d := openNew(t)
	two := newAnother(d, 2)
	rows := func() int64 { return count(t, d, `SELECT count(*) FROM ledger_batch`) }
	expect := func(what string, more int64) {
		t.Helper()
		before := rows()
		if _, err := d.Checkpoint(t.Context(), sign); err != nil || rows() != before+more {
			t.Errorf("%s: %d checkpoints more, %v; want %d", what, rows()-before, err, more)
		}
	}
	expect("an empty ledger", 0)
	two.append(t, 1, 1)
	expect("the first entry of another chain", 1)
	expect("nothing", 0)
	two.checkpoint(t, 2, sign)
	expect("a checkpoint of another", 0)
	two.append(t, 3, 1)
	expect("an entry of another", 1)
	newAnother(d, 3).checkpoint(t, 4, sign)
	expect("a checkpoint of a new chain", 0)
	own(t, d, 5)
	expect("an entry of one's own", 1)
	two.append(t, 6, 1)
	tamper(t, d, `UPDATE ledger_batch SET lines = zeroblob(9) WHERE first_seq = $1`, two.end.Seq)
	expect("an entry that cannot be read", 1)
}

// TestFileContinuesItsChain: a file that holds other chains, too, as a copy of
// a database does.
func TestFileContinuesItsChain(t *testing.T) {
	d, two, _ := severalChains(t, 0)
	path := filepath.Join(t.TempDir(), "copy.db")
	if err := d.Backup(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	again := openTest(t, path, Options{})
	appendEntries(t, again, 2)
	key, _ := signer("key")
	report, err := again.Verify(t.Context(), key)
	if err != nil || report.Broken != 0 || report.Chains[0].Last != 7 || report.Chains[1].Last != two.end.Seq {
		t.Errorf("%+v, %v", report, err)
	}
}
