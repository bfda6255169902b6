package store

import "errors"

// session is the writer's one connection, with what SQLite and PostgreSQL each do
// in their own way. No statement of it is ever cancelled: one that is cut short
// would leave its outcome unknown. A session whose connection can no longer be
// trusted is dropped, and opened anew by the next begin.
type session interface {
	// begin starts a transaction that holds the end of the chain, and sets t.head. It
	// uses up the assertions of t.batch, and sets lost on each append whose assertion
	// was used up before, in the batch or in an earlier one.
	begin(t *tx) error
	// exec runs a statement and returns how many rows it changed.
	exec(query string, args ...any) (int64, error)
	// later runs a statement whose outcome nothing that follows depends on: it may be
	// sent together with others. judge is told how many rows it changed, before the commit.
	later(judge func(changed int64) error, query string, args ...any) error
	// row reads one row into dest; no row is sql.ErrNoRows.
	row(query string, args, dest []any) error
	// list reads every row of query.
	list(query string, args []any, scan func(scan func(...any) error) error) error
	// changing makes sure that no other process changes the registry until the
	// transaction is over.
	changing(t *tx) error
	// record writes a row of the ledger, with which the chain ends from now on.
	record(t *tx, row *ledgerRow) error
	// commit ends the transaction. A *doubt tells that its outcome is unknown.
	commit(t *tx) error
	// rollback ends it without a trace, as far as the connection still serves.
	rollback()
	// settle finds out whether a transaction committed that commit was in doubt of.
	settle(t *tx) (committed bool, err error)
	// passing tells whether the transaction failed for a cause that is over once the
	// session is opened again, and did not commit.
	passing(err error) bool
	// leave gives back what the session holds, and closes its connection.
	leave()
}

// doubt tells that a COMMIT was sent and no answer came.
type doubt struct{ cause error }

func (d *doubt) Error() string {
	return "whether the transaction was committed is unknown: " + d.cause.Error()
}
func (d *doubt) Unwrap() error { return d.cause }

// tx is one transaction of the writer.
type tx struct {
	session
	batch   []*appending // of whose assertions each may be used once
	head    head
	first   int64    // the first entry that it recorded; 0 if it recorded none
	changes []Change // to the registry, of which those who remember must hear
	packer  *packer
}

// run runs change in a transaction. Whatever fails, its beginning included, leaves
// the session fit for the next.
func (t *tx) run(change func(*tx) error) error {
	err := t.begin(t)
	if err == nil {
		err = change(t)
	}
	if err == nil {
		err = t.commit(t)
	}
	if doubtful := (*doubt)(nil); err != nil && !errors.As(err, &doubtful) {
		t.rollback()
	}
	return err
}

// changed notes what the transaction changes.
func (t *tx) changed(kind ChangeKind, issuer, id string) {
	t.changes = append(t.changes, Change{Kind: kind, Issuer: issuer, ID: id})
}
