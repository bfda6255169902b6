package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"moneyer/internal/store/engine"
)

const (
	// Heartbeat is how often a replica says that it is up, and asks what others changed,
	// when nobody wakes it before.
	Heartbeat = 250 * time.Millisecond
	// mostChanges is how many are told one by one; when there are more, all may have changed.
	maxChanges = 10_000
	// changesKept is how long changes stay: far longer than a replica believes its memory.
	changesKept = 10 * time.Minute
)

// feed tells a replica what the others change. At each heartbeat it writes the replica's
// row, which only a server that takes writes acknowledges, and reads the revision
// of the registry in the same transaction. A notification makes the next heartbeat come
// at once; when it is lost, that heartbeat comes in its time.
type feed struct {
	url     *URL
	replica string
	now     func() time.Time

	// known is when the last heartbeat began that succeeded, and failure why there was
	// none after it.
	known   atomic.Pointer[time.Time]
	failure atomic.Pointer[error]

	// servers counts the servers that were met, and started tells of the last when it
	// did, in Unix microseconds.
	servers, started atomic.Int64

	// Owned by whoever follows.
	conn     *pgx.Conn
	warned   *atomic.Bool
	revision int64
}

func (f *feed) healthy(now time.Time) error {
	stale := engine.Staleness(now, *f.known.Load())
	if stale < engine.MaxStaleness {
		return nil
	}
	err := fmt.Errorf("nothing was heard of the database for %s", stale.Round(time.Millisecond))
	if failure := f.failure.Load(); failure != nil {
		err = fmt.Errorf("%w: %w", err, *failure)
	}
	return err
}

// begin says that the replica is up. What was changed until now nobody here remembers.
func (f *feed) begin(ctx context.Context) error {
	now, err := f.heartbeat(ctx)
	if err != nil {
		return err
	}
	f.revision = now.revision
	f.known.Store(&now.began)
	return nil
}

// follow calls learn with what others change, until ctx ends.
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

// leastRest: of a database far away a heartbeat takes longer than Heartbeat.
const minWait = 20 * time.Millisecond

// rest waits for the next heartbeat, or for somebody who changes something.
func (f *feed) rest(ctx context.Context, most time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	if f.conn == nil {
		<-ctx.Done()
		return
	}
	if _, err := f.conn.WaitForNotification(ctx); err != nil && !pgconn.Timeout(err) {
		f.drop()
		<-ctx.Done()
		return
	}
	cancel() // the next heartbeat reads all that notified meanwhile
	for err := error(nil); err == nil; {
		_, err = f.conn.WaitForNotification(ctx)
	}
}

// once is one heartbeat, and what follows from it.
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

// state is what a heartbeat brings.
type state struct {
	began          time.Time
	revision, gone int64
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
	batch.Queue(`INSERT INTO replica (id, seen) VALUES ($1, now()) ON CONFLICT (id) DO UPDATE SET seen = excluded.seen`, f.replica)
	batch.Queue(`SELECT revision, gone FROM registry_revision`).QueryRow(func(row pgx.Row) error { return row.Scan(&p.revision, &p.gone) })
	if err := f.conn.SendBatch(context.WithoutCancel(ctx), &batch).Close(); err != nil {
		return p, unavailable(err)
	}
	if f.warned.Load() {
		return p, errNotReplicated
	}
	return p, nil
}

// unknown is a revision of which nothing is known.
const unknown = -1

// connect opens the connection. On another server than before a revision may stand for
// other changes, where a failover lost some; and the server before may not know that it
// takes no writes any more, so nothing is read there.
func (f *feed) connect(ctx context.Context) (err error) {
	settings := writeSettings()
	settings["application_name"] = "moneyer feed " + f.replica
	if f.conn, f.warned, err = f.url.dial(ctx, settings); err != nil {
		return err
	}
	// The session before may hold the replica's row, and wait for the rest of a heartbeat. Who
	// may not end sessions waits for the server to do it.
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

// changes reads what was changed since the last heartbeat; nil when there is too much
// of it, or it is not kept any more.
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

// forget removes what every replica has read long ago, and replicas that are gone.
func (f *feed) forget(ctx context.Context, t pgx.Tx) error {
	_, err1 := t.Exec(ctx, `WITH old AS (DELETE FROM registry_change WHERE at < now() - make_interval(secs => $1) RETURNING revision)
		UPDATE registry_revision SET gone = greatest(gone, (SELECT max(revision) FROM old)) WHERE EXISTS (SELECT FROM old)`, changesKept.Seconds())
	_, err2 := t.Exec(ctx, `DELETE FROM replica WHERE seen < now() - interval '1 day'`)
	return errors.Join(err1, err2)
}

// leave says that the replica is gone, also one that never wrote, and drops the connection.
func (f *feed) leave() {
	if f.conn != nil {
		_, _ = f.conn.Exec(context.Background(), `DELETE FROM replica WHERE id = $1`, f.replica) // else it seems up for a while
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
