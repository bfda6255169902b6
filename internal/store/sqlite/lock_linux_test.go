package sqlite

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestNothingReleasesTheLocksOfSQLite: SQLite's own locks keep other programs from taking the
// WAL away, and stay whatever this process does with the file meanwhile.
func TestNothingReleasesTheLocksOfSQLite(t *testing.T) {
	f := openNew(t)
	path := f.held.path
	probe, err := os.Open(path) // closed at the end, as that would release them
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = probe.Close() })
	for name, do := range map[string]func() error{
		"nothing": func() error { return nil },
		"a backup": func() error {
			return WriteFile(filepath.Join(t.TempDir(), "copy.db"), func(part string) error { return f.Backup(t.Context(), part) })
		},
		"a check": func() error { _, err := Check(t.Context(), path, time.Now); return err },
		"a status": func() error {
			_, err := Status(t.Context(), path)
			return err
		},
		"a verification": func() error {
			_, closeFile, err := OpenReadOnly(t.Context(), path)
			if err == nil {
				err = closeFile()
			}
			return err
		},
		"a second server": func() error {
			if _, err := Open(t.Context(), path, false); err == nil || !strings.Contains(err.Error(), "in use by process") {
				t.Errorf("opened twice: %v", err)
			}
			return nil
		},
		"a lost connection":  func() error { f.session.drop(); return f.session.open() },
		"a look at the file": func() error { return f.held.check() },
	} {
		if err := do(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		lock := syscall.Flock_t{Type: syscall.F_WRLCK, Start: 0x40000002, Len: 510}
		if err := syscall.FcntlFlock(probe.Fd(), ofdGetLock, &lock); err != nil || lock.Type == syscall.F_UNLCK {
			t.Errorf("%s: the locks of SQLite are gone (%v)", name, err)
		}
		if err := f.held.check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestHoldUntilClosed: the file is locked until SQLite has closed it, and then another may open it.
func TestHoldUntilClosed(t *testing.T) {
	f := openNew(t)
	path := f.held.path
	f.session.Leave()
	if _, err := hold(path, false); err == nil {
		t.Error("locked twice")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		if _, err := os.Stat(path + suffix); err == nil {
			t.Errorf("SQLite has not closed %s", path+suffix)
		}
	}
	h, err := hold(path, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.release(); err != nil {
		t.Error(err)
	}
}

// TestHoldOpensFilesOnly: what is no file, such as a pipe that would wait, is refused.
func TestHoldOpensFilesOnly(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	dangling := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(dir, "missing"), dangling); err != nil {
		t.Fatal(err)
	}
	if _, err := hold(dangling, true); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a link to a missing file: %v", err)
	}
	for _, path := range []string{pipe, dir, "/dev/null"} {
		if h, err := hold(path, false); err == nil {
			_ = h.release()
			t.Errorf("%s is held", path)
		}
	}
}

// TestEndIsReadBeforeTheValues: an entry that another process writes while the consumed values
// are read takes the number of the next one, so that its values are not consumed twice.
func TestEndIsReadBeforeTheValues(t *testing.T) {
	f := openNew(t)
	if !f.session.endKnown {
		t.Error("the end of the chain is read later than the consumed values")
	}
}
