package store

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
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
	for _, suffix := range []string{"", "-wal", ".lock"} {
		checkMode(t, path+suffix)
	}
	_, err := Open(t.Context(), "sqlite:"+path, Options{Now: clock})
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
		return errors.Join(tx.row(`PRAGMA journal_mode`, nil, []any{&mode}), tx.row(`PRAGMA synchronous`, nil, []any{&synchronous}))
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
			if _, err := Open(t.Context(), url, Options{Now: clock}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", url, err, want)
			}
		}
	}
	if _, err := Open(t.Context(), "sqlite:"+path, Options{}); err == nil {
		t.Error("opened without a clock")
	}
}

// TestTouchIsFlushed runs a store in a bubble: time passes at once there, and a
// goroutine that outlives Close fails the test.
func TestTouchIsFlushed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "moneyer.db")
	synctest.Test(t, func(t *testing.T) {
		d, err := Open(context.Background(), "sqlite:"+path, Options{Now: clock, TouchInterval: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 * touchesAtOnce {
			d.Touch("d1", "bank", time.Duration(i).String(), clock())
		}
		d.Touch("d1", "bank", "0s", clock().Add(-time.Hour))
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		if n := len(d.touched.of("d1", "bank")); n != 0 {
			t.Errorf("%d times are not written after the interval", n)
		}
		d.Touch("d1", "bank", "0s", clock().Add(-time.Hour))
		last, err := d.LastUsed(context.Background(), "d1", "bank")
		if err != nil || len(last) != 3*touchesAtOnce || !last["0s"].Equal(clock()) {
			t.Errorf("%d credentials, the first used at %v, %v", len(last), last["0s"], err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
}
