package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"moneyer/internal/rowauth/rowauthtest"
	"moneyer/internal/store/postgres"

	"github.com/jackc/pgx/v5"
)

// TestDatabaseRolledBack: nothing is written to a database that lost acknowledged entries,
// because it may have lost consumed values.
func TestDatabaseRolledBack(t *testing.T) {
	url := PostgresForTests.NewDatabase(t)
	d, err := Open(t.Context(), url, Options{Create: true, RowKey: rowauthtest.Key(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	appendEntries(t, d, 3)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	_, err = conn.Exec(t.Context(), `UPDATE ledger_chain SET seq = 2, hash = (SELECT last FROM ledger_batch WHERE first_seq = 2);
		DELETE FROM ledger_batch WHERE first_seq = 3`)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := d.Append(t.Context(), testEntry(4)); !errors.Is(err, postgres.ErrRolledBack) {
			t.Errorf("append to a database that went back: %v", err)
		}
	}
	if err := d.Ping(t.Context()); !errors.Is(err, postgres.ErrRolledBack) {
		t.Errorf("ping of a database that went back: %v", err)
	}
	again, err := Open(t.Context(), url, Options{Create: true, RowKey: rowauthtest.Key(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = again.Close() })
	appendEntries(t, again, 1)
}

// TestRollbackAfterSettle: a commit that Settle found counts as acknowledged.
func TestRollbackAfterSettle(t *testing.T) {
	t.Parallel()
	direct := PostgresForTests.NewDatabase(t)
	p, url := newProxy(t, direct)
	d := startReplica(t, url, Options{})
	appendEntries(t, d, 1)
	p.once("COMMIT", unanswered)
	if err := d.Append(t.Context(), testEntry(1)); err != nil {
		t.Fatal(err)
	}
	conn := connectTo(t, direct)
	mustExec(t, conn, `UPDATE ledger_chain SET seq = 1, hash = (SELECT last FROM ledger_batch WHERE first_seq = 1)`)
	mustExec(t, conn, `DELETE FROM ledger_batch WHERE first_seq = 2`)
	if err := d.Append(t.Context(), testEntry(2)); !errors.Is(err, postgres.ErrRolledBack) {
		t.Errorf("append to a database that went back: %v", err)
	}
}
