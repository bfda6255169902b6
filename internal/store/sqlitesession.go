package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"errors"
	"slices"

	"moneyer/internal/ledger"
)

// sqliteSession writes a file that this process alone holds. So the end of the
// chain, and which assertions are used up, can be kept in memory.
type sqliteSession struct {
	db         *sql.DB
	used       *used
	conn       *sql.Conn
	statements map[string]*sql.Stmt // each prepared once

	// end is the end of the chain. It is read from the database whenever it is not
	// certain: at the start and after each transaction that failed.
	end      head
	endKnown bool
	// usedUp are the assertions that the transaction uses up, packed.
	usedUp []byte
	// unsure are those that a transaction used up whose COMMIT failed. It did commit
	// if the database's chain ends with unsureEnd.
	unsure    []byte
	unsureEnd [sha256.Size]byte
}

func (s *sqliteSession) begin(t *tx) error {
	if err := s.open(); err != nil {
		return err
	}
	s.usedUp = s.usedUp[:0]
	if _, err := s.exec("BEGIN IMMEDIATE"); err != nil {
		s.drop()
		return err
	}
	if err := s.readEnd(); err != nil {
		return err
	}
	t.head = s.end
	return s.consume(t)
}

func (s *sqliteSession) commit(t *tx) error {
	if _, err := s.exec("COMMIT"); err != nil {
		s.unsure, s.unsureEnd = slices.Clone(s.usedUp), t.head.hash
		s.rollback()
		return &doubt{err}
	}
	s.end = t.head
	return s.used.addAll(s.usedUp)
}

func (s *sqliteSession) rollback() {
	s.endKnown = false
	if s.conn == nil {
		return
	}
	if _, err := s.exec("ROLLBACK"); err != nil {
		s.drop() // SQLite has rolled back by itself, or the connection is broken
	}
}

// settle leaves the question to the next transaction: a file that could not be
// written a moment ago is in no state to be asked.
func (s *sqliteSession) settle(*tx) (bool, error) { return false, errors.New("not known yet") }

// passing: what fails in a file of one's own does not pass by itself.
func (s *sqliteSession) passing(error) bool { return false }

// changing: nobody else has the file.
func (s *sqliteSession) changing(*tx) error { return nil }

// readEnd reads the end of the chain unless it is known.
func (s *sqliteSession) readEnd() error {
	if s.endKnown {
		return nil
	}
	var first, count int64
	var last []byte
	// A copy of a database has other chains, too, with which nobody goes on here.
	err := s.row(`SELECT first_seq, count, last FROM ledger_batch WHERE first_seq < $1 ORDER BY first_seq DESC LIMIT 1`,
		[]any{ledger.Numbered(1, 0)}, []any{&first, &count, &last})
	if errors.Is(err, sql.ErrNoRows) {
		s.end, s.endKnown = head{}, true
		return nil
	}
	if err != nil {
		return err
	}
	if len(last) != sha256.Size {
		return errors.New("the ledger's last batch is broken")
	}
	s.end = head{seq: first + count - 1, hash: [sha256.Size]byte(last)}
	if s.end.hash == s.unsureEnd {
		err = s.used.addAll(s.unsure)
	}
	s.unsure, s.endKnown = nil, err == nil
	return err
}

func (s *sqliteSession) record(_ *tx, r *ledgerRow) error {
	_, err := s.exec(`INSERT INTO ledger_batch (first_seq, count, time_min, time_max, previous, last, marks, lines)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		r.first, r.count, r.timeMin, r.timeMax, r.previous, r.last, r.marks, r.lines)
	return err
}

// consume decides by the set in memory and by what the batch itself brings. The set
// takes the keys once they are committed.
func (s *sqliteSession) consume(t *tx) error {
	if _, err := judge(t.batch, s.earlier); err != nil {
		return err
	}
	minutes := map[int64][]byte{} // what ends in a minute is forgotten at once, however long others live
	for _, a := range t.batch {
		if a.lost != nil {
			continue
		}
		for i := range a.consumed {
			c := &a.consumed[i]
			if err := s.seal(c); err != nil {
				return err
			}
			key, until := usedKeyOf(c), ceilSecond(c.Until)
			minute := int64(until)/60 + 1
			minutes[minute] = appendUsed(minutes[minute], key, until)
			s.usedUp = appendUsed(s.usedUp, key, until)
		}
	}
	for minute, keys := range minutes {
		_, err := s.exec(`INSERT INTO used_batch (until, first_seq, keys) VALUES ($1, $2, $3)`,
			minute*60_000, t.head.seq+1, keys)
		if err != nil {
			return err
		}
	}
	return nil
}

// earlier says why a value may not be consumed, whatever else the batch wants.
func (s *sqliteSession) earlier(i int, c *ledger.Consumed) (lost, err error) {
	key := usedKeyOf(c)
	switch {
	case s.used.has(key):
		replayed := &ledger.ReplayedError{Index: i}
		// What comes from a copy of a PostgreSQL database has the half of its key.
		return replayed, s.list(`SELECT sealed FROM use_up WHERE key IN ($1, $2) ORDER BY until DESC LIMIT 1`, []any{c.Value[:], key[:]},
			func(scan func(...any) error) error { return scan(&replayed.Sealed) })
	case int64(ceilSecond(c.Until)) <= s.used.forgotten.Load():
		return errClockBack, nil
	case s.used.full():
		return errTooManyUsed, nil
	}
	return nil, nil
}

// seal writes what is left for whoever comes with the same value later.
func (s *sqliteSession) seal(c *ledger.Consumed) error {
	if len(c.Sealed) == 0 {
		return nil
	}
	// An earlier use may be forgotten in memory and not yet in the table.
	_, err := s.exec(`INSERT INTO use_up (key, until, sealed) VALUES ($1, $2, $3)
		ON CONFLICT (key) DO UPDATE SET until = excluded.until, sealed = excluded.sealed`,
		c.Value[:], ceilMilli(c.Until), c.Sealed)
	return err
}

func (s *sqliteSession) open() error {
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

func (s *sqliteSession) statement(query string) (*sql.Stmt, error) {
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

func (s *sqliteSession) exec(query string, args ...any) (int64, error) {
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

func (s *sqliteSession) later(judge func(changed int64) error, query string, args ...any) error {
	changed, err := s.exec(query, args...)
	if err != nil {
		return err
	}
	return judge(changed)
}

func (s *sqliteSession) row(query string, args, dest []any) error {
	statement, err := s.statement(query) //nolint:sqlclosecheck // kept until the session is dropped
	if err != nil {
		return err
	}
	return statement.QueryRowContext(context.Background(), args...).Scan(dest...)
}

func (s *sqliteSession) list(query string, args []any, scan func(scan func(...any) error) error) error {
	statement, err := s.statement(query) //nolint:sqlclosecheck // kept until the session is dropped
	if err != nil {
		return err
	}
	rows, err := statement.QueryContext(context.Background(), args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := scan(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (s *sqliteSession) leave() { s.drop() }

// drop closes the connection for good instead of giving it back to the pool.
func (s *sqliteSession) drop() {
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
