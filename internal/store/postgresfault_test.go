package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"moneyer/internal/ledger"
	"moneyer/internal/pgtest"
	"moneyer/internal/registry"
	"moneyer/internal/rowauth/rowauthtest"
)

// startReplica opens a store on PostgreSQL. Close may be called before the test ends.
func startReplica(t *testing.T, url string, options Options) *DB {
	t.Helper()
	options.RowKey = rowauthtest.Key()
	if options.Now == nil {
		options.Now = time.Now
	}
	options.Create = true
	d, err := Open(t.Context(), url, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// connectTo connects a test to a database, past the store.
func connectTo(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func mustExec(t *testing.T, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// eventually fails unless something is so within a time.
func eventually(t *testing.T, within time.Duration, what string, so func() bool) {
	t.Helper()
	late := time.NewTimer(within)
	defer late.Stop()
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for !so() {
		select {
		case <-again.C:
		case <-late.C:
			if !so() { // a slow machine has had no time to look
				t.Fatalf("after %v it is still not so: %s", within, what)
			}
			return
		}
	}
}

// useOf is the value of the n-th assertion, which expires after a minute.
func useOf(n int, sealed string) ledger.Consumed {
	return ledger.Consumed{Value: useKey{1, byte(n >> 16), byte(n >> 8), byte(n)}, Until: time.Now().Add(time.Minute), Sealed: []byte(sealed)}
}

// recorded counts the entries with the JTI of testEntry(n).
func recorded(t *testing.T, d *DB, n int) (found int) {
	t.Helper()
	err := d.Entries(t.Context(), ledger.Query{JTI: testEntry(n).JTI}, func(*ledger.Record) error { found++; return nil })
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// checkWhole fails unless every chain is whole, and their entries are so many.
func checkWhole(t *testing.T, d *DB, entries int64) {
	t.Helper()
	report, err := d.Verify(t.Context(), nil)
	if err != nil || report.Broken != 0 {
		t.Errorf("verify: %+v, %v", report, err)
	}
	total := int64(0)
	for _, c := range report.Chains {
		total += ledger.PlaceOf(c.Last)
		var seq int64
		err := d.reads.Row(t.Context(), `SELECT seq FROM ledger_chain WHERE id = $1`, []any{c.Chain}, []any{&seq})
		if err != nil || seq != c.Last {
			t.Errorf("chain %d goes on after entry %s and ends with %s: %v", c.Chain, ledger.ShowSeq(seq), ledger.ShowSeq(c.Last), err)
		}
	}
	if entries >= 0 && total != entries {
		t.Errorf("%d entries, want %d", total, entries)
	}
}

// TestCommitInDoubt: after any fault of a COMMIT or its answer, the caller gets the true
// outcome, and the transaction commits once.
func TestCommitInDoubt(t *testing.T) {
	t.Parallel() // most of the time it waits
	const first = "INSERT INTO ledger_batch (first_seq, count, time_min, time_max, previous, last, marks, lines)\n\t\tVALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
	all := atOnce{T: t}
	defer all.wait()
	settlesInDoubt(&all)
	all.run("half-open, and its caller gives up", halfOpenIsNoGrant)
	for _, test := range []struct {
		statement string
		fate      fate
	}{
		{"COMMIT", unanswered},
		{"COMMIT", silent},
		{"COMMIT", lost},
		{first, lost},
		{first, halfOpen},    // the server waits for an idle session
		{"COMMIT", halfOpen}, // the server waits for the rest of what a session says
	} {
		all.run(fmt.Sprint(test.statement[:6], " ", test.fate), func(t *testing.T) {
			p, url := newProxy(t, PostgresForTests.NewDatabase(t))
			d := startReplica(t, url, Options{})
			if err := d.Append(t.Context(), testEntry(0)); err != nil {
				t.Fatal(err)
			}
			met := p.once(test.statement, test.fate)
			batchInDoubt(t, d)
			if met.Load() == 0 {
				t.Error("the fault never came about")
			}
			checkWhole(t, d, 4)

			c := &registry.Client{Issuer: "d1", ID: "bank", Name: "0"}
			met = p.once(test.statement, test.fate)
			if err := d.PutClient(t.Context(), c, testEntry(4)); err != nil || met.Load() == 0 {
				t.Errorf("a change whose commit is in doubt: %v", err)
			}
			checkWhole(t, d, 5)
			if n := p.cancels.Load(); n != 0 {
				t.Errorf("%d statements were cancelled", n)
			}
		})
	}
}

// stopWriter keeps the writer busy with a transaction that comes to nothing.
func stopWriter(d *DB) (resume func()) {
	stopped, gate := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = d.writer.do(context.Background(), func(*tx) error {
			close(stopped)
			<-gate
			return errors.New("this was but to wait")
		})
	})
	<-stopped
	return func() {
		close(gate)
		wg.Wait()
	}
}

// batchInDoubt appends, in one batch, the entries 1 and 2 with two values each, a second
// use of the values of entry 1, and entry 3 without any.
func batchInDoubt(t *testing.T, d *DB) {
	t.Helper()
	resume := stopWriter(d)
	var wg sync.WaitGroup
	var won, used atomic.Int64
	offer := func(n int, consumed ...ledger.Consumed) {
		defer wg.Done()
		err := d.Append(context.Background(), testEntry(n), consumed...)
		told := (*ledger.ReplayedError)(nil)
		switch {
		case err == nil:
			won.Add(1)
		case errors.As(err, &told) && n == 1 && string(told.Sealed) == "sealed":
			used.Add(1)
		default:
			t.Errorf("entry %d: %v", n, err)
		}
	}
	wg.Add(4)
	go offer(1, useOf(1, "sealed"), useOf(4, ""))
	go offer(1, useOf(1, "sealed"), useOf(4, ""))
	go offer(2, useOf(2, ""), useOf(5, "second"))
	go offer(3)
	queued(d, 4)
	resume()
	wg.Wait()
	if won.Load() != 3 || used.Load() != 1 {
		t.Errorf("%d appends were acknowledged, %d refused", won.Load(), used.Load())
	}
	for n := 1; n <= 3; n++ {
		if found := recorded(t, d, n); found != 1 {
			t.Errorf("entry %d is there %d times", n, found)
		}
	}
	for n, sealed := range map[int]string{1: "sealed", 4: "", 2: "", 5: "second"} {
		told := (*ledger.ReplayedError)(nil)
		if err := d.Append(t.Context(), testEntry(1), useOf(n, "later")); !errors.As(err, &told) || string(told.Sealed) != sealed {
			t.Errorf("value %d once more: %v", n, err)
		}
	}
}

// settlesInDoubt: the answer to the COMMIT is lost, and so is what was to find out
// what became of it.
func settlesInDoubt(all *atOnce) {
	for _, test := range []struct{ first, then fate }{
		{unanswered, unanswered}, {unanswered, lost}, {unanswered, silent}, {lost, unanswered}, {silent, lost},
	} {
		all.run(fmt.Sprint(test.first, " then ", test.then), func(t *testing.T) {
			p, url := newProxy(t, PostgresForTests.NewDatabase(t))
			d := startReplica(t, url, Options{})
			if err := d.Append(t.Context(), testEntry(0)); err != nil {
				t.Fatal(err)
			}
			var commits atomic.Int64
			p.set(func() {
				p.rule = func(statement string) fate {
					if statement != "COMMIT" {
						return arrives
					}
					switch commits.Add(1) {
					case 1:
						return test.first
					case 2, 3:
						return test.then
					}
					return arrives
				}
			})
			batchInDoubt(t, d)
			if commits.Load() < 4 {
				t.Errorf("there were %d commits", commits.Load())
			}
			checkWhole(t, d, 4)
			if n := p.cancels.Load(); n != 0 {
				t.Errorf("%d statements were cancelled", n)
			}
		})
	}
}

// halfOpenIsNoGrant: a caller that times out while the old session holds the lock on the
// chain gets an error in time, and its entry is not recorded later.
func halfOpenIsNoGrant(t *testing.T) {
	p, url := newProxy(t, PostgresForTests.NewDatabase(t))
	d := startReplica(t, url, Options{})
	if err := d.Append(t.Context(), testEntry(0)); err != nil {
		t.Fatal(err)
	}
	p.set(func() {
		var done atomic.Bool
		p.rule = func(statement string) fate {
			if strings.HasPrefix(statement, "INSERT INTO ledger_batch") && !done.Swap(true) {
				p.set(func() { p.held = true })
				return halfOpen
			}
			return arrives
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	began := time.Now()
	err := d.Append(ctx, testEntry(1), useOf(1, "of who gave up"))
	if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took > time.Second {
		t.Fatalf("after %v: %v", took, err)
	}
	p.set(func() { p.held = false })
	if err := d.Append(t.Context(), testEntry(2), useOf(1, "of who came later")); err != nil {
		t.Errorf("the assertion of who gave up: %v", err)
	}
	if n := recorded(t, d, 1); n != 0 {
		t.Errorf("%d entries are there of who was told that there is none", n)
	}
	checkWhole(t, d, 2)
}

// TestCommitWithoutStandby: a commit that is not on a standby is not acknowledged, even if
// the wait for it was cancelled or its session was ended.
func TestCommitWithoutStandby(t *testing.T) {
	server := ownServer(t, nil)
	d := startReplica(t, server.URL("postgres"), Options{})
	if err := d.Append(t.Context(), testEntry(0)); err != nil {
		t.Fatal(err)
	}
	conn := connectTo(t, server.URL("postgres"))
	for i, end := range []string{"pg_cancel_backend", "pg_terminate_backend"} {
		t.Run(end, func(t *testing.T) {
			setStandbys(t, server, "ANY 1 (nobody)")
			answer := make(chan error, 1)
			go func() { answer <- d.Append(context.Background(), testEntry(i+1), useOf(i+1, "")) }()
			interrupted := map[int32]bool{}
			eventually(t, 2*patience, "three commits that waited are interrupted", func() bool {
				for _, pid := range waitingForStandby(t, conn) {
					mustExec(t, conn, "SELECT "+end+"($1)", pid)
					interrupted[pid] = true
				}
				return len(interrupted) >= 3
			})
			select {
			case err := <-answer:
				t.Errorf("the append was answered with %v while no standby had it", err)
			default:
			}
			setStandbys(t, server, "")
			if err := <-answer; err != nil {
				t.Error(err)
			}
			if n := recorded(t, d, i+1); n != 1 {
				t.Errorf("the entry is there %d times", n)
			}
		})
	}
	if err := d.Append(t.Context(), testEntry(3), useOf(3, "")); err != nil {
		t.Error(err)
	}
	checkWhole(t, d, 4)
}

// setStandbys has commits wait for the standbys of those names.
func setStandbys(t *testing.T, server *pgtest.Server, names string) {
	t.Helper()
	for _, command := range []string{"ALTER SYSTEM SET synchronous_standby_names = '" + names + "'", "SELECT pg_reload_conf()"} {
		if err := server.Exec(t.Context(), command); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, patience, "the server knows its standbys", func() bool {
		conn, err := pgx.Connect(t.Context(), server.URL("postgres"))
		if err != nil {
			return false
		}
		defer func() { _ = conn.Close(context.Background()) }()
		is := ""
		return conn.QueryRow(t.Context(), "SHOW synchronous_standby_names").Scan(&is) == nil && is == names
	})
}

// waitingForStandby are the writer's sessions that wait in their COMMIT.
func waitingForStandby(t *testing.T, conn *pgx.Conn) (pids []int32) {
	t.Helper()
	rows, err := conn.Query(t.Context(), `SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query = 'COMMIT'`)
	if err != nil {
		t.Fatal(err)
	}
	if pids, err = pgx.CollectRows(rows, pgx.RowTo[int32]); err != nil {
		t.Fatal(err)
	}
	return pids
}

// ownServer is a server of one test, that may do to it what would harm others.
func ownServer(t *testing.T, settings map[string]string) *pgtest.Server {
	t.Helper()
	server, err := pgtest.Start(t.Context(), pgtest.Options{Settings: settings})
	pgtest.Require(t, err)
	t.Cleanup(func() {
		if err := server.Remove(); err != nil {
			t.Error(err)
		}
	})
	return server
}
