package store

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// ownRole makes a role without other rights than a store needs, and returns the URL of the
// database for it.
func ownRole(t *testing.T, conn *pgx.Conn, url string) string {
	t.Helper()
	var name string
	if err := conn.QueryRow(t.Context(), `SELECT 'role_' || current_database()`).Scan(&name); err != nil {
		t.Fatal(err)
	}
	mustExec(t, conn, `CREATE ROLE `+name+` LOGIN`)
	mustExec(t, conn, `GRANT CREATE ON SCHEMA public TO `+name)
	t.Cleanup(func() {
		ctx := context.Background()
		if _, err := conn.Exec(ctx, `DROP OWNED BY `+name+` CASCADE`); err != nil {
			t.Error(err)
		}
		if _, err := conn.Exec(ctx, `DROP ROLE `+name); err != nil {
			t.Error(err)
		}
	})
	_, rest, _ := strings.Cut(url, "@")
	return "postgres://" + name + "@" + rest
}

// ready reports whether a ping succeeds, and returns why not.
func ready(d *DB) (bool, string) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := d.Ping(ctx); err != nil {
		return false, err.Error()
	}
	return true, ""
}

// TestPingOfADatabaseThatTakesNoAppend: a replica is ready only while it could record a token.
func TestPingOfADatabaseThatTakesNoAppend(t *testing.T) {
	t.Parallel()
	url := PostgresForTests.NewDatabase(t)
	admin := connectTo(t, url)
	d := startReplica(t, ownRole(t, admin, url), Options{})
	appendTo(t, 2, d)
	for name, test := range map[string]struct{ fault, cure string }{
		"no right to record":         {`REVOKE INSERT ON ledger_batch FROM CURRENT_ROLE`, `GRANT INSERT ON ledger_batch TO CURRENT_ROLE`},
		"no right to consume":        {`REVOKE INSERT ON use_up FROM CURRENT_ROLE`, `GRANT INSERT ON use_up TO CURRENT_ROLE`},
		"no right to move the chain": {`REVOKE UPDATE ON ledger_chain FROM CURRENT_ROLE`, `GRANT UPDATE ON ledger_chain TO CURRENT_ROLE`},
		"a table that takes nothing": {`ALTER TABLE ledger_batch ADD CONSTRAINT none CHECK (false) NOT VALID`, `ALTER TABLE ledger_batch DROP CONSTRAINT none`},
		"the ledger locked":          {`BEGIN; LOCK TABLE ledger_batch IN SHARE MODE`, `COMMIT`},
		"consumed values locked":     {`BEGIN; LOCK TABLE use_up IN SHARE MODE`, `COMMIT`},
		"this chain locked":          {`BEGIN; SELECT FROM ledger_chain FOR UPDATE`, `COMMIT`},
	} {
		owner := connectTo(t, url)
		var role string
		if err := owner.QueryRow(t.Context(), `SELECT tableowner FROM pg_tables WHERE tablename = 'ledger_chain'`).Scan(&role); err != nil {
			t.Fatal(err)
		}
		mustExec(t, owner, `SET ROLE `+role)
		eventually(t, 10*time.Second, "ready before: "+name, func() bool { ok, _ := ready(d); return ok })
		mustExec(t, owner, test.fault)
		eventually(t, 10*time.Second, "not ready, and says which error of the database it was: "+name, func() bool {
			ok, why := ready(d) // a busy database may be silent for a moment, which is another cause
			return !ok && strings.Contains(why, "SQLSTATE")
		})
		mustExec(t, owner, test.cure)
		eventually(t, 10*time.Second, "ready again: "+name, func() bool { ok, _ := ready(d); return ok })
		_ = owner.Close(t.Context())
	}
	checkWhole(t, d, 2)
	if n := count(t, d, `SELECT count(*) FROM use_up`); n != 0 {
		t.Errorf("trials left %d consumed values", n)
	}
}

// TestFailedAppendCounts: a replica whose append failed is not ready until something is written.
func TestFailedAppendCounts(t *testing.T) {
	t.Parallel()
	url := PostgresForTests.NewDatabase(t)
	d, conn := startReplica(t, url, Options{}), connectTo(t, url)
	appendTo(t, 1, d)
	mustExec(t, conn, `ALTER TABLE ledger_batch ADD CONSTRAINT none CHECK (false) NOT VALID`)
	if err := d.Append(t.Context(), testEntry(1)); err == nil {
		t.Fatal("it was recorded")
	}
	if ok, why := ready(d); ok || !strings.Contains(why, "SQLSTATE 23514") {
		t.Errorf("after a failed append: %t, %s", ok, why)
	}
	mustExec(t, conn, `ALTER TABLE ledger_batch DROP CONSTRAINT none`)
	appendTo(t, 1, d)
	if ok, why := ready(d); !ok {
		t.Error(why)
	}
}

// TestTrialsAreFew: however often a store is pinged, there is at most one trial a second.
func TestTrialsAreFew(t *testing.T) {
	t.Parallel()
	url := PostgresForTests.NewDatabase(t)
	d, conn := startReplica(t, url, Options{}), connectTo(t, url)
	written := func() (n int64) {
		err := conn.QueryRow(t.Context(), `SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'use_up'`).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	eventually(t, 10*time.Second, "a trial", func() bool { ok, _ := ready(d); return ok && written() > 0 })
	before, begun := written(), time.Now()
	for time.Since(begun) < 2500*time.Millisecond {
		_, _ = ready(d)
		time.Sleep(time.Millisecond)
	}
	eventually(t, 10*time.Second, "the statistics", func() bool { return written() > before })
	if n, most := written()-before, int64(time.Since(begun)/time.Second)+2; n > most {
		t.Errorf("%d trials in %v", n, time.Since(begun))
	}
}
