package store

import (
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"moneyer/internal/ledger"
	"moneyer/internal/rowauth/rowauthtest"
	"moneyer/internal/store/engine"
)

// TestOneServerByEveryName: no other path to the file, and no file beside it, lets a second
// process serve the store.
func TestOneServerByEveryName(t *testing.T) {
	for name, test := range map[string]struct {
		do   func(path, other string) error // makes other lead to the store
		want string
	}{
		"the lock file of an earlier build is gone": {func(path, other string) error {
			_ = os.Remove(path + ".lock")
			return os.Symlink(path, other)
		}, "in use by process"},
		"a lock file of an earlier build is there": {func(path, other string) error {
			return errors.Join(os.WriteFile(path+".lock", []byte("1\n"), 0o600), os.Symlink(path, other))
		}, "in use by process"},
		"a symbolic link": {func(path, other string) error { return os.Symlink(path, other) }, "in use by process"},
		"a linked folder": {func(path, other string) error {
			return errors.Join(os.Symlink(filepath.Dir(path), other+".d"), os.Symlink(filepath.Join(other+".d", filepath.Base(path)), other))
		}, "in use by process"},
		"a hard link": {os.Link, "in use by process"},
	} {
		t.Run(name, func(t *testing.T) {
			path, other := filepath.Join(t.TempDir(), "moneyer.db"), filepath.Join(t.TempDir(), "other.db")
			d := openTest(t, path, Options{})
			appendEntries(t, d, 1)
			must(t, test.do(path, other))
			for _, url := range []string{"sqlite:" + path, "sqlite:" + other} {
				_, err := Open(t.Context(), url, Options{RowKey: rowauthtest.Key(), Now: clock})
				wantError(t, err, test.want)
				_, err = Migrate(t.Context(), url, Newest)
				wantError(t, err, test.want)
				_, err = Copy(t.Context(), url, newFile(t), nil)
				wantError(t, err, test.want)
			}
			wantFindings(t, checked(t, "sqlite:"+path, time.Now), map[string]Level{"pages": Warn})
			appendEntries(t, d, 1)
			must(t, d.Close())
			if name == "a hard link" {
				_, err := Open(t.Context(), "sqlite:"+other, Options{RowKey: rowauthtest.Key(), Now: clock})
				wantError(t, err, "has 2 names")
				wantFindings(t, checked(t, "sqlite:"+path, time.Now), map[string]Level{"file": Bad, "pages": Bad})
				must(t, os.Remove(other))
			}
			verified(t, openTest(t, path, Options{}), 2)
		})
	}
}

// TestFileWithoutItsWAL: SQLite's error says why a file cannot be opened where a WAL cannot be
// made. A folder in its place stands for a disk that is read-only, also for root.
func TestFileWithoutItsWAL(t *testing.T) {
	path := filepath.Join(t.TempDir(), "moneyer.db")
	d := openTest(t, path, Options{})
	appendEntries(t, d, 1)
	must(t, d.Close())
	must(t, os.Mkdir(path+"-wal", 0o700))
	_, err := VerifyFile(t.Context(), path, nil)
	wantError(t, err, "is the disk read-only, or the folder another user's?")
}

