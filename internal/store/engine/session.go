package engine

import (
	"errors"

	"moneyer/internal/ledger"
)

// Session is the writer's one connection. No statement of it is ever cancelled: one that
// is cut short would leave its outcome unknown. A session whose connection can no longer
// be trusted drops it, and opens another at the next Begin.
type Session interface {
	// Begin starts a transaction that holds the end of the chain, and sets t.Head. It
	// consumes the values of t.Batch, and sets Lost on each append that may not consume
	// all of its own.
	Begin(t *Tx) error
	// Exec runs a statement and returns how many rows it changed.
	Exec(query string, args ...any) (int64, error)
	// Later runs a statement whose outcome nothing that follows depends on: it may be
	// sent together with others. judge is called with how many rows it changed, before the commit.
	Later(judge func(changed int64) error, query string, args ...any) error
	// Row reads one row into dest; no row is sql.ErrNoRows.
	Row(query string, args, dest []any) error
	// List reads every row of query.
	List(query string, args []any, scan func(scan func(...any) error) error) error
	// Changing makes sure that no other process changes the registry until the
	// transaction is over. ErrContended means that another one does.
	Changing(t *Tx) error
	// Record writes a row of the ledger, with which the chain ends from now on.
	Record(t *Tx, row *Row) error
	// Commit ends the transaction. A *Doubt means that its outcome is unknown.
	Commit(t *Tx) error
	// Rollback ends it without a trace, as far as the connection still serves.
	Rollback()
	// Settle finds out whether a transaction committed of which Commit was in doubt.
	Settle(t *Tx) (committed bool, err error)
	// Passing reports whether the transaction failed for a cause that is over once the
	// session is opened again, and did not commit.
	Passing(err error) bool
	// Leave gives back what the session holds, and closes its connection.
	Leave()
}

// Tx is one transaction of the writer, as the engine sees it.
type Tx struct {
	Batch   []*Append   // each consumes all of its values or is lost
	Head    ledger.Head // the end of the chain
	First   int64       // the first entry that it recorded; 0 if it recorded none
	Changes []Change    // to the registry, that other processes must learn of
}

// Append is an entry that waits to be recorded.
type Append struct {
	Line     Line
	Consumed []ledger.Consumed
	// Lost is why it is not recorded: a value was consumed before, or cannot be remembered.
	Lost error
	// Gone is closed when the caller no longer waits. Done takes one answer without blocking.
	Gone <-chan struct{}
	Done chan error
}

// Line is an entry that is ready to be chained.
type Line struct {
	Text []byte // canonical, without a line feed
	At   int64  // Unix milliseconds
}

// Encode makes the line of an entry.
func Encode(e *ledger.Entry) (Line, error) {
	if e == nil {
		return Line{}, errors.New("a change without its ledger entry")
	}
	text, err := e.AppendJSON(nil)
	return Line{Text: text, At: e.Time.UnixMilli()}, err
}

// Row is what the ledger keeps of the entries of one commit.
type Row struct {
	First, Count     int64
	TimeMin, TimeMax int64 // Unix milliseconds
	Previous, Last   []byte
	Marks, Lines     []byte
}

// Doubt means that a COMMIT was sent and no answer came.
type Doubt struct{ Cause error }

// Error says so.
func (d *Doubt) Error() string {
	return "whether the transaction was committed is unknown: " + d.Cause.Error()
}

// Unwrap returns the cause.
func (d *Doubt) Unwrap() error { return d.Cause }

var (
	// ErrContended means that others are changing the registry. Nothing was changed.
	ErrContended = errors.New("others are changing the registry")
	// ErrLost means that a transaction did not take place after all.
	ErrLost = errors.New("the connection was lost before the commit")
	// ErrUnstorable means that a text has bytes that the database takes for no text.
	// Nothing of that name can exist in it.
	ErrUnstorable = errors.New("the database cannot store this text")
)
