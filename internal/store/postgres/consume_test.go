package postgres

import (
	"errors"
	"testing"
	"time"

	"moneyer/internal/ledger"
	"moneyer/internal/store/engine"
	"moneyer/internal/store/history"
)

func openReplica(t *testing.T, url string) *Database {
	t.Helper()
	d, err := Open(t.Context(), parsed(t, url), true, engine.Process{}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.session.Leave()
		_ = d.Close()
	})
	return d
}

func wants(t *testing.T, sealed string, values ...byte) *engine.Append {
	t.Helper()
	l, err := engine.Encode(&ledger.Entry{Kind: ledger.KindToken, Time: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	a := &engine.Append{Line: l}
	for _, v := range values {
		a.Consumed = append(a.Consumed, ledger.Consumed{Value: [32]byte{v}, Until: time.Now().Add(time.Hour), Sealed: []byte(sealed)})
	}
	return a
}

// finish records the appends of a transaction that did not lose, and ends it.
func finish(t *testing.T, d *Database, tx *engine.Tx, commit bool) {
	t.Helper()
	packer, err := history.NewPacker()
	if err != nil {
		t.Fatal(err)
	}
	var lines []engine.Line
	for _, a := range tx.Batch {
		if a.Lost == nil {
			lines = append(lines, a.Line)
		}
	}
	if len(lines) > 0 {
		row := packer.Row(&tx.Head, lines)
		if tx.First = row.First; d.session.Record(tx, row) != nil {
			t.Fatal("not recorded")
		}
	}
	if !commit {
		d.session.Rollback()
	} else if err := d.session.Commit(tx); err != nil {
		t.Fatal(err)
	}
}

// TestReplicaWaitsForAValue: while a replica holds a value in a transaction, another that
// wants it waits, and has it if and only if the first did not consume it after all.
func TestReplicaWaitsForAValue(t *testing.T) {
	url := server.NewDatabase(t)
	first, second := openReplica(t, url), openReplica(t, url)
	tx := &engine.Tx{Batch: []*engine.Append{wants(t, "earlier", 100)}}
	if err := first.session.Begin(tx); err != nil {
		t.Fatal(err)
	}
	finish(t, first, tx, true)
	value := byte(0)
	for name, test := range map[string]struct {
		batch  func(value byte) []*engine.Append
		commit bool
		sealed string // by whoever consumes the value; by the second replica if empty
	}{
		"consumed":    {func(v byte) []*engine.Append { return []*engine.Append{wants(t, "first", v, v+1)} }, true, "first"},
		"rolled back": {func(v byte) []*engine.Append { return []*engine.Append{wants(t, "first", v, v+1)} }, false, ""},
		"taken from a loser": {func(v byte) []*engine.Append {
			return []*engine.Append{wants(t, "loser", v, 100), wants(t, "first", v+1)}
		}, true, ""},
		"taken from the only one": {func(v byte) []*engine.Append { return []*engine.Append{wants(t, "loser", v, v+1, 100)} }, true, ""},
		"from a loser to another": {func(v byte) []*engine.Append {
			return []*engine.Append{wants(t, "loser", 100, v), wants(t, "first", v+1, v)}
		}, true, "first"},
		"to another, and not at all": {func(v byte) []*engine.Append {
			return []*engine.Append{wants(t, "loser", 100, v), wants(t, "first", v+1, v)}
		}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			value += 2
			tx := &engine.Tx{Batch: test.batch(value)}
			if err := first.session.Begin(tx); err != nil {
				t.Fatal(err)
			}
			other := &engine.Tx{Batch: []*engine.Append{wants(t, "second", value)}}
			began := make(chan error, 1)
			go func() { began <- second.session.Begin(other) }()
			waits(t, first)
			finish(t, first, tx, test.commit)
			if err := <-began; err != nil {
				t.Fatal(err)
			}
			var replayed *ledger.ReplayedError
			if lost := other.Batch[0].Lost; errors.As(lost, &replayed) != (test.sealed != "") || replayed == nil && lost != nil ||
				replayed != nil && string(replayed.Sealed) != test.sealed {
				t.Errorf("the second replica: %v, %+v, want that %q consumed it", lost, replayed, test.sealed)
			}
			finish(t, second, other, true)
			again := &engine.Tx{Batch: []*engine.Append{wants(t, "late", value)}}
			if err := first.session.Begin(again); err != nil {
				t.Fatal(err)
			}
			want := test.sealed
			if want == "" {
				want = "second"
			}
			if replayed = nil; !errors.As(again.Batch[0].Lost, &replayed) || string(replayed.Sealed) != want {
				t.Errorf("later: %v, %+v, want that %q consumed it", again.Batch[0].Lost, replayed, want)
			}
			first.session.Rollback()
		})
	}
}

// waits waits until a session waits for the transaction of another.
func waits(t *testing.T, d *Database) {
	t.Helper()
	for range 5000 {
		var n int
		err := d.reads.QueryRowContext(t.Context(), `SELECT count(*) FROM pg_locks JOIN pg_database ON datname = current_database()
			JOIN pg_stat_activity USING (pid) WHERE NOT granted AND locktype IN ('transactionid', 'spectoken') AND datid = pg_database.oid`).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			return
		}
	}
	t.Fatal("nobody waits")
}