// TestFileThatOthersCanWrite is not opened until it is guarded.
func TestFileThatOthersCanWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "moneyer.db")
	d := openTest(t, path, Options{})
	appendEntries(t, d, 1)
	must(t, d.Close())
	folder := filepath.Dir(path)
	for _, test := range []struct {
		path    string
		mode    fs.FileMode
		refused bool
	}{
		{path, 0o600, false}, {path, 0o640, false}, {path, 0o644, false}, {path, 0o660, true}, {path, 0o602, true}, {path, 0o666, true},
		{path + "-wal", 0o666, true}, {path + "-shm", 0o620, true}, {path + "-journal", 0o606, true},
		{folder, 0o755, false}, {folder, 0o777, true}, {folder, 0o777 | fs.ModeSticky, false},
	} {
		if strings.Contains(test.path, "-") && test.path != folder {
			must(t, os.WriteFile(test.path, nil, 0o600))
		}
		before, err := os.Stat(test.path)
		must(t, err)
		must(t, os.Chmod(test.path, test.mode))
		d, err := Open(t.Context(), "sqlite:"+path, Options{RowKey: rowauthtest.Key(), Now: clock})
		if err == nil {
			must(t, d.Close())
		}
		if test.refused {
			wantError(t, err, "run: chmod ")
			wantFindings(t, checked(t, "sqlite:"+path, time.Now), map[string]Level{"file": Bad})
		} else if err != nil {
			t.Errorf("%s with mode %v: %v", test.path, test.mode, err)
		}
		if before.IsDir() || test.path == path {
			must(t, os.Chmod(test.path, before.Mode()))
		} else if err := os.Remove(test.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

// TestReplacedFile: once the path leads elsewhere, nothing more is acknowledged, also in the
// transaction that is on its way, and without load readiness is lost too.
func TestReplacedFile(t *testing.T) {
	swap := func(path string) error {
		return errors.Join(os.WriteFile(path+".new", nil, 0o600), os.Rename(path+".new", path))
	}
	for name, do := range map[string]func(path string) error{
		"removed":             os.Remove,
		"replaced":            swap,
		"renamed":             func(path string) error { return os.Rename(path, path+".old") },
		"folder renamed":      func(path string) error { return os.Rename(filepath.Dir(path), filepath.Dir(path)+".old") },
		"the WAL is removed":  func(path string) error { return os.Remove(path + "-wal") },
		"the WAL is replaced": func(path string) error { return swap(path + "-wal") },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "data", "moneyer.db")
			must(t, os.Mkdir(filepath.Dir(path), 0o700))
			d := openTest(t, path, Options{})
			appendEntries(t, d, 1)
			must(t, errors.Join(d.Ping(t.Context()), d.Intact()))
			err := d.writer.do(t.Context(), func(tx *tx) error {
				_, err := tx.Exec(`UPDATE trial SET n = n + 1`)
				return errors.Join(err, do(path))
			})
			if !strings.Contains(name, "WAL") { // which is looked at once a second
				wantError(t, err, "nothing more is recorded until a restart")
			}
			for range 2 { // also when it is put back
				wantError(t, d.Ping(t.Context()), "nothing more is recorded until a restart")
				wantError(t, d.Intact(), "nothing more is recorded until a restart")
				wantError(t, d.Append(t.Context(), testEntry(1)), "nothing more is recorded until a restart")
				_ = os.Rename(path+".old", path)
			}
		})
	}
}

// TestReplacedFileWithoutLoad is noticed although nothing is written.
func TestReplacedFileWithoutLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "moneyer.db")
	d := openTest(t, path, Options{})
	appendEntries(t, d, 1)
	must(t, os.Remove(path))
	wantError(t, d.Intact(), "was removed")
	wantError(t, d.Ping(t.Context()), "was removed")
}

// TestOtherWriter: who finds the next place of the ledger taken records nothing more, and the
// one that was first goes on.
func TestOtherWriter(t *testing.T) {
	for name, consumed := range map[string][]ledger.Consumed{
		"an entry": nil,
		"a value":  {{Value: useKey{1}, Until: clock().Add(time.Minute)}},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "moneyer.db")
			d := openTest(t, path, Options{})
			appendEntries(t, d, 3)
			other := rawSQL(t, path)
			for _, statement := range []string{
				`INSERT INTO ledger_batch SELECT first_seq + count, count, time_min, time_max, previous, last, marks, lines FROM ledger_batch ORDER BY first_seq DESC LIMIT 1`,
				`INSERT INTO used_batch (until, first_seq, keys) SELECT u.value, max(first_seq), x'' FROM ledger_batch, json_each('[` + minuteOf(clock().Add(time.Minute)) + `]') u`,
			} {
				_, err := other.ExecContext(t.Context(), statement)
				must(t, err)
			}
			for range 2 {
				wantError(t, d.Append(t.Context(), testEntry(4), consumed...), "another process writes to the store's file")
				wantError(t, d.Ping(t.Context()), "another process writes to the store's file")
				wantError(t, d.Intact(), "another process writes to the store's file")
			}
		})
	}
}

