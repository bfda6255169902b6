package store

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"moneyer/internal/ledger"
	"moneyer/internal/rowauth/rowauthtest"
	"moneyer/internal/store/engine"
	"moneyer/internal/store/sqlite"
)

// horizon is how far ahead assertions of these tests may end.
const horizon = time.Hour

var testGuard = Guard{Key: []byte("the key of these tests"), Horizon: horizon}

// guardedFile is a store in a file with a clock that is set by hand.
type guardedFile struct {
	t    *testing.T
	path string
	time *atomic.Int64 // since 1970 in ns: a store reads it in the background
}

func (f *guardedFile) now() time.Time { return time.Unix(0, f.time.Load()).UTC() }

// wait lets time pass.
func (f *guardedFile) wait(d time.Duration) { f.time.Add(int64(d)) }

func newGuardedFile(t *testing.T) *guardedFile {
	t.Helper()
	f := &guardedFile{t, filepath.Join(t.TempDir(), "moneyer.db"), &atomic.Int64{}}
	f.time.Store(clock().UnixNano())
	return f
}

func (f *guardedFile) open() *DB {
	f.t.Helper()
	d, err := Open(f.t.Context(), "sqlite:"+f.path, Options{Create: true, RowKey: rowauthtest.Key(), Now: f.now})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = d.Close() })
	return d
}

// guard opens the store and returns what Guard finds.
func (f *guardedFile) guard() (*DB, []Finding) {
	f.t.Helper()
	d := f.open()
	return d, guardByHand(f.t, d)
}

// guardByHand guards a store whose head is noted by the test alone.
func guardByHand(t *testing.T, d *DB) []Finding {
	t.Helper()
	d.guarded.spawn = func(func(context.Context)) {}
	found, err := d.Guard(t.Context(), testGuard)
	must(t, err)
	return found
}

// consume appends an entry at the clock that consumes the n-th value, which ends then.
func (f *guardedFile) consume(d *DB, n int, in time.Duration) error {
	return d.Append(f.t.Context(), &ledger.Entry{Kind: ledger.KindToken, Time: f.now(), JTI: "jti"},
		ledger.Consumed{Value: useKey{byte(n)}, Until: f.now().Add(in)})
}

func (f *guardedFile) wantConsumed(d *DB, n int, in time.Duration) {
	f.t.Helper()
	if err := f.consume(d, n, in); err != nil {
		f.t.Errorf("value %d that ends in %v: %v", n, in, err)
	}
}

func (f *guardedFile) wantForgotten(d *DB, n int, in time.Duration) {
	f.t.Helper()
	if err := f.consume(d, n, in); !errors.Is(err, engine.ErrForgotten) {
		f.t.Errorf("value %d that ends in %v: %v, want that it is refused", n, in, err)
	}
}

func (f *guardedFile) close(d *DB) {
	f.t.Helper()
	must(f.t, d.Close())
}

// put copies files, as somebody does who puts an older one back.
func (f *guardedFile) put(from, to string) {
	f.t.Helper()
	in, err := os.Open(from)
	must(f.t, err)
	defer func() { _ = in.Close() }()
	out, err := os.Create(to)
	must(f.t, err)
	_, err = io.Copy(out, in)
	must(f.t, errors.Join(err, out.Close()))
}

func (f *guardedFile) remove(suffixes ...string) {
	f.t.Helper()
	for _, suffix := range suffixes {
		must(f.t, os.Remove(f.path+suffix))
	}
}

// wantFinding checks that there is one finding of that level and text.
func wantFinding(t *testing.T, found []Finding, what string, level Level, text string) {
	t.Helper()
	for _, f := range found {
		if f.What == what {
			if f.Level != level || !strings.Contains(f.Found, text) {
				t.Errorf("%+v, want %s and %q", f, level, text)
			}
			return
		}
	}
	t.Errorf("no finding on %s in %+v", what, found)
}

