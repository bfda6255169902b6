package sqlite

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"moneyer/internal/ledger"
	"moneyer/internal/store/engine"
	"moneyer/internal/store/history"
)

func clock() time.Time { return time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC) }

func openNew(t *testing.T) *File {
	t.Helper()
	f, err := Open(t.Context(), filepath.Join(t.TempDir(), "moneyer.db"), true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.Writes().Leave()
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// begin begins a transaction that consumes a value, and records an entry unless it is lost.
func begin(t *testing.T, f *File, consumed ...ledger.Consumed) *engine.Tx {
	t.Helper()
	return beginEntry(t, f, &ledger.Entry{Kind: ledger.KindToken, Time: clock()}, consumed...)
}

func beginEntry(t *testing.T, f *File, e *ledger.Entry, consumed ...ledger.Consumed) *engine.Tx {
	t.Helper()
	packer, err := history.NewPacker()
	if err != nil {
		t.Fatal(err)
	}
	l, err := engine.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	tx := &engine.Tx{Batch: []*engine.Append{{Line: l, Consumed: consumed}}}
	if err := f.session.Begin(tx); err != nil {
		t.Fatal(err)
	}
	if tx.Batch[0].Lost == nil {
		if err := f.session.Record(tx, packer.Row(&tx.Head, []engine.Line{l})); err != nil {
			t.Fatal(err)
		}
	}
	return tx
}

// TestDoubtfulCommit: after a COMMIT that failed the database is asked whether it
// took place, and only then are its values consumed.
func TestDoubtfulCommit(t *testing.T) {
	for name, committed := range map[string]bool{"it did commit": true, "it did not": false} {
		t.Run(name, func(t *testing.T) {
			f := openNew(t)
			c := ledger.Consumed{Value: [32]byte{1}, Until: clock().Add(time.Minute)}
			other := ledger.Consumed{Value: [32]byte{2}, Until: clock().Add(time.Minute)}
			tx := begin(t, f, c, other)
			word := "ROLLBACK"
			if committed {
				word = "COMMIT"
			}
			if _, err := f.session.Exec(word); err != nil { // so that the COMMIT that follows fails
				t.Fatal(err)
			}
			err := f.session.Commit(tx)
			if doubtful := (*engine.Doubt)(nil); !errors.As(err, &doubtful) {
				t.Errorf("a commit in doubt: %v", err)
			}
			if f.used.has(engine.KeyOf(&c)) {
				t.Error("a value is consumed before its commit is certain")
			}
			for _, c := range []ledger.Consumed{c, other} {
				tx = begin(t, f, c)
				replayed := (*ledger.ReplayedError)(nil)
				if errors.As(tx.Batch[0].Lost, &replayed) != committed {
					t.Errorf("the same value again: %v", tx.Batch[0].Lost)
				}
				f.session.Rollback()
			}
		})
	}
}

// TestConsumedSetFull: what cannot be remembered is refused.
func TestConsumedSetFull(t *testing.T) {
	f := openNew(t)
	f.used.size.Store(maxConsumed)
	c := ledger.Consumed{Value: [32]byte{7, 255}, Until: clock().Add(time.Minute)}
	tx := begin(t, f, c)
	if !errors.Is(tx.Batch[0].Lost, errTooManyConsumed) {
		t.Errorf("append without room: %v", tx.Batch[0].Lost)
	}
	f.session.Rollback()
	f.used.size.Add(-1)
	tx = begin(t, f, c)
	if tx.Batch[0].Lost != nil {
		t.Errorf("append where there is room: %v", tx.Batch[0].Lost)
	}
	if err := f.session.Commit(tx); err != nil {
		t.Error(err)
	}
}

// directly is an engine.Writer for tests in which nobody else writes.
type directly struct{ f *File }

func (w directly) Change(_ context.Context, change func(engine.Exec) error) error {
	tx := &engine.Tx{}
	if err := w.f.session.Begin(tx); err != nil {
		return err
	}
	if err := change(w.f.session.Exec); err != nil {
		return err
	}
	return w.f.session.Commit(tx)
}

// again closes the file, and opens it as another process would.
func again(t *testing.T, f *File) *File {
	t.Helper()
	f.session.Leave()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	g, err := Open(t.Context(), f.held.path, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.session.Leave()
		_ = g.Close()
	})
	return g
}

// TestForgottenToTheSecond: what was forgotten, or may have been, is not consumed once
// more; of a copy, too, where a value stands in one table alone.
func TestForgottenToTheSecond(t *testing.T) {
	for _, late := range []time.Duration{0, 400 * time.Millisecond, 700 * time.Millisecond, 999 * time.Millisecond} {
		f := openNew(t)
		end := clock().Add(10 * time.Second)
		copied := ledger.Consumed{Value: [32]byte{1}, Until: end.Add(500 * time.Millisecond), Sealed: []byte("left")}
		key := engine.KeyOf(&copied)
		if err := (directly{f}).Change(t.Context(), func(exec engine.Exec) error {
			_, err := exec(`INSERT INTO use_up (key, until, sealed) VALUES ($1, $2, $3)`, key[:], engine.CeilMilli(copied.Until), copied.Sealed)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		consumed := ledger.Consumed{Value: [32]byte{2}, Until: end}
		if err := f.session.Commit(begin(t, f, consumed)); err != nil {
			t.Fatal(err)
		}
		f = again(t, f)
		if _, err := f.ForgetConsumed(t.Context(), directly{f}, end.Add(late)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			for _, c := range []ledger.Consumed{copied, consumed} {
				if begin(t, f, c).Batch[0].Lost == nil {
					t.Errorf("%v late, what ends at %s is consumed twice", late, c.Until)
				}
				f.session.Rollback()
			}
			f = again(t, f)
		}
	}
}

// TestSealedOfTheLastUse: a value that was forgotten, of a copy or of the file's own, and
// consumed once more before its row was removed.
func TestSealedOfTheLastUse(t *testing.T) {
	for _, size := range []int{16, 32} {
		f := openNew(t)
		c := ledger.Consumed{Value: [32]byte{1, 31: 1}, Until: clock().Add(time.Hour), Sealed: []byte("new")}
		put := func(value []byte, sealed string) {
			if err := (directly{f}).Change(t.Context(), func(exec engine.Exec) error {
				_, err := exec(`INSERT INTO use_up (key, until, sealed) VALUES ($1, $2, $3)`, value, clock().UnixMilli(), []byte(sealed))
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
		wantSealed := func(f *File, c ledger.Consumed, sealed string) {
			t.Helper()
			var replayed *ledger.ReplayedError
			if lost := begin(t, f, c).Batch[0].Lost; !errors.As(lost, &replayed) || string(replayed.Sealed) != sealed {
				t.Errorf("%v, %+v, want %s", lost, replayed, sealed)
			}
			f.session.Rollback()
		}
		put(c.Value[:size], "old")
		if err := f.session.Commit(begin(t, f, c)); err != nil {
			t.Fatal(err)
		}
		wantSealed(f, c, "new")
		other := ledger.Consumed{Value: [32]byte{2, 31: 2}, Until: clock().Add(time.Hour)}
		put(other.Value[:size], "copied")
		wantSealed(again(t, f), other, "copied")
	}
}