// TestTrialFindsWhatAppendsNeed: where an append cannot be written, neither can a trial.
func TestTrialFindsWhatAppendsNeed(t *testing.T) {
	for _, table := range []string{"ledger_batch", "used_batch"} {
		seconds := atomic.Int64{} // a second passes each time, so that Ping always tries
		d := openTest(t, filepath.Join(t.TempDir(), "moneyer.db"), Options{Now: func() time.Time { return clock().Add(time.Duration(seconds.Add(1)) * time.Second) }})
		must(t, d.Ping(t.Context()))
		run(t, d, `CREATE TRIGGER refuse BEFORE INSERT ON `+table+` BEGIN SELECT RAISE(ABORT, 'not now'); END`)
		wantError(t, d.Ping(t.Context()), "not now")
		run(t, d, `DROP TRIGGER refuse`)
		must(t, d.Ping(t.Context()))
		verified(t, d, 0)
	}
}

// run executes a statement in a transaction of its own.
func run(t *testing.T, d *DB, statement string) {
	t.Helper()
	must(t, d.writer.do(t.Context(), func(tx *tx) error {
		_, err := tx.Exec(statement)
		return err
	}))
}

// TestLastAppendDecides: after an append that failed the store is not ready until something
// succeeds; at most one trial a second finds that out, and each changes the file.
func TestLastAppendDecides(t *testing.T) {
	seconds := atomic.Int64{}
	d := openTest(t, filepath.Join(t.TempDir(), "moneyer.db"), Options{Now: func() time.Time { return clock().Add(time.Duration(seconds.Load()) * time.Second) }})
	trials := func() (n int64) {
		must(t, d.reads.Row(t.Context(), `SELECT n FROM trial`, nil, []any{&n}))
		return n
	}
	for range 3 {
		must(t, d.Ping(t.Context()))
	}
	if n := trials(); n != 1 {
		t.Errorf("%d trials in a second", n)
	}
	seconds.Add(1)
	must(t, d.Ping(t.Context()))
	if n := trials(); n != 2 {
		t.Errorf("%d trials in two seconds", n)
	}
	run(t, d, `CREATE TRIGGER refuse BEFORE INSERT ON used_batch WHEN length(NEW.keys) < 32 BEGIN SELECT RAISE(ABORT, 'not now'); END`) // but no trial
	u := ledger.Consumed{Value: useKey{1}, Until: clock().Add(time.Minute)}
	wantError(t, d.Append(t.Context(), testEntry(1), u), "not now")
	wantError(t, d.Ping(t.Context()), "not now")
	seconds.Add(1)
	must(t, d.Ping(t.Context()))
	wantError(t, d.Append(t.Context(), testEntry(1), u), "not now")
	wantError(t, d.Ping(t.Context()), "not now")
	run(t, d, `DROP TRIGGER refuse`)
	must(t, d.Append(t.Context(), testEntry(1), u))
	must(t, d.Ping(t.Context()))
}

// TestRefusedChangeIsNoFailure: a change that is refused for what it says leaves the store ready.
func TestRefusedChangeIsNoFailure(t *testing.T) {
	d := openNew(t)
	must(t, d.Ping(t.Context()))
	_ = d.writer.do(t.Context(), func(*tx) error { return errors.New("no such client") })
	must(t, d.Ping(t.Context()))
}

