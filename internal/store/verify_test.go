package store

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"moneyer/internal/ledger"
	"moneyer/internal/ledger/ledgertest"
	"moneyer/internal/store/engine"
)

// putBatches writes batches as rows, each of its time.
func putBatches(t *testing.T, d *DB, batches []ledger.Batch) {
	t.Helper()
	for i := range batches {
		b := &batches[i]
		lines := make([]engine.Line, len(b.Lines))
		for i, text := range b.Lines {
			lines[i].Text = text
		}
		at := clock().UnixMilli()
		if e, err := (&ledger.Record{Line: b.Lines[0]}).Entry(); err == nil && !e.Time.IsZero() {
			at = e.Time.UnixMilli()
		}
		tamper(t, d, `INSERT INTO ledger_batch (first_seq, count, time_min, time_max, previous, last, marks, lines) VALUES ($1, $2, $3, $3, $4, $5, $6, $7)`,
			b.First, b.Count, at, b.Previous, b.Last, b.Marks, pack(t, lines))
	}
}

// TestVerifyLedgerCases: the verdict on what was done to a ledger is that on its
// export, whatever the size of batches.
func TestVerifyLedgerCases(t *testing.T) {
	t.Parallel()
	for _, test := range ledgertest.Cases() {
		t.Run(test.Name, func(t *testing.T) {
			for _, size := range []int{2, 3} {
				l := ledgertest.New(t)
				test.Tamper(t, l)
				path := filepath.Join(t.TempDir(), "moneyer.db")
				d := openTest(t, path, Options{})
				for chain := range l.Chains {
					putBatches(t, d, l.Batches(chain, size))
				}
				for _, key := range []ed25519.PublicKey{l.Key, nil} {
					want := test.Want
					if key == nil {
						want = cmp.Or(test.Unkeyed, want)
					}
					report, err := d.Verify(t.Context(), key)
					if got := ledgertest.Verdict(&report); err != nil || got != want || report.Signed != (key != nil) {
						t.Errorf("batches of %d, key %x: %v\n%s, want\n%s", size, key, err, got, want)
					}
					if report, err = VerifyFile(t.Context(), path, key); err != nil || ledgertest.Verdict(&report) != want {
						t.Errorf("the file: %s, %v", ledgertest.Verdict(&report), err)
					}
				}
			}
		})
	}
}

// TestSourceLooksUpHashes of any entries, and of what comes before a chain.
func TestSourceLooksUpHashes(t *testing.T) {
	l := ledgertest.New(t)
	l.Remove(0, 1, 4)
	l.Tokens(t, 7, 8)
	d := openTest(t, filepath.Join(t.TempDir(), "moneyer.db"), Options{})
	for chain := range l.Chains {
		putBatches(t, d, l.Batches(chain, 3))
	}
	editLines(t, d, 7<<ledger.ChainShift|4, func(lines [][]byte) [][]byte { return lines[:2] })
	s, err := d.ledger.Source(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	asked := []int64{1, 3, 4, 5, 6, 7, 8, 1000, chain2, chain2 + 1, chain2 + 2, chain2 + 3, chain2 + 4, chain2 + 5, chain2 + 6, 3<<ledger.ChainShift | 1}
	for n := range int64(10) {
		asked = append(asked, 7<<ledger.ChainShift|n)
	}
	for _, seq := range asked {
		for _, r := range l.Chains[ledger.ChainOf(seq)] {
			place := ledger.PlaceOf(seq)
			if ledger.ChainOf(seq) == 7 && (4 <= place && place <= 6) { // which is broken
				continue
			}
			switch seq {
			case r.Seq:
				want = append(want, fmt.Sprintf("%s %x", ledger.ShowSeq(seq), r.Hash[:2]))
			case l.Chains[ledger.ChainOf(seq)][0].Seq - 1:
				if bytes.Equal(r.Previous[:], l.Chains[ledger.ChainOf(seq)][0].Previous[:]) {
					want = append(want, fmt.Sprintf("%s %x", ledger.ShowSeq(seq), r.Previous[:2]))
				}
			}
		}
	}
	err = s.Hashes(t.Context(), asked, func(seq int64, hash ledger.Hash) {
		got = append(got, fmt.Sprintf("%s %x", ledger.ShowSeq(seq), hash[:2]))
	})
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v\n%s, want\n%s", err, got, want)
	}
}
