package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestWholeDaysGoAsPartitions: a partition of which all goes is dropped, one in which
// something has to stay is not, and the chain stays whole.
func TestWholeDaysGoAsPartitions(t *testing.T) {
	url := PostgresForTests.NewDatabase(t)
	d, err := Open(t.Context(), url, Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	for n := range 6 {
		for i := range 3 {
			e := testEntry(i)
			e.Time = clock().AddDate(0, 0, n)
			if err := d.Append(t.Context(), e, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, step := range []struct {
		days, gone int64
		left       string
	}{
		{0, 0, "[20261102 20261103 20261104 20261105 20261106 20261107]"},
		{2, 6, "[20261104 20261105 20261106 20261107]"},
		{2, 0, "[20261104 20261105 20261106 20261107]"},
		{5, 9, "[20261107]"},
	} {
		gone, err := d.Prune(t.Context(), time.Date(2026, 11, 2+int(step.days), 0, 0, 0, 0, time.UTC))
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
