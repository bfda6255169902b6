package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"errors"
	"slices"
	"sync/atomic"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"moneyer/internal/ledger"
	"moneyer/internal/store/engine"
)

// session implements engine.Session. Only this process has the file open, so the end of the
// chain and the consumed values are kept in memory.
type session struct {
	db         *sql.DB
	file       *held
	used       *consumedSet
	conn       *sql.Conn
	statements map[string]*sql.Stmt // each prepared once

	// end is the end of the chain. It is read from the database at the start and after
	// each failed transaction, when it must be as it was.
	end      ledger.Head
	endKnown bool
	// committed is the end of the chain after the last commit that moved it, for readers in
	// other goroutines; nil before the first transaction.
	committed atomic.Pointer[ledger.Head]
	// found is the end of the chain at the start; -1 before it is read.
	found int64
	// consumed is the encoded values that the transaction consumes.
	consumed []byte
	// unsure is the values of a transaction whose COMMIT failed. It did commit if the
	// chain in the database ends with unsureEnd.
	unsure    []byte
	unsureEnd [sha256.Size]byte
}

func (s *session) Begin(t *engine.Tx) error {
	if err := s.file.stopped(); err != nil {
		return err
	}
	if err := s.open(); err != nil {
		return err
	}
	s.consumed = s.consumed[:0]
	if _, err := s.Exec("BEGIN IMMEDIATE"); err != nil {
		s.drop()
		return err
	}
	if err := s.readEnd(); err != nil {
		return err
	}
	t.Head, t.Found = s.end, s.found
	return s.consume(t)
}

func (s *session) Commit(t *engine.Tx) error {
	if _, err := s.Exec("COMMIT"); err != nil {
		s.unsure, s.unsureEnd = slices.Clone(s.consumed), t.Head.Hash
		s.Rollback()
		return &engine.Doubt{Cause: err}
	}
	if err := s.file.current(); err != nil { // what was replaced before the answer is not acknowledged
		return &engine.Doubt{Cause: err}
	}
	if s.end = t.Head; t.First != 0 {
		s.publish()
	}
	return s.used.addAll(s.consumed)
}

func (s *session) Rollback() {
	s.endKnown = false
	if s.conn == nil {
		return
	}
	if _, err := s.Exec("ROLLBACK"); err != nil {
		s.drop() // SQLite has rolled back by itself, or the connection is broken
	}
}

// Settle returns an error: the next transaction finds out, because a file that could not be
// written may not be readable now.
func (s *session) Settle(*engine.Tx) (bool, error) { return false, errors.New("not known yet") }

// Passing reports false: a failure of a local file is not temporary.
func (s *session) Passing(error) bool { return false }

// Changing does nothing: no other process has the file open.
func (s *session) Changing(*engine.Tx) error { return nil }

var (
	errBrokenEnd = errors.New("the ledger's last batch is broken")
	// errEndChanged means that entries were changed or removed while the file was open.
	errEndChanged = errors.New("the end of the ledger is not the one that this process wrote: another program changed the file, and nothing more is written; verify the ledger with heads noted elsewhere (moneyer ledger verify --head), and start again")
)

// readEnd reads the end of the chain from the database, unless it is known.
func (s *session) readEnd() error {
	if s.endKnown {
		return nil
	}
	var first, count int64
	var last []byte
	// A copy of a PostgreSQL database has other chains, too, which are not continued here.
	err := s.Row(`SELECT first_seq, count, last FROM ledger_batch WHERE first_seq < $1 ORDER BY first_seq DESC LIMIT 1`,
		[]any{ledger.Numbered(1, 0)}, []any{&first, &count, &last})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	end := ledger.Head{Seq: first + count - 1}
	switch {
	case err != nil:
		end = ledger.Head{}
	case len(last) != sha256.Size:
		return errBrokenEnd
	default:
		end.Hash = [sha256.Size]byte(last)
	}
	return s.setEnd(end)
}

// setEnd sets the end of the chain that was read. At the start it may be any; later it is
// the one before or that of the transaction whose COMMIT failed.
func (s *session) setEnd(end ledger.Head) (err error) {
	committed := s.unsureEnd != [sha256.Size]byte{} && end.Hash == s.unsureEnd
	switch {
	case s.found < 0:
		s.found = end.Seq
	case committed:
		err = s.used.addAll(s.unsure)
	case end != s.end:
		return s.file.lose(errEndChanged)
	}
	s.end, s.endKnown = end, err == nil
	s.unsure, s.unsureEnd = nil, [sha256.Size]byte{}
	s.publish()
	return err
}

// publish makes end known to other goroutines.
func (s *session) publish() {
	end := s.end
	s.committed.Store(&end)
}

func (s *session) Record(_ *engine.Tx, r *engine.Row) error {
	_, err := s.Exec(`INSERT INTO ledger_batch (first_seq, count, time_min, time_max, previous, last, marks, lines)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		r.First, r.Count, r.TimeMin, r.TimeMax, r.Previous, r.Last, r.Marks, r.Lines)
	return s.taken(err)
}

// taken ends all writing if err means that a row with the number of an entry exists: only this
// process gives out the numbers.
func (s *session) taken(err error) error {
	var failure *sqlite.Error
	if errors.As(err, &failure) && slices.Contains([]int{sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_ROWID}, failure.Code()) {
		return s.file.lose(errOtherWriter)
	}
	return err
}

func (s *session) open() error {
	if s.conn != nil {
		return nil
	}
	conn, err := s.db.Conn(context.Background())
	if err != nil {
		return err
	}
	s.conn, s.statements = conn, map[string]*sql.Stmt{}
	return nil
}

func (s *session) statement(query string) (*sql.Stmt, error) {
	if statement, ok := s.statements[query]; ok {
		return statement, nil
	}
	statement, err := s.conn.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	s.statements[query] = statement
	return statement, nil
}

func (s *session) Exec(query string, args ...any) (int64, error) {
	statement, err := s.statement(query) //nolint:sqlclosecheck // kept until the session is dropped
	if err != nil {
		return 0, err
	}
	result, err := statement.ExecContext(context.Background(), args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (s *session) Later(judge func(changed int64) error, query string, args ...any) error {
	changed, err := s.Exec(query, args...)
	if err != nil {
		return err
	}
	return judge(changed)
}

func (s *session) Row(query string, args, dest []any) error {
	statement, err := s.statement(query) //nolint:sqlclosecheck // kept until the session is dropped
	if err != nil {
		return err
	}
	return statement.QueryRowContext(context.Background(), args...).Scan(dest...)
}

func (s *session) List(query string, args []any, scan func(scan func(...any) error) error) error {
	statement, err := s.statement(query) //nolint:sqlclosecheck // kept until the session is dropped
	if err != nil {
		return err
	}
	rows, err := statement.QueryContext(context.Background(), args...) //nolint:rowserrcheck // by ScanRows
	if err != nil {
		return err
	}
	return engine.ScanRows(rows, scan)
}

func (s *session) Leave() { s.drop() }

// drop closes the connection instead of returning it to the pool.
func (s *session) drop() {
	if s.conn == nil {
		return
	}
	for _, statement := range s.statements {
		_ = statement.Close()
	}
	_ = s.conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = s.conn.Close()
	s.conn, s.statements = nil, nil
}
