package store

import (
	"context"
	"errors"
	"sync"
	"testing"

	"moneyer/internal/ledger"
)

// TestValuesOfALoser: of a request that lost, a later one of the same batch may have the
// other values, with what it sealed itself.
func TestValuesOfALoser(t *testing.T) {
	for name, open := range map[string]func(*testing.T) *DB{
		"SQLite":     openNew,
		"PostgreSQL": func(t *testing.T) *DB { return openURL(t, PostgresForTests.NewDatabase(t)) },
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t)
			if err := d.Append(t.Context(), testEntry(1), useOf(1, "first")); err != nil {
				t.Fatal(err)
			}
			resume := stopWriter(d)
			var wg sync.WaitGroup
			answers := make([]error, 4)
			for i, consumed := range [][]ledger.Consumed{
				{useOf(2, "lost"), useOf(3, "lost"), useOf(1, "lost")},
				{useOf(4, "won"), useOf(3, "won")},
				{useOf(5, "lost"), useOf(3, "lost")},
				{useOf(2, "won")},
			} {
				wg.Go(func() { answers[i] = d.Append(context.Background(), testEntry(10+i), consumed...) })
				queued(d, i+1)
			}
			resume()
			wg.Wait()
			for i, want := range []*ledger.ReplayedError{{Index: 2, Sealed: []byte("first")}, nil, {Index: 1, Sealed: []byte("won")}, nil} {
				replayed := (*ledger.ReplayedError)(nil)
				if errors.As(answers[i], &replayed); (replayed == nil) != (want == nil) || want == nil && answers[i] != nil ||
					want != nil && (replayed.Index != want.Index || string(replayed.Sealed) != string(want.Sealed)) {
					t.Errorf("append %d: %v, %+v, want %+v", i, answers[i], replayed, want)
				}
			}
			for n, sealed := range map[int]string{1: "first", 2: "won", 3: "won", 4: "won"} {
				replayed := (*ledger.ReplayedError)(nil)
				if err := d.Append(t.Context(), testEntry(20), useOf(n, "")); !errors.As(err, &replayed) || string(replayed.Sealed) != sealed {
					t.Errorf("value %d once more: %v, %+v, want %q", n, err, replayed, sealed)
				}
			}
			if err := d.Append(t.Context(), testEntry(21), useOf(5, "")); err != nil {
				t.Errorf("a value that nobody consumed: %v", err)
			}
		})
	}
}
