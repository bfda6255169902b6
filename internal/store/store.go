// Package store keeps the registry (clients, accounts, items, signing
// keys) and the ledger (tokens, refusals, changes, consumed values) in SQL.
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
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"moneyer/internal/store/engine"
	"moneyer/internal/store/history"
)

// MaxPage bounds the lists that one call answers, and MaxBulk what one bulk
// change takes, so that no transaction keeps the writer for long.
const (
	MaxPage = 1000
	MaxBulk = 1000
)

// MaxStaleness is how stale the cache may be before reads go to the database.
const MaxStaleness = engine.MaxStaleness

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
	// CacheEntries bounds what is kept in memory, of clients, API keys, accounts
	// and items each. 0 means 1,000,000; a client takes somewhat less than 1 KB.
	CacheEntries int
	// Queue bounds the appends that wait for the writer. 0 means 8,192.
	Queue int
	// TouchInterval is how often the times of last use are written. 0 means 10 s.
	TouchInterval time.Duration
	// Changed, if any, is called when another process changed an issuer's signing keys
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
	now     func() time.Time
	engine  engine.Engine
	reads   *engine.Reader
	ledger  *history.Ledger
	writer  *writer
	cache   *registryCache
	changed func(ctx context.Context, kind ChangeKind, issuer string, ids []string) error // Options.Changed
	touched *touched
	// maintenance is held by whoever prunes or verifies: neither may see the other half done.
	maintenance *semaphore.Weighted
	checkpoints checkpoints
	backup      func(ctx context.Context, path string) error // into an empty file
	close       func() error
}

// Open opens the store at url, "sqlite:PATH" or "postgres://...", and makes it if
// it does not exist. It brings the schema of a file forward, and that of a database
// that has none; any other database is brought forward by [Migrate]. It refuses a
// file that another process has open and a schema newer than it can work with.
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

// start makes what is kept in memory and sets the goroutines of a store going.
func start(ctx context.Context, o opened, options Options) (*DB, error) {
	packer, err := history.NewPacker()
	if err != nil {
		return nil, err
	}
	reads := o.engine.Reads()
	cache := newRegistryCache(options.CacheEntries)
	d := &DB{
		now:         options.Now,
		engine:      o.engine,
		reads:       reads,
		ledger:      history.New(reads, packer),
		writer:      newWriter(o.engine.Writes(), !reads.Local(), options, packer, cache.drop),
		cache:       cache,
		changed:     options.Changed,
		touched:     newTouched(),
		maintenance: semaphore.NewWeighted(1),
		backup:      o.backup,
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var ended sync.WaitGroup
	ended.Go(func() { d.warm(background) })
	ended.Go(func() { d.flushTouches(background, options.TouchInterval) })
	ended.Go(func() { o.engine.Follow(background, d.invalidate) })
	d.close = sync.OnceValue(func() error {
		stop()
		ended.Wait()
		err := d.flush(context.Background(), math.MaxInt)
		d.writer.stop()
		return errors.Join(err, o.engine.Close())
	})
	return d, nil
}

// Close records what waits, writes the times of last use, and gives the files
// back. Calls that come later get ErrClosed or the error of a closed database.
func (d *DB) Close() error { return d.close() }

// freshWrite is how long a successful commit proves that writing is possible.
const freshWrite = 5 * time.Second

// Ping returns an error unless the store can be written, and knows what other processes
// changed: the last commit succeeded a moment ago, or else a trial write does now.
func (d *DB) Ping(ctx context.Context) error {
	if !d.reads.Local() {
		return d.engine.Healthy(d.now())
	}
	if at := d.writer.committed.Load(); at != 0 && d.now().Sub(time.UnixMilli(at)) < freshWrite {
		return ctx.Err()
	}
	err := d.writer.do(ctx, func(t *tx) error {
		_, err := t.Exec(`UPDATE schema_version SET version = version`)
		return err
	})
	if err != nil {
		return fmt.Errorf("the store cannot be written: %w", err)
	}
	return nil
}

// KnownUntil returns until when everything that other processes changed is known here,
// and whether that is so recent that memory is trusted. A process that holds its
// store alone knows all.
func (d *DB) KnownUntil() (until time.Time, fresh bool) {
	now := d.now()
	if d.reads.Local() {
		return now, true
	}
	until = d.engine.Known(now)
	return until, engine.Staleness(now, until) < MaxStaleness
}

// Past is now, or what the database's clock says where that is earlier. What is old enough
// to be removed is judged by it: a replica whose clock is ahead would else remove what
// others still need.
func (d *DB) Past(ctx context.Context, now time.Time) (time.Time, error) {
	return d.engine.Past(ctx, now)
}

// trusts reports whether what is in the cache may be believed.
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
