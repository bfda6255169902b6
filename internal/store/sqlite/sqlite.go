// Package sqlite keeps a store in one SQLite file, which one process has open. It
// implements engine.Engine, and the source and target of copies.
//
// It knows nothing of clients or tokens: package store decides what is written.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"time"

	"modernc.org/sqlite"

	"moneyer/internal/store/engine"
)

// readConnections is the number of connections for reads that are not cached.
const readConnections = 4

// The page caches of a connection that writes and of one that reads, in KiB of pages. A larger
// cache or mmap for reads gains nothing: the first read after a commit of the writer discards it.
const (
	writeCache = 32 << 10
	readCache  = 2 << 10
)

// File is an open SQLite file, locked for this process. It implements engine.Engine.
type File struct {
	held          *held
	reads, writes *sql.DB
	// keeper is a connection that stays open, so that SQLite keeps the WAL while others
	// are closed.
	keeper  *sql.Conn
	reader  *engine.Reader
	session *session
	used    *consumedSet
}

// Open opens the file at path and migrates its schema. If there is no store in it, Open
// creates one with mode 0600 if create is set, and otherwise returns [engine.ErrNoStore].
// The file is in WAL mode and a commit is on disk when it returns. One connection writes, a
// few read.
func Open(ctx context.Context, path string, create bool) (*File, error) {
	if err := refuseName(path); err != nil {
		return nil, err
	}
	if err := there(path); err != nil && (!create || !errors.Is(err, engine.ErrNoStore)) {
		return nil, err
	} else if err != nil {
		if err := refuseNoted(path); err != nil {
			return nil, err
		}
	}
	held, err := hold(path, create)
	if err != nil {
		return nil, err
	}
	s := &File{held: held}
	if err := s.open(ctx, create); err != nil {
		if s.session != nil {
			s.session.Leave()
		}
		return nil, errors.Join(explained(err), s.Close())
	}
	return s, nil
}

func (s *File) open(ctx context.Context, create bool) (err error) {
	s.writes, err = openPool(s.held.path, 1, writeCache, "synchronous(FULL)", "foreign_keys(1)",
		"wal_autocheckpoint(4096)", "journal_size_limit(67108864)")
	if err != nil {
		return err
	}
	if s.reads, err = openPool(s.held.path, readConnections+1, readCache, "query_only(1)"); err != nil {
		return err
	}
	if !create {
		if err := requireSchema(ctx, s.reads); err != nil {
			return err
		}
	}
	if err := migrate(ctx, s.writes); err != nil {
		return err
	}
	if s.keeper, err = s.reads.Conn(ctx); err != nil {
		return err
	}
	if err := refuseUnfinished(ctx, s.keeper); err != nil {
		return err
	}
	if err := s.held.note(); err != nil {
		return err
	}
	s.reader = engine.NewReader(s.reads, nil)
	s.session = &session{db: s.writes, file: s.held, found: -1}
	// The end is read before the consumed values: if another process writes in between,
	// the number of the next entry is taken.
	if err := s.session.open(); err != nil {
		return err
	}
	if err := s.session.readEnd(); err != nil && !errors.Is(err, errBrokenEnd) {
		return err
	}
	if s.used, err = loadConsumed(ctx, s.reader); err != nil {
		return err
	}
	s.session.used = s.used
	return s.held.check() // SQLite has opened what is locked
}

// Reads implements engine.Engine.
func (s *File) Reads() *engine.Reader { return s.reader }

// Writes implements engine.Engine.
func (s *File) Writes() engine.Session { return s.session }

// HoldOldEntries implements engine.Engine. It locks nothing: no other process has the file
// open.
func (s *File) HoldOldEntries(context.Context, bool) (release func() error, ok bool, err error) {
	return func() error { return nil }, true, nil
}

// DropWhole implements engine.Engine. A file has no partitions.
func (s *File) DropWhole(context.Context, []engine.Range) error { return nil }

// Follow implements engine.Engine. It returns at once: no other process has the file open.
func (s *File) Follow(context.Context, func(context.Context, []engine.Change) error) {}

// Known implements engine.Engine.
func (s *File) Known(now time.Time) time.Time { return now }

// Healthy implements engine.Engine: the path still leads to the open file, and nobody else
// writes to it. Only a write can find out that the file is not writable.
func (s *File) Healthy(time.Time) error { return s.held.check() }

// Clocks implements engine.Engine.
func (s *File) Clocks() engine.Clocks { return engine.Clocks{} }

// Past implements engine.Engine.
func (s *File) Past(_ context.Context, now time.Time) (time.Time, error) { return now, nil }

// Trial writes what an append writes, and takes it back but for a value of its own, which
// SQLite flushes to disk like any other.
func (s *File) Trial(exec engine.Exec) error {
	for _, statement := range []string{
		`SAVEPOINT trial`,
		`INSERT INTO ledger_batch (first_seq, count, time_min, time_max, previous, last, marks, lines)
			SELECT coalesce(max(first_seq), 0) + 1, 1, 0, 0, x'', x'', x'', zeroblob(512) FROM ledger_batch`,
		`INSERT INTO used_batch (until, first_seq, keys) SELECT coalesce(max(until), 0) + 1, 0, zeroblob(32) FROM used_batch`,
		`ROLLBACK TO trial`,
		`RELEASE trial`,
		`UPDATE trial SET n = n + 1`,
	} {
		if _, err := exec(statement); err != nil {
			return err
		}
	}
	return nil
}

// Close implements engine.Engine.
func (s *File) Close() error {
	var errs []error
	if s.keeper != nil {
		errs = append(errs, s.keeper.Close())
		s.keeper = nil
	}
	for _, pool := range []*sql.DB{s.reads, s.writes} {
		if pool != nil {
			errs = append(errs, pool.Close())
		}
	}
	return errors.Join(append(errs, s.held.release())...) // last: see held
}

// there returns engine.ErrNoStore if the file at path is missing or empty, as on a disk that
// is not mounted.
func there(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %w", err, engine.ErrNoStore)
	case err == nil && info.Size() == 0:
		return fmt.Errorf("the file is empty: %w", engine.ErrNoStore)
	}
	return err
}

// openPool opens a pool of at most that many connections to the existing file at path, each
// with a page cache of that many KiB and the pragmas.
func openPool(path string, connections, cache int, pragmas ...string) (*sql.DB, error) {
	db, err := connect(path, "rw", cache, append([]string{"journal_mode(WAL)", "temp_store(MEMORY)"}, pragmas...)...)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

// connect returns a pool of connections to the file at path, in a mode of SQLite's URIs.
func connect(path, mode string, cache int, pragmas ...string) (*sql.DB, error) {
	query := url.Values{"mode": {mode}, "_dqs": {"0"}, "_defensive": {"1"},
		"_pragma": append([]string{"busy_timeout(5000)", fmt.Sprintf("cache_size(%d)", -cache)}, pragmas...)}
	connector, err := sqlite.NewConnector((&url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}).String())
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// Backup writes a consistent copy to an empty file. It uses its own connection, so that it
// does not block reads.
func (s *File) Backup(ctx context.Context, to string) error {
	if err := s.held.check(); err != nil {
		return err
	}
	db, err := openPool(s.held.path, 1, readCache)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, "VACUUM INTO $1", to)
	return errors.Join(err, db.Close())
}
