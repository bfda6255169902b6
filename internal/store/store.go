// Package store keeps the registry (clients, accounts, items, signing
// keys) and the ledger (tokens, refusals, changes, consumed values) in SQL.
// [DB] implements authority.Registry and authority.Ledger, and the operations of
// administration.
//
// One writer does all writes, and commits queued appends as a group (writer.go). Reads of
// the registry are cached (cache.go) and see each acknowledged change.
//
// The package has no rules about what a client may have: package authority has them. It
// refuses only changes that make the data inconsistent. It does not encrypt: secrets are
// sealed or hashed by its callers.
package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"moneyer/internal/rowauth"
	"moneyer/internal/store/engine"
	"moneyer/internal/store/history"
)

// MaxPage bounds the list that one call returns, and MaxBulk the objects of one bulk
// change, so that no transaction blocks the writer for long.
const (
	MaxPage = 1000
	MaxBulk = 1000
)

// MaxStaleness is how stale the cache may be before reads go to the database.
const MaxStaleness = engine.MaxStaleness

var (
	// ErrBusy means that the queue of appends is full. Nothing was recorded.
	ErrBusy = errors.New("the ledger's queue is full")
	// ErrClosed means that the store was closed. Nothing was recorded.
	ErrClosed = errors.New("the store is closed")
	// ErrNoStore means that a file or database holds no store.
	ErrNoStore = engine.ErrNoStore
	// ErrSchema means that something other than Moneyer changed the schema.
	ErrSchema = engine.ErrSchema
)

// Options of a store. The zero value of all but Now and RowKey is good.
type Options struct {
	// Now returns the current time. It must not be nil.
	Now func() time.Time
	// Create creates the store if its file is missing or empty, or its database has no
	// schema. Servers do not set it.
	Create bool
	// Process says who opens the store, for ReadStatus of a database. A SQLite file has one
	// server, and does not record it.
	Process Process
	// RowKey authenticates the rows of the registry. It must not be nil. See
	// keyring.MasterKey.
	RowKey *rowauth.Key
	// CacheEntries bounds the cache of clients, of API keys, of accounts and of items
	// each. 0 means 1,000,000; a client takes almost 1 KB.
	CacheEntries int
	// Queue bounds the queued appends. 0 means 8,192.
	Queue int
	// TouchInterval is how often the times of last use are written. 0 means 10 s.
	TouchInterval time.Duration
	// Changed, if not nil, is called when another process changed signing keys or
	// revocations of an issuer: those with ids, or any if ids is nil. An empty issuer
	// means every issuer. While it returns an error, the changes count as not applied:
	// see KnownUntil.
	Changed func(ctx context.Context, kind ChangeKind, issuer string, ids []string) error
}

func (o *Options) setDefaults() error {
	if o.Now == nil {
		return errors.New("store options: no clock")
	}
	if o.RowKey == nil {
		return errors.New("store options: no key for the rows")
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
	now     func() time.Time
	rows    *rowauth.Key
	engine  engine.Engine
	reads   *engine.Reader
	ledger  *history.Ledger
	writer  *writer
	cache   *registryCache
	changed func(ctx context.Context, kind ChangeKind, issuer string, ids []string) error // Options.Changed
	touched *touched
	// maintenance excludes pruning and verification from each other.
	maintenance *semaphore.Weighted
	checkpoints checkpoints
	stated      atomic.Bool                                  // what the last Audit found: see Audit
	backup      func(ctx context.Context, path string) error // into an empty file
	trial       trial                                        // of Ping
	guarded     guarded
	close       func() error
}

// Open opens the store at url, "sqlite:PATH" or "postgres://...". If there is none it returns
// [ErrNoStore], unless Options.Create is set. It migrates the schema of a file; that of a
// database is migrated by [Migrate]. It refuses a file that another process has open, and a
// schema that is too new.
func Open(ctx context.Context, url string, options Options) (*DB, error) {
	if err := options.setDefaults(); err != nil {
		return nil, err
	}
	o, err := openEngine(ctx, url, &options)
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", nameOf(url), err)
	}
	d, err := start(ctx, o, options)
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", nameOf(url), errors.Join(err, o.engine.Close()))
	}
	return d, nil
}

// start creates the caches of a store and starts its goroutines.
func start(ctx context.Context, o opened, options Options) (*DB, error) {
	packer, err := history.NewPacker()
	if err != nil {
		return nil, err
	}
	reads := o.engine.Reads()
	if err := checkSchema(ctx, reads); err != nil {
		return nil, err
	}
	cache := newRegistryCache(options.CacheEntries)
	d := &DB{
		now:         options.Now,
		rows:        options.RowKey,
		engine:      o.engine,
		reads:       reads,
		ledger:      history.New(reads, packer),
		writer:      newWriter(o.engine.Writes(), !reads.Local(), options, packer, cache.drop),
		cache:       cache,
		changed:     options.Changed,
		touched:     newTouched(),
		maintenance: semaphore.NewWeighted(1),
		backup:      o.backup,
		guarded:     guarded{file: o.file},
		checkpoints: checkpoints{found: -1},
		trial:       trial{write: o.trial},
	}
	a := d.auditor()
	newest, err := a.newest(ctx, math.MaxInt64)
	if err != nil {
		d.writer.stop()
		return nil, err
	}
	d.writer.see(a.revisionOf(newest))
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var ended sync.WaitGroup
	ended.Go(func() { d.warm(background) })
	ended.Go(func() { d.flushTouches(background, options.TouchInterval) })
	ended.Go(func() { o.engine.Follow(background, d.invalidate) })
	d.guarded.spawn = func(f func(context.Context)) { ended.Go(func() { f(background) }) }
	d.close = sync.OnceValue(func() error {
		stop()
		ended.Wait()
		err := d.flush(context.Background(), math.MaxInt)
		d.writer.stop()
		return errors.Join(err, d.noteHead(context.Background()), o.engine.Close())
	})
	return d, nil
}

// Close commits queued appends, writes the times of last use and the note of the head, and
// closes the database.
// Later calls return ErrClosed or the error of a closed database.
func (d *DB) Close() error { return d.close() }

// KnownUntil returns the time up to which the changes of other processes are applied, and
// whether that is recent enough to use the cache. For a store that only this process has
// open it is the current time.
func (d *DB) KnownUntil() (until time.Time, fresh bool) {
	now := d.now()
	if d.reads.Local() {
		return now, true
	}
	until = d.engine.Known(now)
	return until, engine.Staleness(now, until) < MaxStaleness
}

// Past returns now, or the time of the database's clock if that is earlier. Expired data is
// deleted by it: otherwise a replica whose clock is ahead would delete what others still
// need.
func (d *DB) Past(ctx context.Context, now time.Time) (time.Time, error) {
	return d.engine.Past(ctx, now)
}

// MaxClockOff is how far the clock of a replica may be off for it to be ready.
const MaxClockOff = engine.MaxClockOff

// ClockOff returns by how much the clock of this replica is ahead of the others', or behind
// them if negative: 0 for a file.
func (d *DB) ClockOff() time.Duration { return d.engine.Clocks().Off }

// ClocksAhead implements authority.RevocationStore.
func (d *DB) ClocksAhead() time.Duration { return d.engine.Clocks().Ahead }

// cacheIsFresh reports whether the cache may be used.
func (d *DB) cacheIsFresh() bool {
	if d.reads.Local() {
		return true
	}
	_, fresh := d.KnownUntil()
	return fresh
}

// page bounds the limit of a list.
func page(limit int) int {
	if limit <= 0 || limit > MaxPage {
		return MaxPage
	}
	return limit
}
