// Package transfer copies a store into another one, table by table, and verifies the
// copy. It knows of neither database more than the standard SQL that both speak:
// what each does in its own way is a [Source] or a [Target], which the packages sqlite and
// postgres implement.
//
// It opens nothing and knows no URLs: package store does.
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

// Source is a store that is read, as it was at one instant.
type Source interface {
	// Querier reads the tables as they were at that instant until Release. The batches of
	// the ledger up to the heads of the point never change, and are read after it, too.
	Querier() Querier
	// Point is what it holds at that instant.
	Point() *Point
	// EachUsed visits the consumed values that may still come again, until in Unix
	// milliseconds. See UsedTwice.
	EachUsed(ctx context.Context, visit func(key engine.Key, until int64, sealed []byte) error) error
	// UsedTwice reports whether the values with which something is left are visited a
	// second time, without it.
	UsedTwice() bool
	// Release lets the instant go, so that nothing is kept for its sake.
	Release(ctx context.Context) error
	// Close gives back what the source holds.
	Close() error
}

// Target is a store that is written by one copy alone.
type Target interface {
	// Conn is the one connection that writes.
	Conn() *sql.Conn
	// Reads reads what was written.
	Reads() *engine.Reader
	// Unfinished reports whether the table [Unfinished] is there.
	Unfinished(ctx context.Context) (bool, error)
	// Served returns an error if a process serves the store.
	Served(ctx context.Context) error
	// Put writes rows, all or none; those that are there already stay as they are.
	Put(ctx context.Context, r *Rows) error
	// PutUsed takes a consumed value, which is written with others, by FlushUsed at last.
	PutUsed(ctx context.Context, key engine.Key, until int64, sealed []byte) error
	FlushUsed(ctx context.Context) error
	// ForgetUsed removes what a cut copy left of the consumed values, unless putting them
	// once more changes nothing.
	ForgetUsed(ctx context.Context) error
	// UsedCount counts the consumed values that a source with that UsedTwice put.
	UsedCount(ctx context.Context, twice bool) (int64, error)
	// Finish writes, in the transaction of q that makes a store of the copy, what does not
	// stand in a table that is copied.
	Finish(ctx context.Context, q Querier, p *Point) error
	// Close gives back what the target holds, of a store or of half of one.
	Close(ctx context.Context) error
}

// Unfinished is the table that is there as long as a store is no whole copy. It keeps
// the mark of the point that is copied.
const Unfinished = "unfinished_copy"

// Point is what a store holds at an instant.
type Point struct {
	Counts    map[string]int64 // rows by table; of use_up the values that may still come again
	Heads     []ledger.Head    // of the ledger's chains, in their order
	Forgotten int64            // up to when consumed values were forgotten, in Unix seconds
	LastUsed  int64            // the latest time of last use
}

// mark is the same for two points if and only if nothing happened between them.
func (p *Point) mark() string {
	return fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "%v %x %d %d", p.Counts, p.Heads, p.Forgotten, p.LastUsed)))
}

// ReadPoint reads what is the same in every store: all but the heads and the consumed values.
func ReadPoint(ctx context.Context, q Querier) (*Point, error) {
	p := &Point{Counts: map[string]int64{}}
	for _, t := range append(RegistryTables(), LedgerTable()) {
		var err error
		if p.Counts[t.Name], err = t.Count(ctx, q); err != nil {
			return nil, err
		}
	}
	if err := q.QueryRowContext(ctx, `SELECT at FROM used_forgotten`).Scan(&p.Forgotten); err != nil {
		return nil, err
	}
	if err := q.QueryRowContext(ctx, `SELECT coalesce(max(at), 0) FROM last_used`).Scan(&p.LastUsed); err != nil {
		return nil, err
	}
	return p, nil
}
