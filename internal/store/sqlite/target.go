package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"moneyer/internal/store/engine"
	"moneyer/internal/store/transfer"
)

// Target is a file that is the target of a copy. It implements transfer.Target.
type Target struct {
	db       *sql.DB
	conn     *sql.Conn
	reads    *engine.Reader
	part     *part // nil if the caller keeps and finishes the file
	used     transfer.Table
	packed   transfer.Table
	finished bool

	// Buffered by PutUsed and written by FlushUsed.
	left, pack *transfer.Rows
	minutes    map[int64][]byte // encoded values by the minute of their expiry
	row        int64
}

// OpenTarget opens the target of a copy to the file at path, which must not exist. The copy is
// in path.part until it is complete; a part of it that is there already is continued.
func OpenTarget(ctx context.Context, path string) (*Target, error) {
	p, err := openPart(path)
	if err != nil {
		return nil, err
	}
	t, err := NewTarget(ctx, p.path)
	if err != nil {
		return nil, errors.Join(err, p.release())
	}
	t.part = p
	return t, nil
}

// NewTarget opens the file at path, which must exist, as the target of a copy, and creates its
// schema. The caller excludes other processes.
func NewTarget(ctx context.Context, path string) (*Target, error) {
	db, err := openPool(path, 2, readCache, "synchronous(NORMAL)", "wal_autocheckpoint(4096)")
	if err != nil {
		return nil, err
	}
	if err := migrate(ctx, db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if _, err := conn.ExecContext(ctx, fmt.Sprintf("PRAGMA cache_size = %d", -writeCache)); err != nil {
		return nil, errors.Join(err, conn.Close(), db.Close())
	}
	t := &Target{db: db, conn: conn, reads: engine.NewReader(db, nil), minutes: map[int64][]byte{}, used: transfer.UsedTable(),
		packed: transfer.Table{Name: "used_batch", Columns: []transfer.Column{{Name: "until", Kind: transfer.Number}, {Name: "first_seq", Kind: transfer.Number}, {Name: "keys", Kind: transfer.Bytes}}, Key: 2, AtOnce: 500}}
	t.empty()
	return t, nil
}

// empty resets the buffers.
func (t *Target) empty() { t.left, t.pack = transfer.NewRows(&t.used), transfer.NewRows(&t.packed) }

// Conn implements transfer.Target.
func (t *Target) Conn() *sql.Conn { return t.conn }

// Reads implements transfer.Target.
func (t *Target) Reads() *engine.Reader { return t.reads }

// Unfinished implements transfer.Target.
func (t *Target) Unfinished(ctx context.Context) (bool, error) { return unfinished(ctx, t.conn) }

// Served implements transfer.Target: the lock excludes other processes.
func (t *Target) Served(context.Context) error { return nil }

// Put implements transfer.Target. It inserts row by row: SQLite is in this process.
func (t *Target) Put(ctx context.Context, r *transfer.Rows) error {
	query := fmt.Sprintf(`INSERT INTO %s (%s) VALUES (%s) ON CONFLICT DO NOTHING`,
		r.Table.Name, transfer.Names(r.Table.Columns), transfer.Parameters(len(r.Columns)))
	tx, err := t.conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	for i := range r.N {
		if _, err := tx.ExecContext(ctx, query, r.Row(i, len(r.Columns))...); err != nil {
			return errors.Join(err, tx.Rollback())
		}
	}
	return tx.Commit()
}

// packedAtOnce is the number of values in one row of used_batch.
const packedAtOnce = 1024

// PutUsed implements transfer.Target.
func (t *Target) PutUsed(ctx context.Context, key engine.Key, until int64, sealed []byte) error {
	if len(sealed) > 0 {
		t.left.Add(key[:], until, sealed)
	} else {
		second := engine.CeilSecond(time.UnixMilli(until))
		minute := int64(second)/60 + 1
		t.minutes[minute] = appendConsumed(t.minutes[minute], key, second)
		if len(t.minutes[minute]) >= packedAtOnce*consumedSize {
			t.packMinute(minute)
		}
	}
	if t.left.N < t.used.AtOnce && t.pack.N < t.packed.AtOnce {
		return nil
	}
	return t.write(ctx)
}

// packMinute makes a row of a minute's values. The writer numbers its rows by entries;
// these get numbers from 0 down.
func (t *Target) packMinute(minute int64) {
	t.pack.Add(minute*60_000, t.row, t.minutes[minute])
	t.row--
	delete(t.minutes, minute)
}

// FlushUsed implements transfer.Target.
func (t *Target) FlushUsed(ctx context.Context) error {
	for minute := range t.minutes {
		t.packMinute(minute)
	}
	return t.write(ctx)
}

func (t *Target) write(ctx context.Context) error {
	defer t.empty()
	return errors.Join(t.Put(ctx, t.left), t.Put(ctx, t.pack))
}

// ForgetUsed implements transfer.Target: packed values cannot be found by key.
func (t *Target) ForgetUsed(ctx context.Context) error {
	_, err := t.conn.ExecContext(ctx, `DELETE FROM used_batch`)
	return err
}

// UsedCount implements transfer.Target.
func (t *Target) UsedCount(ctx context.Context, twice bool) (int64, error) {
	n, err := t.used.Count(ctx, t.conn)
	if err != nil {
		return 0, err
	}
	var packed int64
	err = t.conn.QueryRowContext(ctx, `SELECT coalesce(sum(length(keys) / $1), 0) FROM used_batch`, consumedSize).Scan(&packed)
	if twice {
		return packed, err
	}
	return n + packed, err
}

// Finish implements transfer.Target.
func (t *Target) Finish(context.Context, transfer.Querier, *transfer.Point) error {
	t.finished = true
	return nil
}

// Close implements transfer.Target. It turns off the WAL of a complete copy, so that the
// copy is one file, and gives it its name. That requires that no other connection is open.
func (t *Target) Close(ctx context.Context) error {
	var err error
	if t.finished {
		t.db.SetMaxIdleConns(0)
		_, err = t.conn.ExecContext(context.WithoutCancel(ctx), `PRAGMA journal_mode = DELETE`)
	}
	err = errors.Join(err, t.conn.Close(), t.db.Close())
	if t.part == nil {
		return err
	}
	if t.finished && err == nil {
		err = t.part.finish()
	}
	return errors.Join(err, t.part.release())
}
