package store

import (
	"path/filepath"
	"testing"
	"time"

	"moneyer/internal/rowauth/rowauthtest"
)

// TestPast: no replica deletes by a clock that is ahead of the database's; a file has only
// the clock of its process.
func TestPast(t *testing.T) {
	file, err := Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "moneyer.db"), Options{RowKey: rowauthtest.Key(), Now: time.Now})
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
