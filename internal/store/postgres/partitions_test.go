package postgres

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"moneyer/internal/store/engine"
)

// TestGoesWhole: a partition goes when all its rows do, and it has any.
func TestGoesWhole(t *testing.T) {
	u := parsed(t, server.NewDatabase(t))
	if err := prepare(t.Context(), u, true, migrations); err != nil {
		t.Fatal(err)
	}
	conn, _, err := u.dial(t.Context(), writeSettings())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	at := time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC).UnixMilli()
	if err := (&partitions{url: u, days: map[int64]bool{}}).ensure(at); err != nil {
		t.Fatal(err)
	}
	_, err = conn.Exec(t.Context(), `INSERT INTO ledger_batch SELECT seq, 1, $2, $2, '', '', '', '' FROM unnest($1::bigint[]) AS seq`,
		[]int64{1, 4, 6, 1<<40 | 3, 1<<40 | 5}, at)
	if err != nil {
		t.Fatal(err)
	}
	today := at / day
	for _, test := range []struct {
		day    int64
		ranges []engine.Range
		want   bool
	}{
		{today, []engine.Range{{First: 1, Keep: 7}, {First: 1<<40 | 1, Keep: 1<<40 | 6}}, true},
		{today, []engine.Range{{First: 1, Keep: 7}, {First: 1<<40 | 3, Keep: 1<<40 | 6}, {First: 2<<40 | 1, Keep: 2<<40 | 1}}, true},
		{today, []engine.Range{{First: 1, Keep: 6}, {First: 1<<40 | 1, Keep: 1<<40 | 6}}, false},
		{today, []engine.Range{{First: 2, Keep: 7}, {First: 1<<40 | 1, Keep: 1<<40 | 6}}, false},
		{today, []engine.Range{{First: 1, Keep: 7}, {First: 1<<40 | 4, Keep: 1<<40 | 6}}, false},
		{today, []engine.Range{{First: 1, Keep: 7}, {First: 1<<40 | 1, Keep: 1<<40 | 5}}, false},
		{today, []engine.Range{{First: 1, Keep: 7}}, false},
		{today, nil, false},
		{today + 1, []engine.Range{{First: 1, Keep: 7}}, false}, // it is empty
	} {
		whole, err := goesWhole(t.Context(), conn, pgx.Identifier{partitionOf(test.day)}.Sanitize(), test.ranges)
		if err != nil || whole != test.want {
			t.Errorf("day %d, %v: %v, %v", test.day-today, test.ranges, whole, err)
		}
	}
}
