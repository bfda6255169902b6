package sqlite

import (
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
	f, err := Open(t.Context(), filepath.Join(t.TempDir(), "moneyer.db"))
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
	packer, err := history.NewPacker()
	if err != nil {
		t.Fatal(err)
	}
	l, err := engine.Encode(&ledger.Entry{Kind: ledger.KindToken, Time: clock()})
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