// TestPartOfAFile is not opened by any name, and an interrupted run is in nobody's way.
func TestPartOfAFile(t *testing.T) {
	d := openNew(t)
	appendEntries(t, d, 20)
	path := filepath.Join(t.TempDir(), "copy.db")
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} { // of a run that was killed
		must(t, os.WriteFile(path+".part"+suffix, []byte("half of a page"), 0o600))
	}
	for _, half := range []string{path, path + ".part"} {
		_, err := Open(t.Context(), "sqlite:"+half, Options{RowKey: rowauthtest.Key(), Now: clock})
		_, err2 := VerifyFile(t.Context(), half, nil)
		_, err3 := Migrate(t.Context(), "sqlite:"+half, Newest)
		_, err4 := Copy(t.Context(), "sqlite:"+half, newFile(t), nil)
		for _, err := range []error{err, err2, err3, err4} {
			if !errors.Is(err, engine.ErrUnfinished) {
				t.Errorf("%s: %v", half, err)
			}
		}
		wantFindings(t, checked(t, "sqlite:"+half, time.Now), map[string]Level{"schema": Bad})
	}
	must(t, d.Backup(t.Context(), path))
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		checkMissing(t, path+".part"+suffix)
	}
	checkMode(t, path)
	verified(t, openTest(t, path, Options{}), 20)
	err := d.Backup(t.Context(), path)
	if !errors.Is(err, fs.ErrExist) {
		t.Errorf("a file is overwritten: %v", err)
	}
	err = WriteFile(path+"2", func(string) error { return os.WriteFile(path+"2", nil, 0o600) })
	if !errors.Is(err, fs.ErrExist) {
		t.Errorf("a file is overwritten that came meanwhile: %v", err)
	}
	err = WriteFile(path+"3", func(part string) error {
		err := WriteFile(path+"3", func(string) error { return nil })
		wantError(t, err, "in use")
		if _, err := os.Lstat(part); err != nil {
			t.Errorf("another run took the part away: %v", err)
		}
		return errLasting
	})
	wantError(t, err, errLasting.Error())
	checkMissing(t, path+"3")
	checkMissing(t, path+"3.part")
}

// TestFileThatWasCut: a file of which the end is missing, or was never written, is not whole,
// wherever it was cut.
func TestFileThatWasCut(t *testing.T) {
	d := openNew(t)
	for range 3 {
		appendBatch(t, d, 300)
	}
	path := filepath.Join(t.TempDir(), "copy.db")
	must(t, d.Backup(t.Context(), path))
	whole, err := os.ReadFile(path)
	must(t, err)
	for cut := range 64 {
		size := len(whole) * cut / 64
		for how, text := range map[string][]byte{
			"cut":        whole[:size],
			"in a page":  whole[:max(0, size-1)],
			"zeros":      append(append([]byte(nil), whole[:size]...), make([]byte, len(whole)-size)...),
			"and before": whole[min(len(whole), 4096):][:max(0, size-4096)],
		} {
			half := filepath.Join(t.TempDir(), "half.db")
			must(t, os.WriteFile(half, text, 0o600))
			if report, err := VerifyFile(t.Context(), half, nil); err == nil && report.Broken == 0 {
				t.Errorf("%s at %d of %d bytes: %+v", how, size, len(whole), report)
			}
		}
	}
	if report, err := VerifyFile(t.Context(), path, nil); err != nil || report.Broken != 0 {
		t.Errorf("%+v, %v", report, err)
	}
}

// minuteOf is the number of a row of used_batch, whose values end by then.
func minuteOf(until time.Time) string { return strconv.FormatInt((until.Unix()/60+1)*60_000, 10) }

// rawSQL opens the file at path without the locks of a store.
func rawSQL(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	return db
}

// TestRemovedWAL: what was acknowledged is in the file after a clean stop, although its WAL was
// removed.
func TestRemovedWAL(t *testing.T) {
	path := filepath.Join(t.TempDir(), "moneyer.db")
	d := openTest(t, path, Options{})
	appendEntries(t, d, 3)
	must(t, os.Remove(path+"-wal"))
	appendEntries(t, d, 1)
	wantError(t, d.Intact(), "-wal was removed")
	_ = d.Close() // it cannot write what it does at a stop
	verified(t, openTest(t, path, Options{}), 4)
}
