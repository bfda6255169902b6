package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"moneyer/internal/store/engine"
)

const (
	// Heartbeat is how often a replica writes its row and reads the changes of others,
	// if no notification arrives earlier.
	Heartbeat = 250 * time.Millisecond
	// maxChanges bounds the changes that are read one by one; beyond it the whole cache
	// is cleared.
	maxChanges = 10_000
	// changesKept is how long changes are kept: far longer than engine.MaxStaleness.
	changesKept = 10 * time.Minute
)

// feed reads the changes of other replicas. At each heartbeat it writes the replica's
// row, which only a server that takes writes acknowledges, and reads the revision
// of the registry in the same transaction. A notification triggers the next heartbeat at
// once; if it is lost, the heartbeat comes after the usual interval.
type feed struct {
	url     *URL
	replica string
	process engine.Process
	now     func() time.Time

	// known is when the last successful heartbeat began, and failure the error of a later
	// one.
	known   atomic.Pointer[time.Time]
	failure atomic.Pointer[error]

	// clocks compares the replicas' clocks; nil before the first heartbeat. acknowledged is
	// the last entry of the ledger that the database acknowledged to this replica.
	clocks       atomic.Pointer[engine.Clocks]
	acknowledged *atomic.Int64

	// servers counts the servers that the feed was connected to, and started is the start
	// time of the last one, in Unix microseconds.
	servers, started atomic.Int64

	// Owned by the goroutine of follow.
	conn     *pgx.Conn
	warned   *atomic.Bool
	revision int64
	offsets  offsets
}

func (f *feed) healthy(now time.Time) error {
	stale := engine.Staleness(now, *f.known.Load())
	if stale < engine.MaxStaleness {
		return nil
	}
	err := fmt.Errorf("the database has not answered for %s", stale.Round(time.Millisecond))
	if failure := f.failure.Load(); failure != nil {
		err = fmt.Errorf("%w: %w", err, *failure)
	}
	return err
}

// begin writes the first heartbeats: the second one has the offset of the clock. The cache
// is empty, so no earlier change matters.
func (f *feed) begin(ctx context.Context) error {
	if _, err := f.heartbeat(ctx); err != nil {
		return err
	}
	now, err := f.heartbeat(ctx)
	if err != nil {
		return err
	}
	f.revision = now.revision
	f.known.Store(&now.began)
	return nil
}

// follow calls learn with the changes of others, until ctx ends.
func (f *feed) follow(ctx context.Context, learn func(context.Context, []engine.Change) error) {
	for ctx.Err() == nil {
		began := f.now()
		if err := f.once(ctx, learn); err != nil {
			f.failure.Store(&err)
			f.drop()
		}
		f.rest(ctx, max(Heartbeat-f.now().Sub(began), minWait))
	}
}

// minWait is the pause after a heartbeat that took longer than Heartbeat.
const minWait = 20 * time.Millisecond

// rest waits for the time of the next heartbeat, or for a notification.
func (f *feed) rest(ctx context.Context, most time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	if f.conn == nil {
		<-ctx.Done()
		return
	}
	if _, err := f.conn.WaitForNotification(ctx); err != nil && (ctx.Err() == nil || f.conn.IsClosed()) {
		f.drop()
		<-ctx.Done()
		return
	}
	cancel() // the next heartbeat covers all notifications that have arrived
	for err := error(nil); err == nil; {
		_, err = f.conn.WaitForNotification(ctx)
	}
}

// once does one heartbeat, and applies the changes that it finds.
func (f *feed) once(ctx context.Context, learn func(context.Context, []engine.Change) error) error {
	now, err := f.heartbeat(ctx)
	if err != nil {
		return err
	}
	if now.revision != f.revision {
		changes, err := f.changes(ctx, now)
		if err != nil {
			return err
		}
		if err := learn(ctx, changes); err != nil {
			return err
		}
	}
	f.revision = now.revision
	f.known.Store(&now.began)
	f.failure.Store(nil)
	return nil
}

// state is the result of a heartbeat.
type state struct {
	began          time.Time
	revision, gone int64
	there          time.Time // by the database's clock
	up, lately     []offset  // of the other replicas' clocks
}

