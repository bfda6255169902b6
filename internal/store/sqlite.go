package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"modernc.org/sqlite"
)

// readConnections serve the reads that memory cannot answer. To give them a larger
// cache, or the file as memory, gains nothing: whatever they hold is thrown away by
// their first read after a commit of the writer.
const readConnections = 4

// sqliteFile is a file that this process alone holds.
type sqliteFile struct {
	path          string
	reads, writes *sql.DB
	session       *sqliteSession
	used          *used
	unlock        func() error
}

// openSQLite opens the file at path, which nobody but its owner may read if it
// is made now, and brings its schema forward. The file is in WAL mode and a commit
// is on the disk when it returns. One connection writes, a few read.
func openSQLite(ctx context.Context, path string) (*sqliteFile, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	unlock, err := hold(path + ".lock")
	if err != nil {
		return nil, err
	}
	s := &sqliteFile{path: path, unlock: unlock}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *sqliteFile) open(ctx context.Context) (err error) {
	s.writes, err = sqlitePool(s.path, 1, "synchronous(FULL)", "foreign_keys(1)", "cache_size(-65536)",
		"wal_autocheckpoint(4096)", "journal_size_limit(67108864)")
	if err != nil {
		return err
	}
	if s.reads, err = sqlitePool(s.path, readConnections, "query_only(1)"); err != nil {
		return err
	}
	if err := migrate(ctx, s.writes); err != nil {
		return err
	}
	if err := refuseUnfinishedFile(ctx, s.reads); err != nil {
		return err
	}
	if s.used, err = loadUsed(ctx, newReader(s.pool())); err != nil {
		return err
	}
	s.session = &sqliteSession{db: s.writes, used: s.used}
	return nil
}

func (s *sqliteFile) pool() (reads *sql.DB, local bool) { return s.reads, true }
func (s *sqliteFile) writing() session                  { return s.session }

// follow returns at once: nobody else has the file.
func (s *sqliteFile) follow(context.Context, *registryCache) {}
func (s *sqliteFile) healthy(time.Time) error                { return nil }
func (s *sqliteFile) heard(now time.Time) time.Time          { return now }

func (s *sqliteFile) close() error {
	var errs []error
	for _, pool := range []*sql.DB{s.reads, s.writes} {
		if pool != nil {
			errs = append(errs, pool.Close())
		}
	}
	return errors.Join(append(errs, s.unlock())...)
}

// sqlitePool opens up to connections to path, each with the pragmas.
func sqlitePool(path string, connections int, pragmas ...string) (*sql.DB, error) {
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

// hold takes the lock file at path for this process alone. The system frees it
// when the process ends, however it ends.
func hold(path string) (release func() error, err error) {
	lock, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, _ := io.ReadAll(io.LimitReader(lock, 32))
		_ = lock.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		return nil, fmt.Errorf("in use by process %s, which holds %s", strings.TrimSpace(string(holder)), path)
	}
	if err := errors.Join(lock.Truncate(0), writePID(lock)); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock.Close, nil
}

func writePID(file *os.File) error {
	_, err := fmt.Fprintln(file, os.Getpid())
	return err
}

// backup copies the database on a connection of its own, so that no other read
// waits for it.
func (s *sqliteFile) backup(ctx context.Context, to string) error {
	db, err := sqlitePool(s.path, 1)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, "VACUUM INTO $1", to)
	return errors.Join(err, db.Close())
}
