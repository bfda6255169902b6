package engine

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"
)

// readTimeout bounds a read by key from a remote database.
const readTimeout = time.Second

// Reader runs queries outside of transactions, each prepared once. It is safe for use by
// several goroutines.
type Reader struct {
	db    *sql.DB
	local bool // a read by key takes microseconds, and no other process writes
	// faults classifies connection errors; nil if the database is in this process.
	faults *Faults
	mu     sync.RWMutex
	// statements by their text, under mu.
	statements map[string]*sql.Stmt
}

// Faults classifies the errors of a connection.
type Faults struct {
	// Lost reports whether the connection was lost, as all pooled ones are after a failover.
	Lost func(error) bool
	// Unstorable reports whether the database refused a text because of its encoding.
	Unstorable func(error) bool
}

// NewReader returns a reader of db. Without faults, the database is in this process.
func NewReader(db *sql.DB, faults *Faults) *Reader {
	return &Reader{db: db, local: faults == nil, faults: faults, statements: map[string]*sql.Stmt{}}
}

// Local reports whether the database is in this process, which has it alone.
func (r *Reader) Local() bool { return r.local }

func (r *Reader) statement(ctx context.Context, query string) (*sql.Stmt, error) {
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

// Row reads one row into dest; no row is sql.ErrNoRows.
func (r *Reader) Row(ctx context.Context, query string, args, dest []any) error {
	return r.try(ctx, func() error {
		s, err := r.statement(ctx, query) //nolint:sqlclosecheck // kept until the store is closed
		if err != nil {
			return err
		}
		return s.QueryRowContext(ctx, args...).Scan(dest...)
	})
}

// try repeats read if the connection was lost. read must not have delivered anything
// when it fails.
func (r *Reader) try(ctx context.Context, read func() error) error {
	err := read()
	if err == nil || r.faults == nil || errors.Is(err, sql.ErrNoRows) {
		return err
	}
	for try := 0; try <= r.db.Stats().MaxOpenConnections && ctx.Err() == nil && r.faults.Lost(err); try++ {
		err = read()
	}
	if err != nil && r.faults.Unstorable(err) {
		return fmt.Errorf("%w: %w", ErrUnstorable, err)
	}
	return err
}

// Get is Row for a lookup by key. For a local database it checks ctx only once: to watch
// it during the query would take two more goroutines.
func (r *Reader) Get(ctx context.Context, query string, args, dest []any) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !r.local {
		ctx, cancel := context.WithTimeout(ctx, readTimeout)
		defer cancel()
		return r.Row(ctx, query, args, dest)
	}
	return r.Row(context.WithoutCancel(ctx), query, args, dest)
}

// List reads every row of query; scan is called with the scanner of each.
func (r *Reader) List(ctx context.Context, query string, args []any, scan func(scan func(...any) error) error) error {
	var rows *sql.Rows
	err := r.try(ctx, func() error {
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
	return ScanRows(rows, scan)
}

// ScanRows calls scan with the scanner of each row, and closes the rows.
func ScanRows(rows *sql.Rows, scan func(scan func(...any) error) error) error {
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := scan(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
