package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"moneyer/internal/ledger"
	"moneyer/internal/store/engine"
	"moneyer/internal/store/transfer"
)

// Target is a database that is the target of a copy. It implements transfer.Target.
type Target struct {
	db    *sql.DB
	conn  *sql.Conn
	reads *engine.Reader
	days  *partitions
	table transfer.Table // of consumed values
	used  *transfer.Rows // buffered by PutUsed and written by FlushUsed
}

// lockCopy is the advisory lock of a process that copies into a database.
const lockCopy = 7305815

// OpenTarget opens the database as the target of a copy, and creates its schema.
func OpenTarget(ctx context.Context, u *URL) (*Target, error) {
	if err := prepare(ctx, u, true, migrations); err != nil {
		return nil, err
	}
	db, conn, err := connWithoutTimeouts(ctx, u)
	if err != nil {
		return nil, err
	}
	t := &Target{db: db, conn: conn, reads: engine.NewReader(db, &engine.Faults{Lost: isLost, Unstorable: isUnstorable}),
		days: &partitions{url: u, days: map[int64]bool{}}, table: transfer.UsedTable()}
	t.used = transfer.NewRows(&t.table)
	if err := t.lock(ctx); err != nil {
		return nil, errors.Join(err, t.Close(ctx))
	}
	return t, nil
}

// lock excludes other copies. It waits for the session of an interrupted copy, which holds
// the lock until the server notices that its client is gone.
func (t *Target) lock(ctx context.Context) error {
	for _, statement := range []string{"SET lock_timeout = 2000", fmt.Sprintf("SELECT pg_advisory_lock(%d)", lockCopy), "SET lock_timeout = 0"} {
		_, err := t.conn.ExecContext(ctx, statement)
		var refused *pgconn.PgError
		if errors.As(err, &refused) && refused.Code == "55P03" {
			return errors.New("another copy is being made into it")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Conn implements transfer.Target.
func (t *Target) Conn() *sql.Conn { return t.conn }

// Reads implements transfer.Target.
func (t *Target) Reads() *engine.Reader { return t.reads }

// Unfinished implements transfer.Target.
func (t *Target) Unfinished(ctx context.Context) (bool, error) { return unfinished(ctx, t.conn) }

// Served implements transfer.Target. A replica that starts writes its heartbeat before it
// looks for the table Unfinished, so at least one of the two detects the other.
func (t *Target) Served(ctx context.Context) error {
	var up int
	err := t.conn.QueryRowContext(ctx, `SELECT count(*) FROM replica WHERE NOT has_left AND seen > now() - interval '1 minute'`).Scan(&up)
	if err == nil && up > 0 {
		err = fmt.Errorf("%d replicas serve it, or did a minute ago: stop them", up)
	}
	return err
}

// Put implements transfer.Target. It uses one statement for all rows.
func (t *Target) Put(ctx context.Context, r *transfer.Rows) error {
	lists, args := make([]string, len(r.Columns)), make([]any, len(r.Columns))
	for i := range r.Columns {
		lists[i] = fmt.Sprintf("$%d::%s[]", i+1, r.Columns[i].Kind)
		args[i] = r.Columns[i].All()
		if r.Table.Columns[i].Name == "time_max" {
			for _, at := range r.Columns[i].Numbers {
				if err := t.days.ensure(at); err != nil {
					return err
				}
			}
		}
	}
	_, err := t.conn.ExecContext(ctx, fmt.Sprintf(`INSERT INTO %s (%s) SELECT * FROM unnest(%s) ON CONFLICT DO NOTHING`,
		r.Table.Name, transfer.Names(r.Table.Columns), strings.Join(lists, ", ")), args...)
	return err
}

// PutUsed implements transfer.Target.
func (t *Target) PutUsed(ctx context.Context, key engine.Key, until int64, sealed []byte) error {
	if t.used.Add(key[:], until, sealed); t.used.N < t.table.AtOnce {
		return nil
	}
	return t.FlushUsed(ctx)
}

// FlushUsed implements transfer.Target.
func (t *Target) FlushUsed(ctx context.Context) error {
	r := t.used
	if t.used = transfer.NewRows(&t.table); r.N == 0 {
		return nil
	}
	return t.Put(ctx, r)
}

// ForgetUsed implements transfer.Target: each value has its key, and is written once.
func (t *Target) ForgetUsed(context.Context) error { return nil }

// UsedCount implements transfer.Target.
func (t *Target) UsedCount(ctx context.Context, _ bool) (int64, error) {
	return t.table.Count(ctx, t.conn)
}

// Finish implements transfer.Target. It writes the ends of the chains, which replicas
// continue. It sets the revision to the current time, so that a replica that has cached
// the previous contents of the database does not find the revision that it knows.
func (t *Target) Finish(ctx context.Context, q transfer.Querier, p *transfer.Point) error {
	for _, h := range p.Heads {
		_, err := q.ExecContext(ctx, `INSERT INTO ledger_chain (id, holder, seq, hash) VALUES ($1, '', $2, $3)
			ON CONFLICT (id) DO UPDATE SET holder = '', seq = excluded.seq, hash = excluded.hash`, ledger.ChainOf(h.Seq), h.Seq, h.Hash[:])
		if err != nil {
			return fmt.Errorf("ledger_chain: %w", err)
		}
	}
	_, err := q.ExecContext(ctx, `UPDATE registry_revision SET (revision, gone) =
		(SELECT greatest(revision, at), greatest(revision, at) FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS at) AS now)`)
	return err
}

// Close implements transfer.Target.
func (t *Target) Close(context.Context) error { return errors.Join(t.conn.Close(), t.db.Close()) }
