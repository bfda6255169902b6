// Package sqlite keeps a store in one SQLite file, which one process has open. It
// implements engine.Engine, and the source and target of copies.
//
// It knows nothing of clients or tokens: package store decides what is written.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"modernc.org/sqlite"

	"moneyer/internal/store/engine"
)

// readConnections is the number of connections for reads that are not cached. A larger page
// cache or mmap for them gains nothing: the first read after a commit of the writer
// discards it.
const readConnections = 4

// File is an open SQLite file, locked for this process. It implements engine.Engine.
type File struct {
	path          string
	reads, writes *sql.DB
	reader        *engine.Reader
	session       *session
	used          *consumedSet
	unlock        func() error
}

// Open opens the file at path, or creates it with mode 0600, and migrates its schema. The
// file is in WAL mode and a commit is on disk when it returns. One connection writes, a few
// read.
func Open(ctx context.Context, path string) (*File, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	unlock, err := hold(path + ".lock")
	if err != nil {
		return nil, err
	}
	s := &File{path: path, unlock: unlock}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *File) open(ctx context.Context) (err error) {
	s.writes, err = openPool(s.path, 1, "synchronous(FULL)", "foreign_keys(1)", "cache_size(-65536)",
		"wal_autocheckpoint(4096)", "journal_size_limit(67108864)")
	if err != nil {
		return err
	}
	if s.reads, err = openPool(s.path, readConnections, "query_only(1)"); err != nil {
		return err
	}
	if err := migrate(ctx, s.writes); err != nil {
		return err
	}
	if err := refuseUnfinished(ctx, s.reads); err != nil {
		return err
	}
	s.reader = engine.NewReader(s.reads, nil)
	if s.used, err = loadConsumed(ctx, s.reader); err != nil {
		return err
	}
	s.session = &session{db: s.writes, used: s.used, found: -1}
	return nil
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

// Healthy implements engine.Engine. Only a write can find out that the file is not writable.
func (s *File) Healthy(time.Time) error { return nil }

// Past implements engine.Engine.
func (s *File) Past(_ context.Context, now time.Time) (time.Time, error) { return now, nil }

// Close implements engine.Engine.
func (s *File) Close() error {
	var errs []error
	for _, pool := range []*sql.DB{s.reads, s.writes} {
		if pool != nil {
			errs = append(errs, pool.Close())
		}
	}
	return errors.Join(append(errs, s.unlock())...)
}

// openPool opens a pool of at most that many connections to path, each with the pragmas.
func openPool(path string, connections int, pragmas ...string) (*sql.DB, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	query := url.Values{
		"_dqs":       {"0"},
		"_defensive": {"1"},
		"_pragma":    append([]string{"busy_timeout(5000)", "journal_mode(WAL)", "temp_store(MEMORY)"}, pragmas...),
	}
	connector, err := sqlite.NewConnector((&url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

// Backup writes a consistent copy to an empty file. It uses its own connection, so that it
// does not block reads.
func (s *File) Backup(ctx context.Context, to string) error {
	db, err := openPool(s.path, 1)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, "VACUUM INTO $1", to)
	return errors.Join(err, db.Close())
}