// losses lists how a store loses its newest entries. Each is given a store whose value 1 is
// consumed, and an older copy of it in which that is not so.
var losses = map[string]struct {
	lose  func(f *guardedFile, older string)
	found string // what the finding on the note says
	level Level
	err   error // what Distrusted returns
	age   time.Duration
}{
	"an older file":   {func(f *guardedFile, older string) { f.put(older, f.path) }, "the store went back: it does not hold entry 3 ", Bad, nil, 0},
	"later than that": {func(f *guardedFile, older string) { f.put(older, f.path) }, "the store went back", Bad, nil, 20 * time.Minute},
	"without a note": {func(f *guardedFile, older string) {
		f.put(older, f.path)
		f.remove(sqlite.NoteSuffix)
	}, "there is no note", Warn, nil, 20 * time.Minute},
	"a note that was cut": {func(f *guardedFile, older string) {
		f.put(older, f.path)
		must(f.t, os.Truncate(f.path+sqlite.NoteSuffix, 100))
	}, "under another master key, or changed", Bad, ErrNote, 20 * time.Minute},
	"a forged note": {func(f *guardedFile, older string) {
		f.put(older, f.path)
		text, err := os.ReadFile(f.path + sqlite.NoteSuffix)
		must(f.t, err)
		forged := strings.Replace(string(text), `"entry":3`, `"entry":0`, 1)
		must(f.t, os.WriteFile(f.path+sqlite.NoteSuffix, []byte(forged), 0o600))
	}, "under another master key, or changed", Bad, ErrNote, 20 * time.Minute},
	"a link as the note": {func(f *guardedFile, older string) {
		f.put(older, f.path)
		must(f.t, os.Rename(f.path+sqlite.NoteSuffix, f.path+".moved"))
		must(f.t, os.Symlink(f.path+".moved", f.path+sqlite.NoteSuffix))
	}, "under another master key, or changed", Bad, ErrNote, 0},
	"another store": {func(f *guardedFile, older string) {
		f.remove("")
		note := f.path + sqlite.NoteSuffix
		must(f.t, os.Rename(note, note+".kept"))
		d := f.open()
		defer func() { must(f.t, os.Rename(note+".kept", note)) }()
		must(f.t, d.Append(f.t.Context(), testEntry(1)))
		f.close(d)
	}, "is of another store", Bad, ErrNote, 0},
	"another continuation": {func(f *guardedFile, older string) {
		f.put(older, f.path)
		d := f.open()
		for range 5 {
			must(f.t, d.Append(f.t.Context(), testEntry(1)))
		}
		f.close(d)
	}, "the store went back: it does not hold entry 3 ", Bad, nil, 0},
}

// TestStoreThatWentBack: a store that lost what was acknowledged accepts no assertion of that
// time, also after a restart, until the last of them has ended or an operator accepts it.
// Entries without assertions are recorded.
func TestStoreThatWentBack(t *testing.T) {
	t.Parallel()
	for name, test := range losses {
		for _, accept := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				f := newGuardedFile(t)
				older := f.path + ".older"
				d, found := f.guard()
				f.wantConsumed(d, 9, 30*time.Minute)
				f.close(d)
				f.put(f.path, older)
				d, again := f.guard()
				f.wantConsumed(d, 2, horizon)
				f.wait(time.Minute)
				f.wantConsumed(d, 1, horizon)
				f.close(d)
				if len(found)+len(again) != 0 {
					t.Fatalf("%v, %v", found, again)
				}
				ends := f.now().Add(horizon)
				test.lose(f, older)
				f.wait(test.age)

				for range 2 {
					d, found = f.guard()
					f.wantForgotten(d, 1, ends.Sub(f.now()))
					f.wantForgotten(d, 3, ends.Sub(f.now())-time.Minute)
					must(t, d.Append(t.Context(), testEntry(1)))
					if err := d.Distrusted(); !errors.Is(err, test.err) {
						t.Errorf("%v, want %v", err, test.err)
					}
					f.close(d)
					if test.found != "" {
						wantFinding(t, found, "noted head", test.level, test.found)
					}
					if test.err == nil {
						test.found = "" // the note is that of the store again
					}
				}
				if accept {
					f.accept()
					d, found = f.guard()
					if len(found) != 0 || d.Distrusted() != nil {
						t.Errorf("after it was accepted: %v, %v", found, d.Distrusted())
					}
					f.wantConsumed(d, 1, ends.Sub(f.now()))
					return
				}
				f.wait(horizon + 2*time.Minute)
				d, _ = f.guard()
				if test.err == nil {
					f.wantConsumed(d, 4, time.Minute)
				}
			})
		}
	}
}

