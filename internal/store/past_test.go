package store

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"moneyer/internal/ledger"
	"moneyer/internal/rowauth/rowauthtest"
	"moneyer/internal/store/engine"
)

// TestPast: no replica deletes by a clock that is ahead of the database's; a file has only
// the clock of its process.
func TestPast(t *testing.T) {
	file, err := Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "moneyer.db"), Options{Create: true, RowKey: rowauthtest.Key(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	cluster := startReplica(t, PostgresForTests.NewDatabase(t), Options{})
	for _, test := range []struct {
		name          string
		d             *DB
		off, wantedBy time.Duration
	}{
		{"a file, ahead", file, time.Hour, time.Hour},
		{"a file, behind", file, -time.Hour, -time.Hour},
		{"a replica, ahead", cluster, time.Hour, 0},
		{"a replica, behind", cluster, -time.Hour, -time.Hour},
	} {
		now := time.Now()
		past, err := test.d.Past(t.Context(), now.Add(test.off))
		if err != nil {
			t.Fatal(err)
		}
		if by := past.Sub(now); (by - test.wantedBy).Abs() > time.Minute {
			t.Errorf("%s: what is over is told by a clock that is %v off, want %v", test.name, by, test.wantedBy)
		}
	}
}

// TestForgetWithClockAhead shows what Past is for: up to where one replica forgets,
// all refuse assertions.
func TestForgetWithClockAhead(t *testing.T) {
	url := PostgresForTests.NewDatabase(t)
	ahead, right := startReplica(t, url, Options{}), startReplica(t, url, Options{})
	past, err := ahead.Past(t.Context(), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ahead.Forget(t.Context(), past.Add(-5*time.Minute)); err != nil {
		t.Fatal(err)
	}
	if err := right.Append(t.Context(), testEntry(1), useOf(1, "")); err != nil {
		t.Errorf("an assertion that is good by the right clock: %v", err)
	}
}

// TestForgetByAClockAhead: a store that forgot by a clock that was years ahead consumes new
// assertions as soon as the clock is right: only what was deleted cannot be told from new.
func TestForgetByAClockAhead(t *testing.T) {
	for name, url := range map[string]string{"SQLite": newFile(t), "PostgreSQL": PostgresForTests.NewDatabase(t)} {
		t.Run(name, func(t *testing.T) {
			d := openURL(t, url)
			now := time.Now().Truncate(time.Second)
			ending := func(n int, in time.Duration) ledger.Consumed {
				return ledger.Consumed{Value: useKey{byte(n)}, Until: now.Add(in)}
			}
			must(t, d.Append(t.Context(), testEntry(1), ending(1, time.Minute), ending(2, 10*time.Minute)))
			forgotten := func(years int) {
				t.Helper()
				if _, err := d.Forget(t.Context(), now.AddDate(years, 0, 0)); err != nil {
					t.Fatal(err)
				}
			}
			forgotten(1)
			forgotten(2) // when nothing is left
			for range 2 {
				if err := d.Append(t.Context(), testEntry(2), ending(2, 10*time.Minute)); !errors.Is(err, engine.ErrForgotten) {
					t.Errorf("an assertion that was used, and forgotten: %v", err)
				}
				if err := d.Append(t.Context(), testEntry(2), ending(3, 10*time.Minute)); !errors.Is(err, engine.ErrForgotten) {
					t.Errorf("one that may be among the forgotten: %v", err)
				}
				must(t, d.Close())
				d = openURL(t, url)
			}
			if err := d.Append(t.Context(), testEntry(2), ending(4, 11*time.Minute)); err != nil {
				t.Errorf("an assertion that ends after all that was forgotten: %v", err)
			}
			forgotten(0)
			var replayed *ledger.ReplayedError
			if err := d.Append(t.Context(), testEntry(2), ending(4, 11*time.Minute)); !errors.As(err, &replayed) {
				t.Errorf("one more time: %v", err)
			}
		})
	}
}
