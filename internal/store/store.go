// Package store keeps the registry (clients, merchants, card tokens, signing
// keys) and the ledger (tokens, refusals, changes, used-up assertions) in SQL.
// One [DB] is what authority.Registry and authority.Ledger ask for, and what
// administration needs beside them.
//
// All that is written goes through one writer, which gathers the appends that
// wait into one transaction (writer.go). Reads of the registry come from memory
// where they can (cache.go) and yet see each acknowledged change.
//
// It is not where rules live: what a client may have is for authority to judge.
// It refuses only what would make the data contradict itself. Nor does it
// encrypt: what must not be read is sealed or hashed before it comes here.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"moneyer/internal/registry"
)

// MaxPage bounds the lists that one call answers, and MaxBulk what one bulk
// change takes, so that no transaction keeps the writer for long.
const (
	MaxPage = 1000
	MaxBulk = 1000
)

var (
	// ErrBusy means that more appends wait than the queue holds. Nothing was recorded.
	ErrBusy = errors.New("the ledger's queue is full")
	// ErrClosed means that the store was closed. Nothing was recorded.
	ErrClosed = errors.New("the store is closed")
)

// Options of a store. The zero value of all but Now is good.
type Options struct {
	// Now tells the time. It must not be nil.
	Now func() time.Time
	// CacheEntries bounds what is kept in memory, of clients, API keys, merchants
	// and card tokens each. 0 means 1,000,000; a client takes somewhat less than 1 KB.
	CacheEntries int
	// Queue bounds the appends that wait for the writer. 0 means 8,192.
	Queue int
	// TouchInterval is how often the times of last use are written. 0 means 10 s.
	TouchInterval time.Duration
	// Changed, if any, is told that another process changed an issuer's signing keys
	// or revocations, those with ids or any; of every issuer's when the name is empty.
	// While it returns an error the store says that it does not know what others changed.
	Changed func(ctx context.Context, kind ChangeKind, issuer string, ids []string) error
}

func (o *Options) setDefaults() error {
	if o.Now == nil {
		return errors.New("store options: no clock")
	}
	if o.CacheEntries == 0 {
		o.CacheEntries = 1_000_000
	}
	if o.Queue == 0 {
		o.Queue = 8192
	}
	if o.TouchInterval == 0 {
		o.TouchInterval = 10 * time.Second
	}
	return nil
}

// DB is an open store. Its methods may be called from many goroutines.
type DB struct {
	now      func() time.Time
	database database
	reads    *reader
	packer   *packer
	writer   *writer
	cache    *registryCache
	alone    bool // no other process changes anything
	touched  *touched
	// maintenance is held by whoever prunes or verifies: neither may see the other half done.
	maintenance chan struct{}
	checkpoints checkpoints
	close       func() error
}

// database is an open SQLite file or PostgreSQL database, with what each does in
// its own way.
type database interface {
	// pool is for reads; local tells that one by its key is over in microseconds.
	pool() (reads *sql.DB, local bool)
	// writing is the session of the one writer.
	writing() session
	// forgetUsed removes what is over at now of the assertions that were used up, and returns how many.
	forgetUsed(ctx context.Context, d *DB, now time.Time) (int64, error)
	// holdOldEntries keeps those away who would remove old entries of the ledger, or
	// to remove them those who read them from the start; ok is false when they are at
	// it. The error of end tells that the hold was lost before.
	holdOldEntries(ctx context.Context, remove bool) (end func() error, ok bool, err error)
	// dropWhole drops such parts of the ledger in which nothing has to stay.
	dropWhole(ctx context.Context, ranges []pruneRange) error
	// writeLastUsed notes times of last use.
	writeLastUsed(ctx context.Context, d *DB, times map[credential]int64) error
	// backup writes a consistent copy to path, an empty file.
	backup(ctx context.Context, path string) error
	// follow drops from the cache what other processes change, until ctx ends.
	follow(ctx context.Context, cache *registryCache)
	// heard tells until when all that other processes changed is known, and healthy
	// why that is too long ago. Neither is asked where there is one process.
	heard(now time.Time) time.Time
	healthy(now time.Time) error
	// close closes what the writer does not.
	close() error
}