// accept accepts the store offline.
func (f *guardedFile) accept() {
	f.t.Helper()
	d := f.open()
	found, err := d.Doubts(f.t.Context(), testGuard)
	if err != nil || len(found) == 0 {
		f.t.Errorf("%v, %v: nothing to accept", found, err)
	}
	must(f.t, d.Accept(f.t.Context(), testGuard, &ledger.Entry{Kind: ledger.KindAdmin, Time: f.now(), Action: "store.accept"}))
	f.close(d)
	if n := len(f.actions("store.accept")); n != 1 {
		f.t.Errorf("%d entries say that the store was accepted", n)
	}
}

// actions returns the recorded entries of an action.
func (f *guardedFile) actions(action string) (list []*ledger.Entry) {
	f.t.Helper()
	d := f.open()
	defer f.close(d)
	must(f.t, d.Entries(f.t.Context(), ledger.Query{Kind: ledger.KindAdmin}, func(r *ledger.Record) error {
		e, err := r.Entry()
		if err == nil && e.Action == action {
			list = append(list, e)
		}
		return err
	}))
	return list
}

// TestHeadIsNotedWithinASecond: without a stop.
func TestHeadIsNotedWithinASecond(t *testing.T) {
	f := newGuardedFile(t)
	d := f.open()
	noted := make(chan error, 100)
	g := testGuard
	g.Noted = func(err error) { noted <- err }
	_, err := d.Guard(t.Context(), g)
	must(t, err)
	f.wantConsumed(d, 1, time.Minute)
	must(t, <-noted)
	if note, err := sqlite.ReadNote(f.path, g.Key); err != nil || note.Head.Seq != 1 {
		t.Errorf("%+v, %v", note, err)
	}
}

// TestWALWasRemoved: the file of a server that was killed, without its WAL, is behind its note.
func TestWALWasRemoved(t *testing.T) {
	f := newGuardedFile(t)
	d, _ := f.guard()
	f.close(d) // with the schema in the file
	d, _ = f.guard()
	f.wantConsumed(d, 1, time.Minute)
	must(t, d.noteHead(t.Context()))
	killed := &guardedFile{t, filepath.Join(t.TempDir(), "moneyer.db"), f.time}
	killed.put(f.path, killed.path)
	killed.put(f.path+sqlite.NoteSuffix, killed.path+sqlite.NoteSuffix)
	d, found := killed.guard()
	wantFinding(t, found, "noted head", Bad, "went back")
	killed.wantForgotten(d, 1, time.Minute)
	killed.close(d)
	if list := killed.actions("store.distrust"); len(list) != 1 || !strings.Contains(list[0].Found, "went back") {
		t.Errorf("recorded: %+v", list)
	}
}

