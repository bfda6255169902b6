// Package transfer copies a store into another one, table by table, and verifies the
// copy. It uses only standard SQL that both databases support; the packages sqlite and
// postgres implement the rest as a [Source] and a [Target].
//
// It opens no database and parses no URL: package store does.
package transfer

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"

	"moneyer/internal/ledger"
	"moneyer/internal/store/engine"
)

// Querier reads and writes outside of the writer.
type Querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Source is a snapshot of a store.
type Source interface {
	// Querier reads the snapshot until Release. The batches of the ledger up to the heads
	// of the point never change, and are also read later.
	Querier() Querier
	// Point describes the snapshot.
	Point() *Point
	// EachUsed visits the consumed values that have not expired, until in Unix
	// milliseconds. See UsedTwice.
	EachUsed(ctx context.Context, visit func(key engine.Key, until int64, sealed []byte) error) error
	// UsedTwice reports whether EachUsed visits values with sealed data a second time,
	// without that data.
	UsedTwice() bool
	// Release releases the snapshot.
	Release(ctx context.Context) error
	// Close releases the locks and connections of the source.
	Close() error
}

// Target is a store that one copy writes.
type Target interface {
	// Conn is the one connection that writes.
	Conn() *sql.Conn
	// Reads reads what was written.
	Reads() *engine.Reader
	// Unfinished reports whether the table [Unfinished] exists.
	Unfinished(ctx context.Context) (bool, error)
	// Served returns an error if a process serves the store.
	Served(ctx context.Context) error
	// Put inserts rows, all or none, except those that exist already.
	Put(ctx context.Context, r *Rows) error
	// PutUsed buffers a consumed value. FlushUsed writes all buffered values.
	PutUsed(ctx context.Context, key engine.Key, until int64, sealed []byte) error
	FlushUsed(ctx context.Context) error
	// ForgetUsed deletes the consumed values of an interrupted copy, unless PutUsed is
	// idempotent.
	ForgetUsed(ctx context.Context) error
	// UsedCount counts the consumed values; twice is UsedTwice of the source.
	UsedCount(ctx context.Context, twice bool) (int64, error)
	// Finish writes what is not in the copied tables, in the transaction of q that
	// completes the copy.
	Finish(ctx context.Context, q Querier, p *Point) error
	// Close releases the locks and connections of the target.
	Close(ctx context.Context) error
}

// Unfinished is a table that exists while a copy is incomplete. It holds the mark of the
// point that is copied.
const Unfinished = "unfinished_copy"

// Point describes the contents of a store at one instant.
type Point struct {
	Counts    map[string]int64 // rows by table; for use_up the values that have not expired
	Heads     []ledger.Head    // of the ledger's chains, in their order
	Forgotten int64            // the latest end of a consumed value that was deleted, in Unix seconds
	Refused   int64            // the time up to which consumed values may be missing otherwise, in Unix seconds
	ID        string           // the name of the store
	Accepted  int64            // the time of the newest entry that was accepted as wrong, in Unix milliseconds
	LastUsed  int64            // the latest time of last use
}

// mark returns a hash of the point, which is the same only if the store was not changed.
func (p *Point) mark() string {
	return fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "%v %x %d %d %d %s %d", p.Counts, p.Heads, p.Forgotten, p.LastUsed, p.Refused, p.ID, p.Accepted)))
}

// ReadPoint reads a point, except the heads and the number of consumed values.
func ReadPoint(ctx context.Context, q Querier) (*Point, error) {
	p := &Point{Counts: map[string]int64{}}
	for _, t := range append(RegistryTables(), LedgerTable()) {
		var err error
		if p.Counts[t.Name], err = t.Count(ctx, q); err != nil {
			return nil, err
		}
	}
	if err := q.QueryRowContext(ctx, `SELECT at, refused, id, accepted FROM used_forgotten, store`).Scan(&p.Forgotten, &p.Refused, &p.ID, &p.Accepted); err != nil {
		return nil, err
	}
	if err := q.QueryRowContext(ctx, `SELECT coalesce(max(at), 0) FROM last_used`).Scan(&p.LastUsed); err != nil {
		return nil, err
	}
	return p, nil
}
