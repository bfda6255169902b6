package store

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/internal/store/engine"
	"moneyer/internal/store/history"
)

// tamper changes the ledger directly in the database.
func tamper(t *testing.T, d *DB, query string, args ...any) {
	t.Helper()
	err := d.writer.do(t.Context(), func(tx *tx) error {
		n, err := tx.Exec(query, args...)
		if err == nil && n == 0 {
			err = errors.New("nothing was tampered with")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// appendBatch writes n entries in one batch.
func appendBatch(t *testing.T, d *DB, n int) {
	t.Helper()
	lines := make([]engine.Line, n)
	for i := range lines {
		l, err := engine.Encode(testEntry(i))
		if err != nil {
			t.Fatal(err)
		}
		lines[i] = l
	}
	if err := d.writer.do(t.Context(), func(tx *tx) error { return tx.recordLines(lines) }); err != nil {
		t.Fatal(err)
	}
}

// TestVerifyNamesTheFirstBrokenEntry tampers with the second of four batches,
// which holds the entries 4 to 8.
func TestVerifyNamesTheFirstBrokenEntry(t *testing.T) {
	for _, test := range []struct {
		name, tamper string
		edit         func(lines [][]byte) [][]byte
		how          string
		seq          int64
	}{
		{"sound", `UPDATE ledger_batch SET count = count`, nil, "", 0},
		{"changed line", "", func(l [][]byte) [][]byte { l[2][20] ^= 1; return l }, "it was changed", 6},
		{"changed line and no marks", `UPDATE ledger_batch SET marks = x''`, func(l [][]byte) [][]byte { l[2][20] ^= 1; return l }, "up to entry 8", 4},
		{"changed line and its mark", `UPDATE ledger_batch SET marks = substr(marks, 1, 8)`, func(l [][]byte) [][]byte { l[2][20] ^= 1; return l }, "up to entry 8", 4},
		{"changed mark", `UPDATE ledger_batch SET marks = CAST(zeroblob(20) AS BLOB) WHERE first_seq = 4`, nil, "it was changed", 4},
		{"removed batch", `DELETE FROM ledger_batch WHERE first_seq = 4`, nil, "missing", 4},
		{"moved batch", `UPDATE ledger_batch SET first_seq = 5 WHERE first_seq = 4`, nil, "missing", 4},
		{"wrong link", `UPDATE ledger_batch SET previous = zeroblob(32) WHERE first_seq = 4`, nil, "link", 4},
		{"no link", `UPDATE ledger_batch SET previous = zeroblob(3) WHERE first_seq = 4`, nil, "link", 4},
		{"wrong end", `UPDATE ledger_batch SET last = zeroblob(32) WHERE first_seq = 4`, nil, "hash at its end", 4},
		{"added line", "", func(l [][]byte) [][]byte { return append(l, []byte("{}")) }, "added", 8},
		{"cut line", "", func(l [][]byte) [][]byte { l[0] = l[0][:40]; return l }, "it was changed", 4},
		{"removed lines", "", func(l [][]byte) [][]byte { return l[:1] }, "line is missing", 5},
		{"no lines", `UPDATE ledger_batch SET lines = zeroblob(0) WHERE first_seq = 4`, nil, "it was changed", 4},
		{"not packed", `UPDATE ledger_batch SET lines = zeroblob(100) WHERE first_seq = 4`, nil, "cannot be read", 4},
		{"smaller count", `UPDATE ledger_batch SET count = 2 WHERE first_seq = 4`, nil, "added", 5},
		{"no start", `DELETE FROM ledger_batch WHERE first_seq < 4`, nil, "no anchor", 4},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := openNew(t)
			for _, n := range []int{3, 5, 3, 3} {
				appendBatch(t, d, n)
			}
			if test.edit != nil {
				editLines(t, d, 4, test.edit)
			}
			if test.tamper != "" {
				tamper(t, d, test.tamper)
			}
			report, err := d.Verify(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if report.Broken != test.seq || !strings.Contains(report.How, test.how) {
				t.Errorf("%+v, want entry %d with %q", report, test.seq, test.how)
			}
		})
	}
}

// editLines changes the lines of the batch that begins with entry first, behind
// the store's back.
func editLines(t *testing.T, d *DB, first int64, edit func([][]byte) [][]byte) {
	t.Helper()
	err := d.ledger.Batches(t.Context(), first, first, func(b *history.Batch) error {
		var lines []engine.Line
		for _, text := range edit(b.Lines) {
			lines = append(lines, engine.Line{Text: text})
		}
		tamper(t, d, `UPDATE ledger_batch SET lines = $1 WHERE first_seq = $2`, pack(t, lines), first)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// pack packs lines as the writer does.
func pack(t *testing.T, lines []engine.Line) []byte {
	t.Helper()
	packer, err := history.NewPacker()
	if err != nil {
		t.Fatal(err)
	}
	return packer.Row(&ledger.Head{}, lines).Lines
}

// TestPrunedStartNeedsItsAnchor prunes in steps that may each be the last one
// before a crash.
func TestPrunedStartNeedsItsAnchor(t *testing.T) {
	d := openNew(t)
	for range 6 {
		appendBatch(t, d, 4)
	}
	appendEntries(t, d, 40)
	if err := d.writer.do(t.Context(), func(tx *tx) error {
		return tx.writeAnchors([]newStart{{Range: engine.Range{First: 1, Keep: 17}, checkpoint: 1}}, clock(), 0, unsigned)
	}); err != nil {
		t.Fatal(err)
	}
	for _, first := range []int64{1, 5, 9, 17} {
		if first > 1 {
			tamper(t, d, `DELETE FROM ledger_batch WHERE first_seq < $1`, first)
		}
		if report, err := d.Verify(t.Context(), nil); err != nil || report.Broken != 0 || report.First != first {
			t.Errorf("pruned up to %d: %+v, %v", first, report, err)
		}
	}
	tamper(t, d, `DELETE FROM ledger_batch WHERE first_seq < 21`)
	if report, err := d.Verify(t.Context(), nil); err != nil || report.Broken != 21 {
		t.Errorf("pruned beyond the anchor: %+v, %v", report, err)
	}
}

// TestInvalidAnchors rewrites the chain with an anchor for an entry that
// was never there: a finding, not a crash.
func TestInvalidAnchors(t *testing.T) {
	for _, object := range []string{"1000000 ", "9223372036854775807 ", "-1 ", "21 "} {
		d := openNew(t)
		for range 4 {
			appendBatch(t, d, 4)
		}
		forged, err := ledger.NewAnchor(0, &ledger.Anchor{Newest: clock(), Time: clock(), Checkpoint: 1}, unsigned)
		if err != nil {
			t.Fatal(err)
		}
		forged.Object = object + strings.Repeat("00", 32)
		if err := d.Append(t.Context(), forged); err != nil {
			t.Fatal(err)
		}
		tamper(t, d, `DELETE FROM ledger_batch WHERE first_seq < 9`)
		if report, err := d.Verify(t.Context(), nil); err != nil || report.Broken != 9 {
			t.Errorf("an anchor for %s: %+v, %v", object, report, err)
		}
	}
}

// unsigned is a signer for what is verified without a key.
func unsigned([]byte) ([]byte, error) { return nil, nil }

// TestPruneInSteps prunes more than one transaction removes.
func TestPruneInSteps(t *testing.T) {
	d := openTest(t, filepath.Join(t.TempDir(), "moneyer.db"), Options{Now: func() time.Time { return clock().Add(time.Hour) }})
	for range 7 {
		appendBatch(t, d, 1000)
	}
	if _, err := d.Checkpoint(t.Context(), unsigned); err != nil {
		t.Fatal(err)
	}
	appendEntries(t, d, 5)
	tamper(t, d, `UPDATE ledger_batch SET time_max = $1 WHERE first_seq > 7000`, clock().Add(time.Hour).UnixMilli())
	gone, err := d.Prune(t.Context(), clock().Add(time.Hour), 0, unsigned)
	if err != nil || gone != 7000 {
		t.Errorf("pruned %d entries, %v", gone, err)
	}
	report, err := d.Verify(t.Context(), nil)
	if err != nil || report.Broken != 0 || report.First != 7001 || report.Last != 7007 {
		t.Errorf("after pruning: %+v, %v", report, err)
	}
}

func TestEntriesOfABrokenBatch(t *testing.T) {
	for _, test := range []struct {
		name, want string
		tamper     func(*testing.T, *DB)
	}{
		{"not packed", "entry 1 is broken", func(t *testing.T, d *DB) { tamper(t, d, `UPDATE ledger_batch SET lines = zeroblob(1)`) }},
		{"changed line", "entry 2 is broken", func(t *testing.T, d *DB) {
			editLines(t, d, 1, func(lines [][]byte) [][]byte { lines[1][20] ^= 1; return lines })
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := openNew(t)
			appendBatch(t, d, 3)
			test.tamper(t, d)
			err := d.Entries(t.Context(), ledger.Query{}, func(*ledger.Record) error { return nil })
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("entries of a broken batch: %v", err)
			}
		})
	}
}

func TestBackup(t *testing.T) {
	d := openNew(t)
	appendEntries(t, d, 20)
	c := &registry.Client{Issuer: "d1", ID: "bank"}
	if err := d.PutClient(t.Context(), c, &ledger.Entry{Kind: ledger.KindAdmin, Time: clock()}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "copy of 100%?.db")
	if err := d.Backup(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	checkMode(t, path)
	if err := d.Backup(t.Context(), path); err == nil {
		t.Error("a backup was overwritten")
	}
	appendEntries(t, d, 1)
	copied := openTest(t, path, Options{})
	verified(t, copied, 21)
	if _, err := copied.Client(t.Context(), "d1", "bank"); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	half := filepath.Join(t.TempDir(), "half.db")
	if err := d.Backup(ctx, half); err == nil {
		t.Error("a backup that was cancelled succeeded")
	}
	checkMissing(t, half)
}

func TestCanonicalLinesHaveNoLineFeed(t *testing.T) {
	l, err := engine.Encode(&ledger.Entry{Found: "a\nb\r\u2028"})
	if err != nil || bytes.ContainsAny(l.Text, "\n\r") {
		t.Errorf("%q, %v", l.Text, err)
	}
}
