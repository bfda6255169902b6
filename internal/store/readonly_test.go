package store

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"moneyer/internal/store/transfer"
)

func TestVerifyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "moneyer.db")
	d := openTest(t, path, Options{})
	appendEntries(t, d, 3)
	copied := filepath.Join(t.TempDir(), "a%20b?copy.db")
	if err := d.Backup(t.Context(), copied); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(copied)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{copied, path} { // the second one is open, and written to
		report, err := VerifyFile(t.Context(), file, nil)
		if err != nil || report.Broken != 0 || report.First != 1 || report.Last != 3 {
			t.Errorf("%s: %+v, %v", file, report, err)
		}
	}
	after, err := os.ReadFile(copied)
	if err != nil || string(before) != string(after) {
		t.Errorf("verifying changed the file, %v", err)
	}
	for _, suffix := range []string{"-wal", "-shm", "-journal", ".lock"} {
		checkMissing(t, copied+suffix)
	}
	appendEntries(t, d, 1)
	editLines(t, d, 1, func(lines [][]byte) [][]byte {
		return [][]byte{bytes.Replace(lines[0], []byte("token"), []byte("taken"), 1)}
	})
	report, err := VerifyFile(t.Context(), path, nil)
	if err != nil || report.Broken == 0 {
		t.Errorf("a broken ledger: %+v, %v", report, err)
	}
}

func TestVerifyFileRefuses(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(dir, "other.db")
	if err := os.WriteFile(other, []byte(strings.Repeat("this is no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(dir, "half.db") // what it lacks nobody could miss
	d := openTest(t, half, Options{})
	appendEntries(t, d, 3)
	tamper(t, d, `CREATE TABLE `+transfer.Unfinished+` (mark TEXT NOT NULL)`)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		half:                            "unfinished copy",
		other:                           "not a database",
		dir:                             "not a file",
		filepath.Join(dir, "absent.db"): "no such file",
	} {
		if _, err := VerifyFile(t.Context(), path, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	checkMissing(t, filepath.Join(dir, "absent.db"))
}