// Open opens the store at url, "sqlite:PATH" or "postgres://...", and makes it if
// it does not exist. It brings the schema of a file forward, and that of a database
// that has none; any other database is brought forward by [Migrate]. It refuses a
// file that another process has open and a schema newer than it can work with.
func Open(ctx context.Context, url string, options Options) (*DB, error) {
	if err := options.setDefaults(); err != nil {
		return nil, err
	}
	database, err := openDatabase(ctx, url, &options)
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", nameOfStore(url), err)
	}
	d, err := start(ctx, database, options)
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", nameOfStore(url), errors.Join(err, database.close()))
	}
	return d, nil
}

func openDatabase(ctx context.Context, url string, options *Options) (database, error) {
	path, u, err := whereOf(url)
	switch {
	case err != nil:
		return nil, err
	case u == nil:
		return openSQLite(ctx, path)
	default:
		return openPostgres(ctx, u, options)
	}
}

// start makes what is kept in memory and sets the goroutines of a store going.
func start(ctx context.Context, database database, options Options) (*DB, error) {
	packer, err := newPacker()
	if err != nil {
		return nil, err
	}
	reads, local := database.pool()
	cache := newRegistryCache(options.CacheEntries)
	writer := newWriter(database.writing(), !local, options, packer, cache.drop)
	d := &DB{
		now:         options.Now,
		alone:       local,
		database:    database,
		reads:       newReader(reads, local),
		packer:      packer,
		writer:      writer,
		cache:       cache,
		touched:     newTouched(),
		maintenance: make(chan struct{}, 1),
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var ended sync.WaitGroup
	ended.Go(func() { d.warm(background) })
	ended.Go(func() { d.flushTouches(background, options.TouchInterval) })
	ended.Go(func() { database.follow(background, cache) })
	d.close = sync.OnceValue(func() error {
		stop()
		ended.Wait()
		err := d.flush(context.Background(), math.MaxInt)
		d.writer.stop()
		return errors.Join(err, database.close())
	})
	return d, nil
}

// Close records what waits, writes the times of last use, and gives the files
// back. Calls that come later get ErrClosed or the error of a closed database.
func (d *DB) Close() error { return d.close() }

// freshWrite is how long a successful commit proves that writing is possible.
const freshWrite = 5 * time.Second

// Ping tells whether the store can be written, and knows what other processes
// changed: the last commit succeeded a moment ago, or else a trial write does now.
func (d *DB) Ping(ctx context.Context) error {
	if !d.alone {
		return d.database.healthy(d.now())
	}
	if at := d.writer.committed.Load(); at != 0 && d.now().Sub(time.UnixMilli(at)) < freshWrite {
		return ctx.Err()
	}
	err := d.writer.do(ctx, func(t *tx) error {
		_, err := t.exec(`UPDATE schema_version SET version = version`)
		return err
	})
	if err != nil {
		return fmt.Errorf("the store cannot be written: %w", err)
	}
	return nil
}

// Heard tells until when everything that other processes changed is known here,
// and whether that is so recent that memory is trusted. A process that holds its
// store alone knows all.
func (d *DB) Heard() (until time.Time, fresh bool) {
	now := d.now()
	if d.alone {
		return now, true
	}
	until = d.database.heard(now)
	return until, silence(now, until) < Trust
}

// silence is how long ago something was heard, by the clock that tells more: one of them
// stands still while the machine sleeps.
func silence(now, heard time.Time) time.Duration {
	return max(now.Sub(heard), now.Round(0).Sub(heard.Round(0)).Abs()) // Round strips the time that no clock changes
}

// Past is now, or what the database's clock says where that is earlier. By it is told
// what is so old that it can be removed: of several replicas one whose clock is ahead
// would else remove what the others still need.
func (d *DB) Past(ctx context.Context, now time.Time) (time.Time, error) {
	if d.alone {
		return now, nil
	}
	var there time.Time
	if err := d.reads.get(ctx, `SELECT clock_timestamp()`, nil, []any{&there}); err != nil {
		return time.Time{}, fmt.Errorf("the database's clock: %w", err)
	}
	if there.Before(now) {
		return there, nil
	}
	return now, nil
}

// trusts tells whether what is in the cache may be believed.
func (d *DB) trusts() bool {
	if d.alone {
		return true
	}
	_, fresh := d.Heard()
	return fresh
}

// reader runs queries outside of the writer, each prepared once.
type reader struct {
	db    *sql.DB
	local bool // a read by its key is over in microseconds
	tries int  // how often a connection may turn out to be lost
	mu    sync.RWMutex
	// statements by their text, under mu.
	statements map[string]*sql.Stmt
}

func newReader(db *sql.DB, local bool) *reader {
	r := &reader{db: db, local: local, statements: map[string]*sql.Stmt{}}
	if !local {
		r.tries = db.Stats().MaxOpenConnections + 1
	}
	return r
}

func (r *reader) statement(ctx context.Context, query string) (*sql.Stmt, error) {
	r.mu.RLock()
	s := r.statements[query]
	r.mu.RUnlock()
	if s != nil {
		return s, nil
	}
	s, err := r.db.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if earlier := r.statements[query]; earlier != nil {
		return earlier, s.Close() //nolint:sqlclosecheck // the other statement is the one that is kept
	}
	r.statements[query] = s
	return s, nil
}

// row reads one row into dest; no row is sql.ErrNoRows.
func (r *reader) row(ctx context.Context, query string, args, dest []any) error {
	return r.tried(ctx, func() error {
		s, err := r.statement(ctx, query) //nolint:sqlclosecheck // kept until the store is closed
		if err != nil {
			return err
		}
		return s.QueryRowContext(ctx, args...).Scan(dest...)
	})
}

// tried reads again when a connection turns out to be lost, as all that are kept
// do when the database has moved. read must have told nobody anything by then.
func (r *reader) tried(ctx context.Context, read func() error) error {
	err := read()
	for try := 0; try < r.tries && ctx.Err() == nil && isLost(err); try++ {
		err = read()
	}
	return err
}

// get is row for what is found by its key. Where that is over in microseconds ctx is
// asked but once: to have an eye on it meanwhile takes two goroutines more.
func (r *reader) get(ctx context.Context, query string, args, dest []any) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !r.local {
		ctx, cancel := context.WithTimeout(ctx, readPatience)
		defer cancel()
		return r.row(ctx, query, args, dest)
	}
	return r.row(context.WithoutCancel(ctx), query, args, dest)
}

// list reads every row of query; scan is called with the scanner of each.
func (r *reader) list(ctx context.Context, query string, args []any, scan func(scan func(...any) error) error) error {
	var rows *sql.Rows
	err := r.tried(ctx, func() error {
		s, err := r.statement(ctx, query) //nolint:sqlclosecheck // kept until the store is closed
		if err != nil {
			return err
		}
		rows, err = s.QueryContext(ctx, args...) //nolint:sqlclosecheck,rowserrcheck // below
		return err
	})
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := scan(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// page bounds the limit of a list.
func page(limit int) int {
	if limit <= 0 || limit > MaxPage {
		return MaxPage
	}
	return limit
}

// conflict is an registry.ErrConflict that says what is in the way.
type conflict string

func (c conflict) Error() string { return string(c) }

// Is makes a conflict an registry.ErrConflict to errors.Is.
func (conflict) Is(target error) bool { return target == registry.ErrConflict }

func conflictf(format string, args ...any) error { return conflict(fmt.Sprintf(format, args...)) }
