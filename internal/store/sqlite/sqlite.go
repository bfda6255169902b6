// Package sqlite keeps a store in one SQLite file, which one process holds. It implements
// engine.Engine, and is source and target of copies.
//
// It knows nothing of clients or tokens: what is written comes from package store.
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

// readConnections serve the reads that memory cannot answer. To give them a larger
// cache, or the file as memory, gains nothing: whatever they hold is thrown away by
// their first read after a commit of the writer.
const readConnections = 4

// File is a file that this process alone holds. It implements engine.Engine.
type File struct {
	path          string
	reads, writes *sql.DB
	reader        *engine.Reader
	session       *session
	used          *consumedSet
	unlock        func() error
}

// Open opens the file at path, which nobody but its owner may read if it
// is made now, and brings its schema forward. The file is in WAL mode and a commit
// is on the disk when it returns. One connection writes, a few read.
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
	s.session = &session{db: s.writes, used: s.used}
	return nil
}

// Reads implements engine.Engine.
func (s *File) Reads() *engine.Reader { return s.reader }

// Writes implements engine.Engine.
func (s *File) Writes() engine.Session { return s.session }

// HoldOldEntries implements engine.Engine: this process alone holds the file, and knows
// what it does with it.
func (s *File) HoldOldEntries(context.Context, bool) (release func() error, ok bool, err error) {
	return func() error { return nil }, true, nil
}

// DropWhole implements engine.Engine: a file has no part that could go as a whole.
func (s *File) DropWhole(context.Context, []engine.Range) error { return nil }

// Follow implements engine.Engine. It returns at once: nobody else has the file.
func (s *File) Follow(context.Context, func(context.Context, []engine.Change) error) {}

// Known implements engine.Engine.
func (s *File) Known(now time.Time) time.Time { return now }

// Healthy implements engine.Engine. Whether the file can be written only a write tells.
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

// openPool opens up to so many connections to path, each with the pragmas.
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

// Backup writes a consistent copy to a file, an empty one, on a connection of its own, so that no other read
// waits for it.
func (s *File) Backup(ctx context.Context, to string) error {
	db, err := openPool(s.path, 1)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, "VACUUM INTO $1", to)
	return errors.Join(err, db.Close())
}
