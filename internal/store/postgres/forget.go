package postgres

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"moneyer/internal/store/engine"
)

// forgetAtOnce is how many consumed values one statement removes.
const forgetAtOnce = 5000

// ForgetConsumed implements engine.Engine. It first records the latest end of what is
// deleted, under a lock that excludes transactions that consume: a later transaction
// reads that time, and an earlier one has ended. The time is in whole seconds, and values
// that expire later are kept.
func (d *Database) ForgetConsumed(ctx context.Context, _ engine.Writer, now time.Time) (forgotten int64, err error) {
	until, err := d.mark(ctx, now.Truncate(time.Second).Unix())
	if err != nil {
		return 0, err
	}
	for {
		result, err := d.reads.ExecContext(ctx, `DELETE FROM use_up WHERE key = ANY(ARRAY(
			SELECT key FROM use_up WHERE until <= $1 ORDER BY until LIMIT $2 FOR UPDATE SKIP LOCKED))`,
			until*1000, forgetAtOnce)
		if err != nil {
			return forgotten, err
		}
		removed, err := result.RowsAffected()
		if forgotten += removed; err != nil || removed < forgetAtOnce {
			return forgotten, err
		}
	}
}

// lastExpired is the latest end of a value that has expired at a time, both in Unix seconds.
const lastExpired = `(SELECT coalesce(ceil(max(until) / 1000.0), 0)::bigint FROM use_up WHERE until <= %d * 1000::bigint)`

// mark records the latest end of a value that has expired at now, both in Unix seconds, and
// returns up to when values may be deleted.
func (d *Database) mark(ctx context.Context, now int64) (until int64, err error) {
	conn, _, err := d.url.dial(ctx, writeSettings())
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	last := fmt.Sprintf(lastExpired, now)
	var marked bool
	if err := conn.QueryRow(ctx, `SELECT at >= `+last+` FROM used_forgotten`).Scan(&marked); err != nil {
		return 0, err
	}
	if !marked {
		// In one message: otherwise the lock would be held for a network round trip between
		// each two statements.
		_, err = conn.PgConn().Exec(ctx, `BEGIN;
			LOCK TABLE use_up IN SHARE MODE;
			UPDATE used_forgotten SET at = greatest(at, `+last+`);
			COMMIT`).ReadAll()
		if err != nil {
			return 0, fmt.Errorf("used_forgotten: %w", err)
		}
	}
	if err := conn.QueryRow(ctx, `SELECT least(at, $1) FROM used_forgotten`, now).Scan(&until); err != nil {
		return 0, err
	}
	return until, pgx.BeginFunc(ctx, conn, func(t pgx.Tx) error { return d.feed.forget(ctx, t) })
}

// Refuse implements engine.Engine. The writer may be one that writes nothing any more.
func (d *Database) Refuse(ctx context.Context, _ engine.Writer, until time.Time) error {
	_, err := d.reads.ExecContext(ctx, `UPDATE used_forgotten SET refused = $1 WHERE refused < $1`, int64(engine.CeilSecond(until)))
	return err
}

// WriteLastUsed implements engine.Engine. It writes the rows in order, to avoid deadlocks
// between replicas. A kid that the database cannot store is left out: a client can
// publish one at its jwks_uri, and it must not prevent the other writes.
func (d *Database) WriteLastUsed(ctx context.Context, _ engine.Writer, times map[engine.Credential]int64) error {
	ctx, cancel := context.WithTimeout(ctx, backgroundTimeout)
	defer cancel()
	keys := slices.DeleteFunc(slices.SortedFunc(maps.Keys(times), compare), unstorable)
	issuers, clients, ids, ats := make([]string, len(keys)), make([]string, len(keys)), make([]string, len(keys)), make([]int64, len(keys))
	for i, key := range keys {
		issuers[i], clients[i], ids[i], ats[i] = key.Issuer, key.Client, key.ID, times[key]
	}
	_, err := d.reads.ExecContext(ctx, `INSERT INTO last_used (issuer, client, credential, at)
		SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
		ON CONFLICT (issuer, client, credential) DO UPDATE SET at = excluded.at WHERE last_used.at < excluded.at`,
		issuers, clients, ids, ats)
	if err != nil {
		return fmt.Errorf("last_used: %w", err)
	}
	return nil
}

func compare(a, b engine.Credential) int {
	return cmp.Or(cmp.Compare(a.Issuer, b.Issuer), cmp.Compare(a.Client, b.Client), cmp.Compare(a.ID, b.ID))
}

// unstorable reports whether PostgreSQL refuses the name as text.
func unstorable(c engine.Credential) bool {
	all := c.Issuer + " " + c.Client + " " + c.ID
	return strings.Contains(all, "\x00") || !utf8.ValidString(all)
}
