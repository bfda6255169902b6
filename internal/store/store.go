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
	"strings"
	"sync"
	"time"

	"moneyer/internal/authority"
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
	database *database
	reads    *reader
	packer   *packer
	marks    string // the column, or what stands for it in a file from before it was there
	used     *used
	writer   *writer
	cache    *registryCache
	touched  *touched
	// maintenance is held by whoever prunes or verifies: neither may see the other half done.
	maintenance chan struct{}
	close       func() error
}

// database is an opened SQL database with what its dialect does in its own way.
type database struct {
	reads, writes *sql.DB
	// begin starts a transaction that will write.
	begin string
	// backup writes a consistent copy to a path.
	backup func(ctx context.Context, path string) error
	// release gives up the exclusive hold after both pools were closed.
	release func() error
}

// Open opens the store at url, "sqlite:PATH", makes it if it does not exist, and
// brings its schema forward. It refuses a file that another process has open
// and a schema newer than it knows.
func Open(ctx context.Context, url string, options Options) (*DB, error) {
	if err := options.setDefaults(); err != nil {
		return nil, err
	}
	path, ok := strings.CutPrefix(url, "sqlite:")
	if !ok || path == "" {
		return nil, errors.New(`the store's URL is not "sqlite:PATH"`)
	}
	database, err := openSQLite(path)
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", path, err)
	}
	if err := migrate(ctx, database); err != nil {
		return nil, errors.Join(fmt.Errorf("store %s: %w", path, err), database.close())
	}
	d, err := start(ctx, database, options)
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", path, errors.Join(err, database.close()))
	}
	return d, nil
}

// start makes what is kept in memory and sets the goroutines of a store going.
func start(ctx context.Context, database *database, options Options) (*DB, error) {
	reads := newReader(database.reads)
	used, err := loadUsed(ctx, reads)
	if err != nil {
		return nil, err
	}
	packer, err := newPacker()
	if err != nil {
		return nil, err
	}
	writer, err := newWriter(database, options, used, packer)
	if err != nil {
		return nil, err
	}
	d := &DB{
		now:         options.Now,
		database:    database,
		reads:       reads,
		packer:      packer,
		marks:       "marks",
		used:        used,
		writer:      writer,
		cache:       newRegistryCache(options.CacheEntries),
		touched:     newTouched(),
		maintenance: make(chan struct{}, 1),
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var ended sync.WaitGroup
	ended.Go(func() { d.warm(background) })
	ended.Go(func() { d.flushTouches(background, options.TouchInterval) })
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

func (d *database) close() error {
	return errors.Join(d.reads.Close(), d.writes.Close(), d.release())
}

// freshWrite is how long a successful commit proves that writing is possible.
const freshWrite = 5 * time.Second

// Ping tells whether the store can be written: the last commit succeeded a
// moment ago, or else a trial write does now.
func (d *DB) Ping(ctx context.Context) error {
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

// reader runs queries outside of the writer, each prepared once.
type reader struct {
	db *sql.DB
	mu sync.RWMutex
	// statements by their text, under mu.
	statements map[string]*sql.Stmt
}

func newReader(db *sql.DB) *reader { return &reader{db: db, statements: map[string]*sql.Stmt{}} }

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
	s, err := r.statement(ctx, query) //nolint:sqlclosecheck // kept until the store is closed
	if err != nil {
		return err
	}
	return s.QueryRowContext(ctx, args...).Scan(dest...)
}

// get is row for what is found by its key. That is over in microseconds, so ctx is
// asked but once: to have an eye on it meanwhile takes two goroutines more.
func (r *reader) get(ctx context.Context, query string, args, dest []any) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return r.row(context.WithoutCancel(ctx), query, args, dest)
}

// list reads every row of query; scan is called with the scanner of each.
func (r *reader) list(ctx context.Context, query string, args []any, scan func(scan func(...any) error) error) error {
	s, err := r.statement(ctx, query) //nolint:sqlclosecheck // kept until the store is closed
	if err != nil {
		return err
	}
	rows, err := s.QueryContext(ctx, args...)
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

// conflict is an authority.ErrConflict that says what is in the way.
type conflict string

func (c conflict) Error() string { return string(c) }

// Is makes a conflict an authority.ErrConflict to errors.Is.
func (conflict) Is(target error) bool { return target == authority.ErrConflict }

func conflictf(format string, args ...any) error { return conflict(fmt.Sprintf(format, args...)) }