// TestNoteFollowsTheHead: a store that goes on is trusted, whether it was closed or killed
// before the note was written, and also when the noted entry was removed since.
func TestNoteFollowsTheHead(t *testing.T) {
	f := newGuardedFile(t)
	d, _ := f.guard()
	for n := range 3 {
		f.wantConsumed(d, n, time.Minute)
		if n == 1 {
			must(t, d.noteHead(t.Context()))
		}
	}
	note, err := sqlite.ReadNote(f.path, testGuard.Key)
	if err != nil || note.Head.Seq != 2 || !note.Time.Equal(f.now()) {
		t.Errorf("%+v, %v", note, err)
	}
	checkMode(t, f.path+sqlite.NoteSuffix)
	killed := &guardedFile{t, filepath.Join(t.TempDir(), "moneyer.db"), f.time}
	for _, suffix := range []string{"", "-wal", sqlite.NoteSuffix} {
		killed.put(f.path+suffix, killed.path+suffix)
	}
	d, found := killed.guard()
	if len(found) != 0 {
		t.Errorf("killed before it was noted: %v", found)
	}
	mustExecFile(t, d, `DELETE FROM ledger_batch WHERE first_seq <= 2`)
	if holds, err := sqlite.Holds(t.Context(), d.reads, note.Head); !holds || err != nil {
		t.Errorf("the noted entry was removed: %v, %v", holds, err)
	}
	mustExecFile(t, d, `DELETE FROM ledger_batch`)
	if holds, err := sqlite.Holds(t.Context(), d.reads, note.Head); holds || err != nil {
		t.Errorf("all entries were removed: %v, %v", holds, err)
	}
}

// TestNoteCannotBeWritten: the store is not to be served, and is when the note was written.
func TestNoteCannotBeWritten(t *testing.T) {
	f := newGuardedFile(t)
	d, _ := f.guard()
	f.wantConsumed(d, 1, time.Minute)
	must(t, os.Mkdir(f.path+sqlite.NoteSuffix+".new", 0o700))
	if err := d.noteHead(t.Context()); err == nil || !errors.Is(d.Distrusted(), ErrNotNoted) {
		t.Errorf("%v, %v", err, d.Distrusted())
	}
	f.remove(sqlite.NoteSuffix + ".new")
	if err := d.noteHead(t.Context()); err != nil || d.Distrusted() != nil {
		t.Errorf("%v, %v", err, d.Distrusted())
	}
}

// TestGuardNotesAtOnce: the first note is there when Guard returns, or Guard fails.
func TestGuardNotesAtOnce(t *testing.T) {
	f := newGuardedFile(t)
	d := f.open()
	must(t, os.Mkdir(f.path+sqlite.NoteSuffix+".new", 0o700))
	if _, err := d.Guard(t.Context(), testGuard); !errors.Is(err, ErrNotNoted) {
		t.Errorf("a note that cannot be written: %v", err)
	}
	f.remove(sqlite.NoteSuffix + ".new")
	guardByHand(t, d)
	if note, err := sqlite.ReadNote(f.path, testGuard.Key); err != nil || note == nil {
		t.Errorf("%+v, %v", note, err)
	}
}

// TestCopyKeepsItsPast: a copy has the name of its source and refuses the same assertions.
func TestCopyKeepsItsPast(t *testing.T) {
	standing := func(d *DB) engine.Standing {
		s, err := engine.ReadStanding(func(query string, dest ...any) error { return d.reads.Row(t.Context(), query, nil, dest) })
		must(t, err)
		return s
	}
	from := newFile(t)
	d := openURL(t, from)
	must(t, d.engine.Refuse(t.Context(), d.writer, clock().Add(time.Hour)))
	mustExecFile(t, d, `UPDATE store SET accepted = 12345`)
	want := standing(d)
	must(t, d.Close())
	if want.ID == "" || !want.Forgotten.Equal(clock().Add(time.Hour)) || want.Accepted.UnixMilli() != 12345 {
		t.Fatalf("%+v", want)
	}
	for _, to := range []string{PostgresForTests.NewDatabase(t), newFile(t)} {
		_, err := Copy(t.Context(), from, to, nil)
		must(t, err)
		if got := standing(openURL(t, to)); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
		from = to
	}
}
