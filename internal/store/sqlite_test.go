package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"moneyer/internal/rowauth/rowauthtest"
)

func checkMode(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("%s has mode %v", path, info.Mode())
	}
}

func checkMissing(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s: %v", path, err)
	}
}

func TestOneProcessHoldsTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a%20b?c#d.db")
	d := openTest(t, path, Options{})
	appendEntries(t, d, 1)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		checkMode(t, path+suffix)
	}
	checkMissing(t, path+".lock")
	_, err := Open(t.Context(), "sqlite:"+path, Options{Create: true, RowKey: rowauthtest.Key(), Now: clock})
	if err == nil || !strings.Contains(err.Error(), "in use by process") {
		t.Errorf("opened twice: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	again := openTest(t, path, Options{})
	verified(t, again, 1)
	var mode string
	var synchronous int
	err = again.writer.do(t.Context(), func(tx *tx) error {
		return errors.Join(tx.Row(`PRAGMA journal_mode`, nil, []any{&mode}), tx.Row(`PRAGMA synchronous`, nil, []any{&synchronous}))
	})
	if err != nil || mode != "wal" || synchronous != 2 {
		t.Errorf("journal mode %s, synchronous %d, %v", mode, synchronous, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "moneyer.db")
	d := openTest(t, path, Options{})
	tamper(t, d, `UPDATE schema_version SET version = 99`)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other.db")
	if err := os.WriteFile(other, []byte(strings.Repeat("this is no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]string{
		"sqlite:" + path:                    "version 99",
		"sqlite:" + other:                   "not a database",
		"sqlite:" + other + "/missing/x.db": "not a directory",
		"sqlite:":                           "URL",
		"mysql:x":                           "URL",
	} {
		for range 2 { // a refused file is not kept locked
			if _, err := Open(t.Context(), url, Options{Create: true, RowKey: rowauthtest.Key(), Now: clock}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", url, err, want)
			}
		}
	}
	if _, err := Open(t.Context(), "sqlite:"+path, Options{}); err == nil {
		t.Error("opened without a clock")
	}
}

// TestTouchIsFlushed: what is noted is written at the interval, and never set back.
func TestTouchIsFlushed(t *testing.T) {
	d := openTest(t, filepath.Join(t.TempDir(), "moneyer.db"), Options{TouchInterval: time.Millisecond})
	const credentials = 3 * touchBatch
	for i := range credentials {
		d.Touch("d1", "bank", time.Duration(i).String(), clock())
	}
	d.Touch("d1", "bank", "0s", clock().Add(-time.Hour))
	for len(d.touched.of("d1", "bank")) > 0 { // the test's own time limit ends it
		runtime.Gosched()
	}
	d.Touch("d1", "bank", "0s", clock().Add(-time.Hour))
	last, err := d.LastUsed(t.Context(), "d1", "bank")
	if err != nil || len(last) != credentials || !last["0s"].Equal(clock()) {
		t.Errorf("%d credentials, the first used at %v, %v", len(last), last["0s"], err)
	}
}

// TestTouchIsBounded: a flood of credentials is noted as far as there is room,
// those that are noted stay up to date, and Close writes all of them.
func TestTouchIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "moneyer.db")
	d := openTest(t, path, Options{TouchInterval: time.Hour})
	for i := range 2 * maxTouched {
		d.Touch("d1", "bank", strconv.Itoa(i), clock())
	}
	d.Touch("d1", "bank", "0", clock().Add(time.Hour))
	if noted := d.touched.of("d1", "bank"); len(noted) != maxTouched || noted["0"] != clock().Add(time.Hour).UnixMilli() {
		t.Errorf("%d are noted, want %d; the first at %d", len(noted), maxTouched, noted["0"])
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	last, err := openTest(t, path, Options{}).LastUsed(t.Context(), "d1", "bank")
	if err != nil || len(last) != maxTouched {
		t.Errorf("%d are written, %v", len(last), err)
	}
}
