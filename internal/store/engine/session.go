package engine

import (
	"errors"

	"moneyer/internal/ledger"
)

// Session is the writer's connection. Its statements are never cancelled, because the
// outcome of a cancelled statement is unknown. After a connection error the session drops
// the connection, and opens another at the next Begin.
type Session interface {
	// Begin starts a transaction that locks the end of the chain, and sets t.Head and t.Found. It
	// consumes the values of t.Batch, and sets Lost on each append that may not consume
	// all of its values.
	Begin(t *Tx) error
	// Exec runs a statement and returns how many rows it changed.
	Exec(query string, args ...any) (int64, error)
	// Later runs a statement on whose result no later statement depends, so it may be
	// sent together with others. judge is called with the number of changed rows before
	// the commit.
	Later(judge func(changed int64) error, query string, args ...any) error
	// Row reads one row into dest; no row is sql.ErrNoRows.
	Row(query string, args, dest []any) error
	// List reads every row of query.
	List(query string, args []any, scan func(scan func(...any) error) error) error
	// Changing locks the registry against changes by other processes until the end of
	// the transaction. ErrContended means that another process holds the lock.
	Changing(t *Tx) error
	// Record writes a row of the ledger, which becomes the end of the chain.
	Record(t *Tx, row *Row) error
	// Commit ends the transaction. A *Doubt means that its outcome is unknown.
	Commit(t *Tx) error
	// Rollback ends the transaction and discards its changes.
	Rollback()
	// Settle finds out whether a transaction committed after Commit returned a *Doubt.
	Settle(t *Tx) (committed bool, err error)
	// Passing reports whether the transaction did not commit and may succeed if it is
	// repeated on a new connection.
	Passing(err error) bool
	// Leave releases the session's chain, and closes its connection.
	Leave()
}

// Tx is one transaction of the writer, as the engine sees it.
type Tx struct {
	Batch []*Append   // each consumes all of its values or has Lost set
	Head  ledger.Head // the end of the chain
	First int64       // the first entry that it recorded; 0 if it recorded none
	// Found is the last entry that the session found in the chain when it began to write it;
	// it has recorded all later ones.
	Found   int64
	Changes []Change // to the registry, which other processes must be notified of
}

// Append is an entry that waits to be recorded.
type Append struct {
	Line     Line
	Consumed []ledger.Consumed
	// Lost is why it is not recorded: a value was consumed before, or cannot be stored.
	Lost error
	// Gone is closed when the caller no longer waits. Done has room for one answer.
	Gone <-chan struct{}
	Done chan error
}

// Line is an encoded entry.
type Line struct {
	Text []byte // canonical, without a line feed
	At   int64  // Unix milliseconds
}

// Encode returns the line of an entry.
func Encode(e *ledger.Entry) (Line, error) {
	if e == nil {
		return Line{}, errors.New("a change without its ledger entry")
	}
	text, err := e.AppendJSON(nil)
	return Line{Text: text, At: e.Time.UnixMilli()}, err
}

// Row is the row of ledger_batch with the entries of one commit.
type Row struct {
	First, Count     int64
	TimeMin, TimeMax int64 // Unix milliseconds
	Previous, Last   []byte
	Marks, Lines     []byte
}

// Doubt means that a COMMIT was sent and its outcome is unknown.
type Doubt struct{ Cause error }

// Error implements error.
func (d *Doubt) Error() string {
	return "it is unknown whether the transaction committed: " + d.Cause.Error()
}

// Unwrap returns the cause.
func (d *Doubt) Unwrap() error { return d.Cause }

var (
	// ErrContended means that another process is changing the registry. Nothing was changed.
	ErrContended = errors.New("another process is changing the registry: try again")
	// ErrLost means that a transaction did not commit.
	ErrLost = errors.New("the connection was lost before the commit")
	// ErrUnstorable means that the encoding of a text is invalid for the database.
	// Nothing of that name can exist in it.
	ErrUnstorable = errors.New("the database cannot store this text")
)
