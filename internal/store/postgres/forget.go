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

// ForgetConsumed implements engine.Engine. It first records the time up to which values
// are deleted, under a lock that excludes transactions that consume: a later transaction
// reads that time, and an earlier one has ended. The time is in whole seconds, and values
// that expire later are kept.
func (d *Database) ForgetConsumed(ctx context.Context, _ engine.Writer, now time.Time) (forgotten int64, err error) {
	now = now.Truncate(time.Second)
	if err := d.mark(ctx, now); err != nil {
		return 0, err
	}
	for {
		result, err := d.reads.ExecContext(ctx, `DELETE FROM use_up WHERE key = ANY(ARRAY(
			SELECT key FROM use_up WHERE until <= $1 ORDER BY until LIMIT $2 FOR UPDATE SKIP LOCKED))`,
			now.UnixMilli(), forgetAtOnce)
		if err != nil {
			return forgotten, err
		}
		removed, err := result.RowsAffected()
		if forgotten += removed; err != nil || removed < forgetAtOnce {
			return forgotten, err
		}
	}
}

func (d *Database) mark(ctx context.Context, now time.Time) error {
	conn, _, err := d.url.dial(ctx, writeSettings())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var marked int64
	if err := conn.QueryRow(ctx, `SELECT at FROM used_forgotten`).Scan(&marked); err != nil || marked >= now.Unix() {
		return err
	}
	// In one message: otherwise the lock would be held for a network round trip between
	// each two statements.
	_, err = conn.PgConn().Exec(ctx, fmt.Sprintf(`BEGIN;
		LOCK TABLE use_up IN SHARE MODE;
		UPDATE used_forgotten SET at = %[1]d WHERE at < %[1]d;
		COMMIT`, now.Unix())).ReadAll()
	if err != nil {
		return fmt.Errorf("used_forgotten: %w", err)
	}
	return pgx.BeginFunc(ctx, conn, func(t pgx.Tx) error { return d.feed.forget(ctx, t) })
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
