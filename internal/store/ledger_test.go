package store

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"moneyer/internal/authority"
)

// tamper changes the ledger behind the store's back.
func tamper(t *testing.T, d *DB, query string, args ...any) {
	t.Helper()
	err := d.writer.do(t.Context(), func(tx *tx) error {
		n, err := tx.exec(query, args...)
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
	lines := make([]line, n)
	for i := range lines {
		l, err := encode(testEntry(i))
		if err != nil {
			t.Fatal(err)
		}
		lines[i] = l
	}
	if err := d.writer.do(t.Context(), func(tx *tx) error { return tx.record(lines) }); err != nil {
		t.Fatal(err)
	}
}

// TestVerifyNamesTheFirstBrokenEntry tampers with the second of four batches,
// which holds the entries 4 to 8.
func TestVerifyNamesTheFirstBrokenEntry(t *testing.T) {
	for _, test := range []struct {
		name, tamper, how string
		seq               int64
	}{
		{"sound", `UPDATE ledger_batch SET count = count`, "", 0},
		{"changed line", `UPDATE ledger_batch SET lines = CAST(replace(lines, 'jti-2', 'jti-7') AS BLOB) WHERE first_seq = 4`, "line was changed", 6},
		{"changed hash", `UPDATE ledger_batch SET hashes = CAST(zeroblob(160) AS BLOB) WHERE first_seq = 4`, "line was changed", 4},
		{"removed batch", `DELETE FROM ledger_batch WHERE first_seq = 4`, "missing", 4},
		{"moved batch", `UPDATE ledger_batch SET first_seq = 5 WHERE first_seq = 4`, "missing", 4},
		{"wrong link", `UPDATE ledger_batch SET previous = zeroblob(32) WHERE first_seq = 4`, "link", 4},
		{"no link", `UPDATE ledger_batch SET previous = zeroblob(3) WHERE first_seq = 4`, "link", 4},
		{"wrong end", `UPDATE ledger_batch SET last = zeroblob(32) WHERE first_seq = 4`, "ends with", 8},
		{"added line", `UPDATE ledger_batch SET lines = CAST(lines || char(10) || '{}' AS BLOB) WHERE first_seq = 4`, "added", 8},
		{"cut line", `UPDATE ledger_batch SET lines = substr(lines, 1, 40) WHERE first_seq = 4`, "line was changed", 4},
		{"removed lines", `UPDATE ledger_batch SET lines = CAST(substr(CAST(lines AS TEXT), 1, instr(CAST(lines AS TEXT), char(10)) - 1) AS BLOB)
			WHERE first_seq = 4`, "line is missing", 5},
		{"no lines", `UPDATE ledger_batch SET lines = zeroblob(0) WHERE first_seq = 4`, "line", 4},
		{"removed hash", `UPDATE ledger_batch SET hashes = substr(hashes, 1, 70) WHERE first_seq = 4`, "hash is missing", 6},
		{"smaller count", `UPDATE ledger_batch SET count = 2 WHERE first_seq = 4`, "added", 5},
		{"no start", `DELETE FROM ledger_batch WHERE first_seq < 4`, "no anchor", 4},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := openNew(t)
			for _, n := range []int{3, 5, 3, 3} {
				appendBatch(t, d, n)
			}
			tamper(t, d, test.tamper)
			report, err := d.Verify(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if report.Broken != test.seq || !strings.Contains(report.How, test.how) {
				t.Errorf("%+v, want entry %d with %q", report, test.seq, test.how)
			}
		})
	}
}

// TestPrunedStartNeedsItsAnchor prunes in steps that may each be the last one
// before a crash.
func TestPrunedStartNeedsItsAnchor(t *testing.T) {
	d := openNew(t)
	for range 6 {
		appendBatch(t, d, 4)
	}
	appendEntries(t, d, 40)
	if err := d.writer.do(t.Context(), func(tx *tx) error { return tx.writeAnchor(17, clock()) }); err != nil {
		t.Fatal(err)
	}
	for _, first := range []int64{1, 5, 9, 17} {
		if first > 1 {
			tamper(t, d, `DELETE FROM ledger_batch WHERE first_seq < $1`, first)
		}
		if report, err := d.Verify(t.Context()); err != nil || report.Broken != 0 || report.First != first {
			t.Errorf("pruned up to %d: %+v, %v", first, report, err)
		}
	}
	tamper(t, d, `DELETE FROM ledger_batch WHERE first_seq < 21`)
	if report, err := d.Verify(t.Context()); err != nil || report.Broken != 21 {
		t.Errorf("pruned beyond the anchor: %+v, %v", report, err)
	}
}

// TestAnchorsThatPointNowhere rewrites the chain with an anchor for an entry that
// was never there: a finding, not a crash.
func TestAnchorsThatPointNowhere(t *testing.T) {
	for _, object := range []string{"1000000 ", "9223372036854775807 ", "-1 ", "21 "} {
		d := openNew(t)
		for range 4 {
			appendBatch(t, d, 4)
		}
		forged := testEntry(0)
		forged.Kind, forged.Action, forged.Object = authority.EntryAdmin, pruneAction, object+strings.Repeat("00", 32)
		if err := d.Append(t.Context(), forged, nil); err != nil {
			t.Fatal(err)
		}
		tamper(t, d, `DELETE FROM ledger_batch WHERE first_seq < 9`)
		if report, err := d.Verify(t.Context()); err != nil || report.Broken != 9 {
			t.Errorf("an anchor for %s: %+v, %v", object, report, err)
		}
	}
}

// TestPruneInSteps prunes more than one transaction removes.
func TestPruneInSteps(t *testing.T) {
	d := openNew(t)
	for range 7 {
		appendBatch(t, d, 1000)
	}
	appendEntries(t, d, 5)
	tamper(t, d, `UPDATE ledger_batch SET time_max = $1 WHERE first_seq > 7000`, clock().Add(time.Hour).UnixMilli())
	gone, err := d.Prune(t.Context(), clock().Add(time.Hour))
	if err != nil || gone != 7000 {
		t.Errorf("pruned %d entries, %v", gone, err)
	}
	report, err := d.Verify(t.Context())
	if err != nil || report.Broken != 0 || report.First != 7001 || report.Last != 7006 {
		t.Errorf("after pruning: %+v, %v", report, err)
	}
}

func TestEntriesOfABrokenBatch(t *testing.T) {
	d := openNew(t)
	appendBatch(t, d, 3)
	tamper(t, d, `UPDATE ledger_batch SET hashes = zeroblob(1)`)
	err := d.Entries(t.Context(), authority.Query{}, func(*authority.Record) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "entry 1 is broken") {
		t.Errorf("entries of a broken batch: %v", err)
	}
}

func TestBackup(t *testing.T) {
	d := openNew(t)
	appendEntries(t, d, 20)
	c := &authority.Client{Issuer: "d1", ID: "bank"}
	if err := d.PutClient(t.Context(), c, &authority.Entry{Kind: authority.EntryAdmin, Time: clock()}); err != nil {
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
	l, err := encode(&authority.Entry{Found: "a\nb\r\u2028"})
	if err != nil || bytes.ContainsAny(l.text, "\n\r") {
		t.Errorf("%q, %v", l.text, err)
	}
}
