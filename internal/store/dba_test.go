package store

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// others ends the sessions of all others in the database, so that they begin with new settings.
const others = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`

// TestWhatAnAdministratorSets: settings of a database do not reach the sessions of a replica, or
// the replica bears them. This is the table "What an administrator may do" of the operations
// manual, as far as settings go.
func TestWhatAnAdministratorSets(t *testing.T) {
	t.Parallel()
	for setting, value := range map[string]string{
		"statement_timeout":                   "1",
		"lock_timeout":                        "1",
		"idle_session_timeout":                "20",
		"idle_in_transaction_session_timeout": "1",
		"synchronous_commit":                  "off",
		"default_transaction_isolation":       "serializable",
		"default_transaction_deferrable":      "on",
		"TimeZone":                            "Asia/Kathmandu",
		"DateStyle":                           "German",
		"bytea_output":                        "escape",
		"standard_conforming_strings":         "on",
		"enable_indexscan":                    "off",
		"jit":                                 "on",
		"row_security":                        "off",
	} {
		t.Run(setting, func(t *testing.T) {
			url := PostgresForTests.NewDatabase(t)
			conn := connectTo(t, url)
			d := startReplica(t, url, Options{})
			appendTo(t, 1, d)
			mustExec(t, conn, fmt.Sprintf(`DO $$ BEGIN EXECUTE format('ALTER DATABASE %%I SET %s = %%L', current_database(), %s); END $$`, setting, "'"+value+"'"))
			for range 2 {
				mustExec(t, conn, others)
				appendTo(t, 1, d)
				appendTo(t, 1, startReplica(t, url, Options{}))
				time.Sleep(50 * time.Millisecond) // longer than the time-outs
				appendTo(t, 1, d)
			}
			eventually(t, 10*time.Second, "ready", func() bool { ok, _ := ready(d); return ok })
			checkWhole(t, d, -1)
			if setting != "synchronous_commit" {
				return
			}
			findings, err := Check(t.Context(), url, time.Now)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range findings {
				if f.What == setting && f.Level != Good {
					t.Errorf("%+v", f)
				}
			}
		})
	}
}

// TestWhatAnAdministratorDoes: maintenance of a database under a running replica loses nothing,
// and what it cannot work with is refused and reported.
func TestWhatAnAdministratorDoes(t *testing.T) {
	t.Parallel()
	url := PostgresForTests.NewDatabase(t)
	conn := connectTo(t, url)
	d := startReplica(t, url, Options{})
	appendTo(t, 2, d)
	entries := int64(2)
	for _, sql := range []string{
		others,
		`SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`,
		`SELECT pg_reload_conf()`,
		`VACUUM FULL`,
		`VACUUM FREEZE ANALYZE`,
		`CLUSTER use_up USING use_up_pkey`,
		`REINDEX TABLE ledger_batch`,
		`REINDEX TABLE CONCURRENTLY use_up`,
		`REINDEX TABLE CONCURRENTLY ledger_batch`,
		`ALTER TABLE use_up SET (autovacuum_enabled = off)`,
		`CREATE INDEX mine ON ledger_batch (first_seq)`,
		`DROP INDEX mine`,
		`CHECKPOINT`,
	} {
		mustExec(t, conn, sql)
		appendTo(t, 1, d)
		entries++
		eventually(t, 10*time.Second, "ready after "+sql, func() bool { ok, _ := ready(d); return ok })
	}
	checkWhole(t, d, entries)
}

// TestReadOnlyDatabase: a database that was made read-only takes nothing, until it is undone.
func TestReadOnlyDatabase(t *testing.T) {
	t.Parallel()
	url := PostgresForTests.NewDatabase(t)
	conn := connectTo(t, url)
	d := startReplica(t, url, Options{})
	appendTo(t, 1, d)
	set := func(value string) {
		mustExec(t, conn, `SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE`)
		mustExec(t, conn, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = `+value+`', current_database()); END $$`)
		mustExec(t, conn, others)
	}
	set("on")
	eventually(t, 10*time.Second, "not ready", func() bool { ok, _ := ready(d); return !ok })
	set("off")
	eventually(t, 10*time.Second, "ready again", func() bool { ok, _ := ready(d); return ok })
	appendTo(t, 1, d)
	checkWhole(t, d, 2)
}

// TestPartitionsDroppedByHand: `moneyer ledger verify` reports days that somebody removed.
func TestPartitionsDroppedByHand(t *testing.T) {
	t.Parallel()
	for _, how := range []string{`DROP TABLE %s`, `ALTER TABLE ledger_batch DETACH PARTITION %s`, `TRUNCATE %s`} {
		url := PostgresForTests.NewDatabase(t)
		conn := connectTo(t, url)
		d := startReplica(t, url, Options{})
		old := testEntry(0)
		old.Time = old.Time.AddDate(0, 0, -3)
		if err := d.Append(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		appendTo(t, 1, d)
		mustExec(t, conn, fmt.Sprintf(how, "ledger_batch_"+old.Time.UTC().Format("20060102")))
		report, err := d.Verify(t.Context(), nil)
		if err != nil || report.Broken == 0 {
			t.Errorf("%s: %+v, %v", how, report, err)
		}
	}
}

// TestSessionTimeouts: a session that the server ended by a time-out is opened again.
func TestSessionTimeouts(t *testing.T) {
	t.Parallel()
	url := PostgresForTests.NewDatabase(t)
	d, conn := startReplica(t, url, Options{}), connectTo(t, url)
	appendTo(t, 1, d)
	pid := func() (pid int) {
		err := conn.QueryRow(t.Context(), `SELECT coalesce(min(pid), 0) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'moneyer writer%'`).Scan(&pid)
		if err != nil {
			t.Fatal(err)
		}
		return pid
	}
	was := pid()
	err := d.writer.do(t.Context(), func(tx *tx) error { _, err := tx.Exec(`SET idle_session_timeout = 20`); return err })
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "the server ends the session", func() bool { return pid() != was })
	appendTo(t, 1, d)
	checkWhole(t, d, 2)
}

// TestCheckOfAGoodDatabase: nothing is bad but what the tests' server is told for speed.
func TestCheckOfAGoodDatabase(t *testing.T) {
	t.Parallel()
	url := PostgresForTests.NewDatabase(t)
	startReplica(t, url, Options{})
	findings, err := Check(t.Context(), url, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		if f.Level == Bad && !strings.Contains("fsync full_page_writes", f.What) {
			t.Errorf("%+v", f)
		}
	}
}
