package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"moneyer/internal/rowauth/rowauthtest"
)

// TestNoStore: a store that is missing, as on a disk that is not mounted, is refused, and
// nothing is created. Only Options.Create makes one.
func TestNoStore(t *testing.T) {
	folder := t.TempDir()
	missing, empty, begun := filepath.Join(folder, "missing.db"), filepath.Join(folder, "empty.db"), filepath.Join(folder, "begun.db")
	must(t, os.WriteFile(empty, nil, 0o600))
	d := openTest(t, begun, Options{})
	mustExecFile(t, d, `DROP TABLE schema_version`) // as a killed init leaves it
	must(t, d.Close())
	for name, url := range map[string]string{
		"no file": "sqlite:" + missing, "an empty file": "sqlite:" + empty, "a file without a schema": "sqlite:" + begun,
		"an empty database": PostgresForTests.NewDatabase(t),
	} {
		for range 2 {
			d, err := Open(t.Context(), url, Options{RowKey: rowauthtest.Key(), Now: time.Now})
			if !errors.Is(err, ErrNoStore) || !strings.Contains(err.Error(), "`moneyer init`") {
				t.Errorf("%s: %v", name, err)
			}
			if err == nil {
				must(t, d.Close())
			}
		}
		if url == "sqlite:"+begun {
			continue
		}
		d, err := Open(t.Context(), url, Options{Create: true, RowKey: rowauthtest.Key(), Now: time.Now})
		must(t, err)
		must(t, d.Close())
		d, err = Open(t.Context(), url, Options{RowKey: rowauthtest.Key(), Now: time.Now})
		if err != nil {
			t.Errorf("%s, when it was created: %v", name, err)
			continue
		}
		must(t, d.Close())
	}
}

// TestNoStoreLeavesNothing: where there is no store, no file is left behind.
func TestNoStoreLeavesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "moneyer.db")
	_, err := Open(t.Context(), "sqlite:"+path, Options{RowKey: rowauthtest.Key(), Now: time.Now})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if _, err := Migrate(t.Context(), "sqlite:"+path, Newest); !errors.Is(err, ErrNoStore) {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 0 {
		t.Errorf("%v, %v", left, err)
	}
}

func mustExecFile(t *testing.T, d *DB, query string, args ...any) {
	t.Helper()
	must(t, d.writer.do(t.Context(), func(tx *tx) error {
		_, err := tx.Exec(query, args...)
		return err
	}))
}
