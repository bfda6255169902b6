// Package postgres keeps a store in a PostgreSQL database, which any number of replicas
// write. It implements engine.Engine, and the source and target of copies.
//
// It knows nothing of clients or tokens: package store decides what is written. Its
// exported API has no type of the driver.
package postgres

import (
	"context"
	"crypto/rand"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"moneyer/internal/store/engine"
)

// Database is a database that any number of replicas write. It implements engine.Engine.
type Database struct {
	url     *URL
	reads   *sql.DB
	reader  *engine.Reader
	session *session
	feed    *feed
}

// Open opens the database. If it has no schema, Open creates that if create is set, and
// otherwise returns [engine.ErrNoStore]. Reads go to the same server as writes, so that each
// sees what was acknowledged before. Status shows the process to people.
func Open(ctx context.Context, u *URL, create bool, process engine.Process, now func() time.Time) (*Database, error) {
	if err := prepare(ctx, u, create, migrations); err != nil {
		return nil, err
	}
	replica := rand.Text()
	acknowledged := &atomic.Int64{}
	d := &Database{url: u, feed: &feed{url: u, replica: replica, process: process, now: now, acknowledged: acknowledged}}
	d.reads = readPool(u, d.feed.servers.Load)
	d.reader = engine.NewReader(d.reads, &engine.Faults{Lost: isLost, Unstorable: isUnstorable})
	d.session = &session{url: u, holder: replica, told: acknowledged, days: &partitions{url: u, days: map[int64]bool{}}}
	// A replica has a heartbeat before it takes a chain, so that no other considers the
	// chain free.
	if err := d.feed.begin(ctx); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	if err := refuseUnfinished(ctx, d.reads); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// OpenReadOnly opens the database, which must hold a whole store, for reading. Replicas may
// use it.
func OpenReadOnly(ctx context.Context, u *URL) (reads *engine.Reader, closeReads func() error, err error) {
	db := readPool(u, func() int64 { return 0 })
	if err := refuseUnfinished(ctx, db); err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return engine.NewReader(db, &engine.Faults{Lost: isLost, Unstorable: isUnstorable}), db.Close, nil
}

// readPool opens the pool for reads, and for writes without a ledger entry: times of last
// use, and deletion of expired values. servers returns the number of servers that the feed
// was connected to; when it changes, the pool's earlier connections are discarded.
func readPool(u *URL, servers func() int64) *sql.DB {
	config := u.config.Copy()
	if _, set := config.RuntimeParams["statement_timeout"]; !set {
		config.RuntimeParams["statement_timeout"] = "30000" // for a verification of the ledger; requests have shorter timeouts
	}
	config.RuntimeParams["lock_timeout"] = "1000"
	config.RuntimeParams["idle_session_timeout"] = "0"
	config.RuntimeParams["jit"] = "off" // with hundreds of partitions, compilation takes a second for a query of milliseconds
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

// Replica returns this process's ID in the database.
func (d *Database) Replica() string { return d.feed.replica }

// Reads implements engine.Engine.
func (d *Database) Reads() *engine.Reader { return d.reader }

// Writes implements engine.Engine.
func (d *Database) Writes() engine.Session { return d.session }

// Follow implements engine.Engine.
func (d *Database) Follow(ctx context.Context, learn func(context.Context, []engine.Change) error) {
	d.feed.follow(ctx, learn)
}

// Known implements engine.Engine.
func (d *Database) Known(time.Time) time.Time { return *d.feed.known.Load() }

// Healthy implements engine.Engine.
func (d *Database) Healthy(now time.Time) error {
	if d.session.rolledBack.Load() {
		return ErrRolledBack
	}
	if d.session.changed.Load() {
		return ErrChainChanged
	}
	return d.feed.healthy(now)
}

// Clocks implements engine.Engine.
func (d *Database) Clocks() engine.Clocks {
	if c := d.feed.clocks.Load(); c != nil {
		return *c
	}
	return engine.Clocks{}
}

// Past implements engine.Engine.
func (d *Database) Past(ctx context.Context, now time.Time) (time.Time, error) {
	var there time.Time
	if err := d.reader.Get(ctx, `SELECT clock_timestamp()`, nil, []any{&there}); err != nil {
		return time.Time{}, fmt.Errorf("the database's clock: %w", err)
	}
	if there.Before(now) {
		return there, nil
	}
	return now, nil
}

// Close implements engine.Engine.
func (d *Database) Close() error {
	d.feed.leave()
	return d.reads.Close()
}
