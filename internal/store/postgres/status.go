package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"moneyer/internal/store/engine"
	"moneyer/internal/store/transfer"
)

// Status returns the state of a database, and changes nothing in it.
func Status(ctx context.Context, u *URL) (s engine.Status, err error) {
	steps, err := readSteps(migrations)
	if err != nil {
		return s, err
	}
	conn, _, err := u.dial(ctx, writeSettings())
	if err != nil {
		return s, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	s.Known = len(steps)
	if s.Version, s.Oldest, err = readVersion(ctx, conn); err != nil || s.Version == 0 {
		return s, err
	}
	var batch pgx.Batch
	batch.Queue(`SELECT to_regclass($1) IS NOT NULL, pg_database_size(current_database())`, transfer.Unfinished).
		QueryRow(func(row pgx.Row) error { return row.Scan(&s.Unfinished, &s.Bytes) })
	batch.Queue(`SELECT id, host, address, version, extract(epoch FROM clock_timestamp() - seen)::float8, (clock_min + clock_max) / 2 FROM replica WHERE NOT has_left ORDER BY id`).
		Query(func(rows pgx.Rows) error { return addReplicas(&s, rows) })
	batch.Queue(`SELECT seq, hash, holder FROM ledger_chain ORDER BY id`).
		Query(func(rows pgx.Rows) error { return addChains(&s, rows) })
	batch.Queue(`SELECT coalesce(parent.relname, part.relname)::text, sum(pg_total_relation_size(part.oid))::bigint, sum(greatest(part.reltuples, 0))::bigint
		FROM pg_class AS part LEFT JOIN pg_inherits ON inhrelid = part.oid LEFT JOIN pg_class AS parent ON parent.oid = inhparent
		WHERE part.relnamespace = current_schema()::regnamespace AND part.relkind = 'r'
		GROUP BY 1 ORDER BY 2 DESC LIMIT 6`).
		Query(func(rows pgx.Rows) error { return addSizes(&s, rows) })
	return s, conn.SendBatch(ctx, &batch).Close()
}

func addReplicas(s *engine.Status, rows pgx.Rows) error {
	var r engine.ReplicaStatus
	var seconds float64
	var ahead *int64
	_, err := pgx.ForEachRow(rows, []any{&r.ID, &r.Host, &r.Address, &r.Version, &seconds, &ahead}, func() error {
		r.HeartbeatAge, r.ClockAhead = time.Duration(seconds*float64(time.Second)), 0
		if ahead != nil {
			r.ClockAhead = time.Duration(*ahead) * time.Microsecond
		}
		s.Replicas = append(s.Replicas, r)
		return nil
	})
	return err
}

func addChains(s *engine.Status, rows pgx.Rows) error {
	var c engine.ChainStatus
	var hash []byte
	_, err := pgx.ForEachRow(rows, []any{&c.Seq, &hash, &c.Holder}, func() error {
		copy(c.Hash[:], hash)
		s.Chains = append(s.Chains, c)
		return nil
	})
	return err
}

func addSizes(s *engine.Status, rows pgx.Rows) error {
	var t engine.TableSize
	_, err := pgx.ForEachRow(rows, []any{&t.Table, &t.Bytes, &t.Rows}, func() error {
		s.Sizes = append(s.Sizes, t)
		return nil
	})
	return err
}
