package store

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"moneyer/internal/ledger"
	"moneyer/internal/rowauth/rowauthtest"
)

// TestPruneDropsPartitions: a partition of which all goes is dropped, one in which
// something has to stay is not, and the chain stays whole.
func TestPruneDropsPartitions(t *testing.T) {
	url := PostgresForTests.NewDatabase(t)
	var day atomic.Int64
	d, err := Open(t.Context(), url, Options{Create: true, RowKey: rowauthtest.Key(), Now: func() time.Time { return clock().AddDate(0, 0, int(day.Load())) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	for n := range 6 {
		day.Store(int64(n))
		for i := range 3 {
			e := testEntry(i)
			e.Time = clock().AddDate(0, 0, n)
			if err := d.Append(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := d.Checkpoint(t.Context(), unsigned); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		days, gone int64
		left       string
	}{
		{0, 0, "[20261102 20261103 20261104 20261105 20261106 20261107]"},
		{2, 8, "[20261104 20261105 20261106 20261107]"},
		{2, 0, "[20261104 20261105 20261106 20261107]"},
		{5, 12, "[20261107]"},
	} {
		gone, err := d.Prune(t.Context(), time.Date(2026, 11, 2+int(step.days), 0, 0, 0, 0, time.UTC), 0, unsigned)
		if err != nil {
			t.Fatal(err)
		}
		if left := partitionsLeft(t, url); gone != step.gone || left != step.left {
			t.Errorf("before day %d: %d entries gone, partitions %s left; want %d and %s", step.days, gone, left, step.gone, step.left)
		}
		if report, err := d.Verify(t.Context(), nil); err != nil || len(report.Chains) != 1 || report.Broken != 0 {
			t.Errorf("before day %d: %+v, %v", step.days, report, err)
		}
	}
}

// partitionsLeft lists the days up to the last with entries for which there is a partition.
func partitionsLeft(t *testing.T, url string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	rows, err := conn.Query(t.Context(), `SELECT right(relname::text, 8) FROM pg_inherits JOIN pg_class ON oid = inhrelid
		WHERE inhparent = 'ledger_batch'::regclass AND relname::text < 'ledger_batch_20261108' ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	days, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(days)
}

// TestConcurrentMaintenance: what one replica reads from the start of the ledger no
// other removes meanwhile, and nobody reads what is being removed.
func TestConcurrentMaintenance(t *testing.T) {
	url := PostgresForTests.NewDatabase(t)
	var replicas [2]*DB
	for i := range replicas {
		d, err := Open(t.Context(), url, Options{Create: true, RowKey: rowauthtest.Key(), Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = d.Close() })
		replicas[i] = d
	}
	appendEntries(t, replicas[0], 3)
	hold := func(remove bool) (end func() error) {
		end, ok, err := replicas[0].maintain(t.Context(), remove)
		if err != nil || !ok {
			t.Fatalf("maintenance that nobody is in the way of: %v, %v", ok, err)
		}
		return end
	}
	late := clock().AddDate(1, 0, 0)

	reading := hold(false)
	if n, err := replicas[1].Prune(t.Context(), late, 0, unsigned); n != 0 || err != nil {
		t.Errorf("%d entries were removed while another replica read them, %v", n, err)
	}
	if _, err := replicas[1].Verify(t.Context(), nil); err != nil {
		t.Errorf("two read at once: %v", err)
	}
	if err := reading(); err != nil {
		t.Fatal(err)
	}

	removing := hold(true)
	if _, err := replicas[1].Verify(t.Context(), nil); err == nil {
		t.Error("a ledger of which entries are being removed was found whole")
	}
	if err := removing(); err != nil {
		t.Fatal(err)
	}
	if n, err := replicas[1].Prune(t.Context(), late, 0, unsigned); n != 2 || err != nil {
		t.Errorf("%d entries were removed, %v; want all but the last", n, err)
	}
}

// TestNextPartitionFailure: appends of today succeed although the next day's partition
// cannot be created.
func TestNextPartitionFailure(t *testing.T) {
	url := PostgresForTests.NewDatabase(t)
	d := startReplica(t, url, Options{})
	entry := func(days int) *ledger.Entry {
		e := testEntry(days)
		e.Time = clock().AddDate(0, 0, days)
		return e
	}
	if err := d.Append(t.Context(), entry(0)); err != nil { // makes the partition of day 1, too
		t.Fatal(err)
	}
	const day = int64(24 * time.Hour / time.Millisecond)
	after := clock().UnixMilli()/day + 2
	mustExec(t, connectTo(t, url), fmt.Sprintf(`CREATE TABLE in_the_way PARTITION OF ledger_batch FOR VALUES FROM (%d) TO (%d)`, after*day, (after+1)*day))
	if err := d.Append(t.Context(), entry(1)); err != nil {
		t.Errorf("an entry of a day whose partition is there: %v", err)
	}
}

// TestLinesAreNotCompressedAgain: the partitions have the column as the table has it.
func TestLinesAreNotCompressedAgain(t *testing.T) {
	url := PostgresForTests.NewDatabase(t)
	d, err := Open(t.Context(), url, Options{Create: true, RowKey: rowauthtest.Key(), Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	appendEntries(t, d, 1)
	var tables, external int
	err = d.reads.Row(t.Context(), `SELECT count(*), count(*) FILTER (WHERE attstorage = 'e') FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
		WHERE relkind IN ('r', 'p') AND relname LIKE 'ledger\_batch%' AND attname = 'lines'`, nil, []any{&tables, &external})
	if err != nil || tables < 2 || external != tables {
		t.Errorf("%d of %d tables store lines as they are, %v", external, tables, err)
	}
}
