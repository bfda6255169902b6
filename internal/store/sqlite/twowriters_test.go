package sqlite

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"moneyer/internal/ledger"
	"moneyer/internal/store/engine"
)

// openUnlocked opens the file of f a second time, as where the lock does not work.
func openUnlocked(t *testing.T, f *File) *File {
	t.Helper()
	fd, err := syscall.Open(f.held.path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	g := &File{held: &held{path: f.held.path, fd: fd, lock: fd, file: f.held.file}}
	if err := g.open(context.WithoutCancel(t.Context()), false); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.session.Leave()
		_ = g.Close()
	})
	return g
}

// TestTwoWriters: if two processes write to a file in spite of the lock, no value is consumed by
// both, and the one that finds that out records nothing more.
func TestTwoWriters(t *testing.T) {
	c := ledger.Consumed{Value: [32]byte{1}, Until: clock().Add(time.Minute)}
	next := ledger.Consumed{Value: [32]byte{2}, Until: clock().Add(time.Minute)}
	for name, before := range map[string]func(t *testing.T, second *File){
		"at once":                   func(*testing.T, *File) {},
		"after a failed one":        func(t *testing.T, second *File) { begin(t, second); second.session.Rollback() },
		"after one that is unclear": func(t *testing.T, second *File) { unclear(t, second) },
	} {
		t.Run(name, func(t *testing.T) {
			f := openNew(t)
			if err := f.session.Commit(begin(t, f)); err != nil {
				t.Fatal(err)
			}
			second := openUnlocked(t, f)
			before(t, second)
			if err := f.session.Commit(begin(t, f, c)); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := consume(second, c); !errors.Is(err, errOtherWriter) && !errors.Is(err, errEndChanged) {
					t.Errorf("a value is consumed twice: %v", err)
				}
			}
			if err := f.session.Commit(begin(t, f, next)); err != nil {
				t.Errorf("the other one goes on: %v", err)
			}
		})
	}
}

// unclear has a commit of an entry fail that was rolled back.
func unclear(t *testing.T, f *File) {
	t.Helper()
	tx := beginEntry(t, f, &ledger.Entry{Kind: ledger.KindToken, Time: clock(), JTI: "unclear"}, ledger.Consumed{Value: [32]byte{3}, Until: clock().Add(time.Minute)})
	if _, err := f.session.Exec("ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := f.session.Commit(tx); err == nil {
		t.Fatal("it committed")
	}
}

// consume is a transaction that consumes a value and records an entry.
func consume(f *File, c ledger.Consumed) error {
	l, err := engine.Encode(&ledger.Entry{Kind: ledger.KindToken, Time: clock()})
	if err != nil {
		return err
	}
	tx := &engine.Tx{Batch: []*engine.Append{{Line: l, Consumed: []ledger.Consumed{c}}}}
	if err := f.session.Begin(tx); err != nil {
		f.session.Rollback()
		return err
	}
	return errors.Join(tx.Batch[0].Lost, f.session.Commit(tx))
}