// heartbeat writes the replica's row and reads the revision, in one transaction of one
// round trip.
func (f *feed) heartbeat(ctx context.Context) (p state, err error) {
	if f.conn == nil {
		if err := f.connect(ctx); err != nil {
			return p, err
		}
	}
	p.began = f.now()
	f.warned.Store(false)
	var batch pgx.Batch
	least, most := f.ownClock()
	batch.Queue(`INSERT INTO replica (id, seen, clock_min, clock_max, acknowledged, host, address, version) VALUES ($1, now(), $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO UPDATE
		SET seen = excluded.seen, has_left = false, clock_min = excluded.clock_min, clock_max = excluded.clock_max, acknowledged = excluded.acknowledged`,
		f.replica, least, most, f.acknowledged.Load(), f.process.Host, f.process.Address, f.process.Version)
	batch.Queue(`SELECT revision, gone FROM registry_revision`).QueryRow(func(row pgx.Row) error { return row.Scan(&p.revision, &p.gone) })
	f.queueClocks(&batch, &p)
	if err := f.conn.SendBatch(context.WithoutCancel(ctx), &batch).Close(); err != nil {
		return p, unavailable(err)
	}
	if f.warned.Load() {
		return p, errNotReplicated
	}
	f.compare(&p)
	return p, nil
}

// unknown is the revision before the first read from a server.
const unknown = -1

// connect opens the connection. After a failover that lost changes, a revision of the new
// server may stand for other changes, so the revision is reset; and the old server may not
// know that it is no longer the primary, so no more reads go to it.
func (f *feed) connect(ctx context.Context) (err error) {
	settings := writeSettings()
	settings["application_name"] = "moneyer feed " + f.replica
	if f.conn, f.warned, err = f.url.dial(ctx, settings); err != nil {
		return err
	}
	// The previous session may hold the lock on the replica's row, waiting for the rest of
	// a heartbeat. Without the right to end sessions, this one waits for the server to do it.
	_, _ = f.conn.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE application_name = $1 AND wait_event_type = 'Client' AND pid <> pg_backend_pid()`, settings["application_name"])
	if _, err := f.conn.Exec(ctx, "LISTEN moneyer"); err != nil {
		return unavailable(err)
	}
	var started time.Time
	if err := f.conn.QueryRow(ctx, "SELECT pg_postmaster_start_time()").Scan(&started); err != nil {
		return unavailable(err)
	}
	if before := f.started.Swap(started.UnixMicro()); before != 0 && before != started.UnixMicro() {
		f.servers.Add(1)
		f.revision = unknown
	}
	return nil
}

// changes reads the changes since the last heartbeat; nil if there are more than
// maxChanges, or some were already deleted.
func (f *feed) changes(ctx context.Context, p state) ([]engine.Change, error) {
	if f.revision < p.gone || p.revision < f.revision {
		return nil, nil
	}
	changes := []engine.Change{}
	rows, err := f.conn.Query(ctx, `SELECT kind, issuer, id FROM registry_change
		WHERE revision > $1 AND revision <= $2 ORDER BY revision LIMIT $3`, f.revision, p.revision, maxChanges+1)
	if err != nil {
		return nil, unavailable(err)
	}
	var c engine.Change
	_, err = pgx.ForEachRow(rows, []any{&c.Kind, &c.Issuer, &c.ID}, func() error {
		changes = append(changes, c)
		return nil
	})
	if err != nil {
		return nil, unavailable(err)
	}
	if len(changes) > maxChanges {
		return nil, nil
	}
	return changes, nil
}

// forget deletes changes that every replica has read, and replicas without a heartbeat.
func (f *feed) forget(ctx context.Context, t pgx.Tx) error {
	_, err1 := t.Exec(ctx, `WITH old AS (DELETE FROM registry_change WHERE at < now() - make_interval(secs => $1) RETURNING revision)
		UPDATE registry_revision SET gone = greatest(gone, (SELECT max(revision) FROM old)) WHERE EXISTS (SELECT FROM old)`, changesKept.Seconds())
	_, err2 := t.Exec(ctx, `DELETE FROM replica WHERE seen < now() - interval '1 day'`)
	return errors.Join(err1, err2)
}

// leave marks the replica's row, also that of a replica that never wrote, and drops the
// connection.
func (f *feed) leave() {
	if f.conn != nil {
		_, _ = f.conn.Exec(context.Background(), `UPDATE replica SET has_left = true WHERE id = $1`, f.replica) // otherwise it seems to be up for a while
	}
	f.drop()
}

func (f *feed) drop() {
	if f.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	_ = f.conn.Close(ctx)
	f.conn = nil
}
