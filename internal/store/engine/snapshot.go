package engine

import (
	"context"
	"database/sql"
	"errors"
)

// Snapshot is one state of a database, for reading.
type Snapshot struct{ tx *sql.Tx }

// Snapshot calls read with the state that the database has now, whatever is committed
// meanwhile.
func (r *Reader) Snapshot(ctx context.Context, read func(*Snapshot) error) error {
	var tx *sql.Tx
	err := r.try(ctx, func() (err error) {
		options := &sql.TxOptions{ReadOnly: true}
		if !r.local { // SQLite has no other isolation than this
			options.Isolation = sql.LevelRepeatableRead
		}
		tx, err = r.db.BeginTx(ctx, options)
		return err
	})
	if err != nil {
		return err
	}
	err = read(&Snapshot{tx})
	if undo := tx.Rollback(); undo != nil && !errors.Is(undo, sql.ErrTxDone) {
		err = errors.Join(err, undo)
	}
	return err
}

// Row reads one row into dest; no row is sql.ErrNoRows.
func (s *Snapshot) Row(ctx context.Context, query string, args, dest []any) error {
	return s.tx.QueryRowContext(ctx, query, args...).Scan(dest...)
}

// List reads every row of query; scan is called with the scanner of each.
func (s *Snapshot) List(ctx context.Context, query string, args []any, scan func(scan func(...any) error) error) error {
	rows, err := s.tx.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	return ScanRows(rows, scan)
}
