package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/internal/rowauth/rowauthtest"
	"moneyer/internal/store/engine"
	"moneyer/internal/store/postgres"
)

// chainOf returns the chain that a replica writes.
func chainOf(t *testing.T, d *DB) (chain int64) {
	t.Helper()
	err := d.writer.do(t.Context(), func(tx *tx) error {
		chain = ledger.ChainOf(tx.Head.Seq)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return chain
}

// appendTo appends an entry for each replica in turn.
func appendTo(t *testing.T, n int, replicas ...*DB) {
	t.Helper()
	for range n {
		for _, d := range replicas {
			if err := d.Append(t.Context(), testEntry(0)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// expireHeartbeat sets a replica's heartbeats to two minutes ago.
func expireHeartbeat(t *testing.T, url string, d *DB) {
	t.Helper()
	conn := connectTo(t, url)
	mustExec(t, conn, `CREATE FUNCTION seem_dead() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN NEW.seen := now() - interval '2 minutes'; RETURN NEW; END $$`)
	mustExec(t, conn, fmt.Sprintf(`CREATE TRIGGER seem_dead BEFORE INSERT OR UPDATE ON replica FOR EACH ROW
		WHEN (NEW.id = '%s') EXECUTE FUNCTION seem_dead()`, replicaOf(t, d)))
	mustExec(t, conn, `UPDATE replica SET seen = seen`)
}

// TestChains: whatever becomes of replicas, each chain has one writer at a time and
// stays whole, and no chain is begun while one is free.
func TestChains(t *testing.T) {
	t.Parallel() // most of the time it waits
	all := atOnce{T: t}
	defer all.wait()
	all.run("a replica that seemed dead", func(t *testing.T) {
		url := PostgresForTests.NewDatabase(t)
		a := startReplica(t, url, Options{})
		appendTo(t, 3, a)
		b := startReplica(t, url, Options{}) // it claims a chain when it first writes
		expireHeartbeat(t, url, a)
		appendTo(t, 3, b, a, a)
		if chains := [2]int64{chainOf(t, a), chainOf(t, b)}; chains != [2]int64{1, 0} {
			t.Errorf("they go on with the chains %v", chains)
		}
		checkWhole(t, a, 12)
	})
	all.run("a replica that slept in a transaction", func(t *testing.T) {
		url := PostgresForTests.NewDatabase(t)
		a := startReplica(t, url, Options{})
		appendTo(t, 3, a)
		b, c, d := startReplica(t, url, Options{}), startReplica(t, url, Options{}), startReplica(t, url, Options{}) // they claim a chain when they first write
		expireHeartbeat(t, url, a)
		l, err := engine.Encode(testEntry(1))
		if err != nil {
			t.Fatal(err)
		}
		asleep, awake := make(chan struct{}), make(chan struct{})
		var sleep sync.Once
		var slept sync.WaitGroup
		slept.Go(func() {
			err := a.writer.do(context.Background(), func(tx *tx) error {
				sleep.Do(func() { close(asleep); <-awake })
				return tx.recordLines([]engine.Line{l})
			})
			if err != nil {
				t.Error(err)
			}
		})
		<-asleep
		appendTo(t, 1, b) // the chain is held, so it begins another
		eventually(t, patience, "the server gives up on who sleeps", func() bool {
			if err := c.Append(t.Context(), testEntry(0)); err != nil {
				t.Fatal(err)
			}
			return count(t, c, `SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND datname = current_database()`) == 0
		})
		appendTo(t, 1, d)
		if c, d := chainOf(t, c), chainOf(t, d); c != 0 && d != 0 {
			t.Errorf("the chain of who sleeps is free, and new replicas go on with the chains %d and %d", c, d)
		}
		close(awake)
		slept.Wait()
		if n := recorded(t, d, 1); n != 1 {
			t.Errorf("its entry is there %d times", n)
		}
		checkWhole(t, d, -1)
	})
	all.run("one that stops and one that starts", func(t *testing.T) {
		url := PostgresForTests.NewDatabase(t)
		for range 3 {
			d := startReplica(t, url, Options{})
			appendTo(t, 2, d)
			if chain := chainOf(t, d); chain != 0 {
				t.Errorf("it goes on with chain %d", chain)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
		}
		last := startReplica(t, url, Options{})
		checkWhole(t, last, 6)
		if n := count(t, last, `SELECT count(*) FROM replica WHERE NOT has_left`); n != 1 {
			t.Errorf("%d replicas are known, want one", n)
		}
	})
	all.run("one that died", func(t *testing.T) {
		url := PostgresForTests.NewDatabase(t)
		a := startReplica(t, url, Options{})
		appendTo(t, 1, a)
		conn := connectTo(t, url)
		mustExec(t, conn, `UPDATE ledger_chain SET holder = 'died'`)
		mustExec(t, conn, `INSERT INTO replica (id, seen) VALUES ('died', now() - interval '50 seconds')`)
		b := startReplica(t, url, Options{})
		appendTo(t, 1, a, b)
		if a, b := chainOf(t, a), chainOf(t, b); a == 0 || b == 0 || a == b {
			t.Errorf("while the dead may be alive its chain is taken: %d and %d", a, b)
		}
		mustExec(t, conn, `UPDATE replica SET seen = now() - interval '61 seconds' WHERE id = 'died'`)
		c := startReplica(t, url, Options{})
		appendTo(t, 1, a, b, c)
		if chain := chainOf(t, c); chain != 0 {
			t.Errorf("the chain of the dead is free, and a new replica goes on with chain %d", chain)
		}
		checkWhole(t, c, 6)
	})
	all.run("a chain that is gone", func(t *testing.T) {
		url := PostgresForTests.NewDatabase(t)
		a, b := startReplica(t, url, Options{}), startReplica(t, url, Options{})
		appendTo(t, 1, a)
		if chain := chainOf(t, b); chain != 1 { // which it has not written to
			t.Fatalf("it goes on with chain %d", chain)
		}
		conn := connectTo(t, url)
		mustExec(t, conn, `DELETE FROM ledger_chain WHERE id = 1`)
		appendTo(t, 2, b)
		mustExec(t, conn, `DELETE FROM ledger_chain WHERE id = 0`)
		if err := a.Append(t.Context(), testEntry(0)); !errors.Is(err, postgres.ErrRolledBack) {
			t.Errorf("append to a chain that had entries: %v", err)
		}
		appendTo(t, 1, b)
	})
	all.run("twenty at once", twentyAtOnce)
}

// twentyAtOnce opens a new database in twenty replicas.
func twentyAtOnce(t *testing.T) {
	const replicas = 20
	url := PostgresForTests.NewDatabase(t)
	stores := make([]*DB, replicas)
	var wg sync.WaitGroup
	for i := range stores {
		wg.Go(func() {
			d, err := Open(t.Context(), url, Options{Create: true, RowKey: rowauthtest.Key(), Now: time.Now})
			if err != nil {
				t.Error(err)
				return
			}
			stores[i] = d
			for n := range 5 {
				if err := d.Append(t.Context(), testEntry(n), useOf(i*5+n, "")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, d := range stores {
		if d != nil {
			t.Cleanup(func() { _ = d.Close() })
		}
	}
	if t.Failed() {
		return
	}
	checkWhole(t, stores[0], replicas*5)
	if n := count(t, stores[0], `SELECT count(*) FROM ledger_chain WHERE seq & 1099511627775 = 5`); n != replicas {
		t.Errorf("%d chains have 5 entries, want %d", n, replicas)
	}
	if n := count(t, stores[0], `SELECT count(*) FROM schema_version`); n != 1 {
		t.Errorf("the schema was made %d times", n)
	}
}

// TestPartitionsByDay: entries of any day have a partition, whichever replica creates it.
func TestPartitionsByDay(t *testing.T) {
	url := PostgresForTests.NewDatabase(t)
	stores := []*DB{startReplica(t, url, Options{}), startReplica(t, url, Options{}), startReplica(t, url, Options{})}
	midnight := time.Date(2026, 11, 3, 0, 0, 0, 0, time.UTC)
	at := func(n int, at time.Time) *ledger.Entry {
		e := testEntry(n)
		e.Time = at
		return e
	}
	days := []time.Time{
		midnight.Add(-time.Millisecond), midnight, midnight.Add(-time.Nanosecond), midnight.AddDate(0, 0, 2),
		{}, time.UnixMilli(-1), time.UnixMilli(0), midnight.AddDate(-40, 0, 0), midnight.AddDate(500, 0, 0),
		time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC),
	}
	var wg sync.WaitGroup
	for n, day := range days {
		for _, d := range stores { // which make its partition at once
			wg.Go(func() {
				if err := d.Append(t.Context(), at(n, day)); err != nil {
					t.Errorf("an entry of %v: %v", day, err)
				}
			})
		}
		wg.Wait() // an entry of another day in the same batch would hide what is wrong with this one
	}
	resume := stopWriter(stores[0]) // one batch of two days
	for n := range 2 {
		wg.Go(func() {
			if err := stores[0].Append(context.Background(), at(len(days)+n, days[n])); err != nil {
				t.Error(err)
			}
		})
	}
	queued(stores[0], 2)
	resume()
	wg.Wait()
	for n := range days {
		if found := recorded(t, stores[1], n); found != len(stores) {
			t.Errorf("%d entries of %v", found, days[n])
		}
	}
	for _, d := range stores {
		if _, err := d.Checkpoint(t.Context(), unsigned); err != nil {
			t.Fatal(err)
		}
	}
	checkWhole(t, stores[0], int64(len(days)*len(stores)+2+len(stores)))
	for _, test := range []struct {
		since, until time.Time
		want         int
	}{
		{midnight.Add(-time.Millisecond), midnight, 7}, {midnight, midnight.Add(time.Millisecond), 4},
		{midnight.AddDate(0, 0, 1), midnight.AddDate(0, 0, 3), 3},
	} {
		found := 0
		err := stores[2].Entries(t.Context(), ledger.Query{Since: test.since, Until: test.until}, func(*ledger.Record) error { found++; return nil })
		if err != nil || found != test.want {
			t.Errorf("from %v to %v there are %d entries, want %d: %v", test.since, test.until, found, test.want, err)
		}
	}
}

// TestUnstorableText: a name that PostgreSQL cannot store does not exist there, and an entry
// that contains it is recorded.
func TestUnstorableText(t *testing.T) {
	for name, d := range map[string]*DB{"SQLite": openNew(t), "PostgreSQL": startReplica(t, PostgresForTests.NewDatabase(t), Options{})} {
		for _, id := range []string{"a\x00b", "\x00", "a\xffb", "\xc3", strings.Repeat("\xed\xa0\x80", 3)} {
			t.Run(fmt.Sprintf("%s %q", name, id), func(t *testing.T) {
				ctx := t.Context()
				lookups := map[string]func() error{
					"client":     func() error { _, err := d.Client(ctx, "d1", id); return err },
					"account":    func() error { _, err := d.Account(ctx, "d1", id); return err },
					"API key":    func() error { _, err := d.ClientByDigest(ctx, "d1", registry.Digest{}); return err },
					"no client":  func() error { return d.RemoveClient(ctx, "d1", id, testEntry(0)) },
					"no account": func() error { return d.RemoveAccount(ctx, "d1", id, testEntry(0)) },
					"no item":    func() error { return d.RemoveItem(ctx, "d1", id, testEntry(0)) },
				}
				for what, look := range lookups {
					if err := look(); !errors.Is(err, registry.ErrNotFound) {
						t.Errorf("%s: %v", what, err)
					}
				}
				if found, err := d.Items(ctx, "d1", []string{id, "t"}); err != nil || len(found) != 0 {
					t.Errorf("items: %v, %v", found, err)
				}
				e := testEntry(1)
				e.Correlation, e.Client = id, id
				if err := d.Append(ctx, e); err != nil {
					t.Errorf("an entry: %v", err)
				}
				if err := d.Append(ctx, testEntry(2)); err != nil {
					t.Errorf("the entry after it: %v", err)
				}
				if report, err := d.Verify(ctx, nil); err != nil || report.Broken != 0 {
					t.Errorf("verify: %+v, %v", report, err)
				}
			})
		}
	}
}

// TestLastUseOfUnstorableName: a kid that the database cannot store does not prevent other
// times of last use from being written.
func TestLastUseOfUnstorableName(t *testing.T) {
	d := startReplica(t, PostgresForTests.NewDatabase(t), Options{TouchInterval: time.Hour})
	now := time.Now()
	for _, id := range []string{"a\x00", "\xff", "plain"} {
		d.Touch("d1", "bank", id, now)
	}
	if err := d.flush(t.Context(), 100); err != nil {
		t.Error(err)
	}
	if n := count(t, d, `SELECT count(*) FROM last_used`); n != 1 {
		t.Errorf("%d times are noted", n)
	}
}

// TestContendedChange: a change that waits for the registry's lock does not delay appends,
// and is made when the lock is free.
func TestContendedChange(t *testing.T) {
	t.Parallel()
	url := PostgresForTests.NewDatabase(t)
	d := startReplica(t, url, Options{})
	appendTo(t, 1, d)
	turn, err := connectTo(t, url).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := turn.Exec(t.Context(), `SELECT FROM registry_revision FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	changed := make(chan error, 1)
	go func() {
		changed <- d.PutClient(ctx, &registry.Client{Issuer: "d1", ID: "bank", Name: "bank"}, testEntry(0))
	}()
	waiting := time.NewTimer(3 * time.Second)
	defer waiting.Stop()
	for longest := time.Duration(0); ; {
		began := time.Now()
		appendTo(t, 1, d)
		longest = max(longest, time.Since(began))
		select {
		case <-waiting.C:
			if longest > 2*time.Second {
				t.Errorf("an append took %v", longest)
			}
		case err := <-changed:
			t.Fatalf("the change did not wait for its turn: %v", err)
		default:
			continue
		}
		break
	}
	if err := turn.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-changed; err != nil {
		t.Error(err)
	}
	if name := clientName(t, d, "bank"); name != "bank" {
		t.Errorf("the client is %q", name)
	}
}
