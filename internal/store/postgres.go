package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// postgres is a database that any number of replicas write.
type postgres struct {
	url     *postgresURL
	reads   *sql.DB
	session *postgresSession
	feed    *feed
}

// openPostgres opens the database, and makes its schema if there is none. Reads go to the same server as writes, so that each sees
// what was acknowledged before.
func openPostgres(ctx context.Context, u *postgresURL, options *Options) (*postgres, error) {
	if err := preparePostgres(ctx, u, migrations); err != nil {
		return nil, err
	}
	replica := rand.Text()
	p := &postgres{url: u, feed: &feed{url: u, replica: replica, now: options.Now, options: options}}
	p.reads = readPool(u, p.feed.servers.Load)
	p.session = &postgresSession{url: u, holder: replica, days: &partitions{url: u, days: map[int64]bool{}}}
	// A replica is known before it takes a chain, so that no other takes it for free.
	if err := p.feed.begin(ctx); err != nil {
		return nil, errors.Join(err, p.close())
	}
	if err := refuseUnfinishedDatabase(ctx, p.reads); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// readPool opens the connections that read, and note what needs no entry: times of
// last use, and what is over. Once another server was met, by the number that servers
// returns, those opened before are used no more.
func readPool(u *postgresURL, servers func() int64) *sql.DB {
	config := u.config.Copy()
	if _, set := config.RuntimeParams["statement_timeout"]; !set {
		config.RuntimeParams["statement_timeout"] = "30000" // of a walk along the ledger; what requests wait for ends sooner
	}
	config.RuntimeParams["lock_timeout"] = "1000"
	config.RuntimeParams["jit"] = "off" // with hundreds of partitions it compiles for a second what runs for milliseconds
	const of = "server"
	db := stdlib.OpenDB(*config, stdlib.OptionBeforeConnect(func(_ context.Context, c *pgx.ConnConfig) error {
		server := servers()
		withoutCancel(c, func(c net.Conn) net.Conn { return c })
		after := c.AfterConnect
		c.AfterConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
			conn.CustomData()[of] = server
			return after(ctx, conn)
		}
		return nil
	}), stdlib.OptionResetSession(func(_ context.Context, conn *pgx.Conn) error {
		if conn.PgConn().CustomData()[of] != servers() {
			return driver.ErrBadConn
		}
		return nil
	}))
	db.SetMaxOpenConns(u.pool)
	db.SetMaxIdleConns(u.pool)
	db.SetConnMaxLifetime(10 * time.Minute)
	return db
}

func (p *postgres) pool() (reads *sql.DB, local bool) { return p.reads, false }
func (p *postgres) writing() session                  { return p.session }
func (p *postgres) heard(time.Time) time.Time         { return p.feed.heard() }

func (p *postgres) healthy(now time.Time) error {
	if p.session.back.Load() {
		return errWentBack
	}
	return p.feed.healthy(now)
}

func (p *postgres) follow(ctx context.Context, cache *registryCache) { p.feed.follow(ctx, cache) }

func (p *postgres) close() error {
	p.feed.leave()
	return p.reads.Close()
}

// forgetPostgres is how many used assertions one statement removes.
const forgetPostgres = 5000

// forgetUsed first says up to when, under a lock that no use-up passes: one that
// begins after it knows, and one that began before is over. It says so to the second,
// and nothing that ends later may go.
func (p *postgres) forgetUsed(ctx context.Context, _ *DB, now time.Time) (forgotten int64, err error) {
	now = now.Truncate(time.Second)
	if err := p.mark(ctx, now); err != nil {
		return 0, err
	}
	for {
		result, err := p.reads.ExecContext(ctx, `DELETE FROM use_up WHERE key = ANY(ARRAY(
			SELECT key FROM use_up WHERE until <= $1 ORDER BY until LIMIT $2 FOR UPDATE SKIP LOCKED))`,
			now.UnixMilli(), forgetPostgres)
		if err != nil {
			return forgotten, err
		}
		removed, err := result.RowsAffected()
		if forgotten += removed; err != nil || removed < forgetPostgres {
			return forgotten, err
		}
	}
}

func (p *postgres) mark(ctx context.Context, now time.Time) error {
	conn, _, err := p.url.dial(ctx, writeSettings())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var marked int64
	if err := conn.QueryRow(ctx, `SELECT at FROM used_forgotten`).Scan(&marked); err != nil || marked >= now.Unix() {
		return err
	}
	// In one message: over a slow network the lock would keep everybody else waiting
	// from one answer to the next question.
	_, err = conn.PgConn().Exec(ctx, fmt.Sprintf(`BEGIN;
		LOCK TABLE use_up IN SHARE MODE;
		UPDATE used_forgotten SET at = %[1]d WHERE at < %[1]d;
		COMMIT`, now.Unix())).ReadAll()
	if err != nil {
		return fmt.Errorf("used_forgotten: %w", err)
	}
	return pgx.BeginFunc(ctx, conn, func(t pgx.Tx) error { return p.feed.forget(ctx, t) })
}

// writeLastUsed takes the rows in order, so that two replicas never wait for each other.
// A name that the database cannot store, which a client may give a key of its own jwks_uri,
// is left out: it must not keep the times of others away.
func (p *postgres) writeLastUsed(ctx context.Context, _ *DB, times map[credential]int64) error {
	ctx, cancel := context.WithTimeout(ctx, asidePatience)
	defer cancel()
	keys := slices.DeleteFunc(slices.SortedFunc(maps.Keys(times), credential.compare), credential.unstorable)
	issuers, clients, ids, ats := make([]string, len(keys)), make([]string, len(keys)), make([]string, len(keys)), make([]int64, len(keys))
	for i, key := range keys {
		issuers[i], clients[i], ids[i], ats[i] = key.issuer, key.client, key.id, times[key]
	}
	_, err := p.reads.ExecContext(ctx, `INSERT INTO last_used (issuer, client, credential, at)
		SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
		ON CONFLICT (issuer, client, credential) DO UPDATE SET at = excluded.at WHERE last_used.at < excluded.at`,
		issuers, clients, ids, ats)
	if err != nil {
		return fmt.Errorf("last_used: %w", err)
	}
	return nil
}

// unstorable tells whether PostgreSQL takes a name for no text.
func (c credential) unstorable() bool {
	all := c.issuer + " " + c.client + " " + c.id
	return strings.Contains(all, "\x00") || !utf8.ValidString(all)
}

// backup is a copy in a SQLite file. Whoever asked for it verifies its ledger.
func (p *postgres) backup(ctx context.Context, path string) error {
	source, err := openSourceDatabase(ctx, p.url)
	if err != nil {
		return err
	}
	target, err := openTargetFile(ctx, path)
	if err != nil {
		return errors.Join(err, source.close())
	}
	c := &copying{source: source, target: target, progress: func(string, int64, int64) {}}
	return errors.Join(c.run(ctx), target.close(), source.close())
}
