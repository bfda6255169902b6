package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"moneyer/internal/store/engine"
)

// partitions creates the daily partitions of the ledger, and caches which exist.
type partitions struct {
	url  *URL
	days map[int64]bool
}

const day = int64(24 * time.Hour / time.Millisecond)

// ensure creates the partition of an instant, in Unix milliseconds, and that of the next
// day, on a separate connection: it may wait for locks, which must not block appends.
// A failure to create the next day's partition is ignored until that day.
func (p *partitions) ensure(at int64) error {
	of := at / day
	if at%day < 0 { // before 1970
		of--
	}
	if p.days[of] {
		return nil
	}
	conn, _, err := p.url.dial(context.Background(), writeSettings())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if err := makePartition(conn, of); err != nil {
		return fmt.Errorf("partition of the ledger: %w", err)
	}
	p.days[of] = true
	_ = makePartition(conn, of+1)
	return nil
}

func makePartition(conn *pgx.Conn, d int64) error {
	name := partitionOf(d)
	var there bool
	err := conn.QueryRow(context.Background(), `SELECT to_regclass($1) IS NOT NULL`, name).Scan(&there)
	if err != nil || there {
		return err
	}
	_, err = conn.PgConn().Exec(context.Background(), fmt.Sprintf(`BEGIN;
		CREATE TABLE %[1]s (LIKE ledger_batch INCLUDING ALL);
		ALTER TABLE ledger_batch ATTACH PARTITION %[1]s FOR VALUES FROM (%[2]d) TO (%[3]d);
		COMMIT`, name, d*day, (d+1)*day)).ReadAll()
	var refused *pgconn.PgError
	if errors.As(err, &refused) && slices.Contains([]string{"42P07", "42710", "23505"}, refused.Code) { // another replica was faster
		_, err = conn.Exec(context.Background(), "ROLLBACK")
	}
	return err
}

func partitionOf(d int64) string {
	return "ledger_batch_" + time.UnixMilli(d*day).UTC().Format("20060102")
}

// lockOldEntries is an advisory lock: shared for reading the ledger from its start,
// exclusive for removing entries from there.
const lockOldEntries = 7305814

// HoldOldEntries implements engine.Engine.
func (d *Database) HoldOldEntries(ctx context.Context, remove bool) (release func() error, ok bool, err error) {
	conn, _, err := d.url.dial(ctx, writeSettings())
	if err != nil {
		return nil, false, err
	}
	lock := `SELECT pg_try_advisory_lock_shared($1)`
	if remove {
		lock = `SELECT pg_try_advisory_lock($1)`
	}
	release = func() error { // unlocks explicitly, so that the next caller can lock at once
		ctx := context.WithoutCancel(ctx)
		_, err := conn.Exec(ctx, `SELECT pg_advisory_unlock_all()`)
		return errors.Join(err, conn.Close(ctx))
	}
	if err = conn.QueryRow(ctx, lock, lockOldEntries).Scan(&ok); err != nil || !ok {
		return nil, false, errors.Join(err, release())
	}
	return release, true, nil
}

// DropWhole implements engine.Engine. It drops the partitions of days of which every entry
// is removed. Its lock timeout is short because appends are queued behind it: a long read
// of the ledger postpones the drop to the next call.
func (d *Database) DropWhole(ctx context.Context, ranges []engine.Range) error {
	conn, _, err := d.url.dial(ctx, writeSettings())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, `SET lock_timeout = 100`); err != nil {
		return err
	}
	rows, err := conn.Query(ctx, `SELECT relname::text FROM pg_inherits JOIN pg_class ON oid = inhrelid
		WHERE inhparent = 'ledger_batch'::regclass ORDER BY relname`)
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := dropIfWhole(ctx, conn, name, ranges); err != nil {
			return fmt.Errorf("drop the partition %s of the ledger: %w", name, err)
		}
	}
	return nil
}

// dropIfWhole drops a partition that has rows, if all of them are in ranges. It locks the
// partition against inserts between the check and the drop.
func dropIfWhole(ctx context.Context, conn *pgx.Conn, name string, ranges []engine.Range) error {
	table := pgx.Identifier{name}.Sanitize()
	if whole, err := goesWhole(ctx, conn, table, ranges); err != nil || !whole {
		return err
	}
	return pgx.BeginFunc(ctx, conn, func(t pgx.Tx) error {
		if _, err := t.Exec(ctx, `LOCK TABLE `+table+` IN SHARE MODE`); err != nil {
			return err
		}
		if whole, err := goesWhole(ctx, conn, table, ranges); err != nil || !whole {
			return err
		}
		_, err := t.Exec(ctx, `DROP TABLE `+table)
		return err
	})
}

// goesWhole reports whether a partition has rows, and all of them are in ranges. It uses
// the index: a day may have millions of rows.
func goesWhole(ctx context.Context, conn *pgx.Conn, table string, ranges []engine.Range) (whole bool, err error) {
	firsts, lasts := []int64{math.MinInt64}, make([]int64, 0, len(ranges)+1)
	for _, r := range ranges { // in the order of chains
		firsts, lasts = append(firsts, r.Keep), append(lasts, r.First-1)
	}
	lasts = append(lasts, math.MaxInt64)
	err = conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM `+table+`) AND NOT EXISTS (
		SELECT FROM unnest($1::bigint[], $2::bigint[]) AS stays (from_seq, to_seq)
		WHERE (SELECT first_seq FROM `+table+` WHERE first_seq >= stays.from_seq AND first_seq <= stays.to_seq ORDER BY first_seq LIMIT 1) IS NOT NULL)`,
		firsts, lasts).Scan(&whole)
	return whole, err
}
