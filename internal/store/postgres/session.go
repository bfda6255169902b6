package postgres

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"moneyer/internal/ledger"
	"moneyer/internal/store/engine"
)

// session implements engine.Session. Other replicas write the same database, so nothing
// that was read before a transaction is reused: the end of the chain and the consumed
// values are read in the transaction, under locks.
//
// Statements are queued and sent together, so that a transaction that appends takes two
// round trips: one to lock the end of the chain and consume values, one to record the
// entries and commit.
type session struct {
	url    *URL
	holder string // what this replica is called in ledger_chain
	days   *partitions

	conn   *pgx.Conn
	before bool // an earlier connection existed
	warned *atomic.Bool
	queued pgx.Batch
	// unjudged means that a queued statement has a result that may forbid the commit.
	unjudged bool
	chain    int64 // the chain that this replica writes
	held     bool  // whether this replica believes that it holds chain
	found    int64 // the end of chain when this replica claimed it
	// acknowledged is the end of the chain when it was claimed, or after the last
	// acknowledged write. rolledBack means that the database has lost entries up to there.
	acknowledged ledger.Head
	rolledBack   atomic.Bool
	// unsure is the end of the chain after a write whose outcome is unknown. changed means
	// that the chain was found with another end than this or acknowledged.
	unsure  ledger.Head
	changed atomic.Bool
	told    *atomic.Int64 // acknowledged.Seq, for other processes
}

func (s *session) Begin(t *engine.Tx) error {
	if err := s.open(); err != nil {
		return err
	}
	s.queued = pgx.Batch{}
	s.queued.Queue("BEGIN ISOLATION LEVEL READ COMMITTED")
	s.queueEnd(s.chain, func(end ledger.Head, holder string) error {
		t.Head, t.Found = end, s.found
		switch {
		case end.Seq < s.acknowledged.Seq:
			s.rolledBack.Store(true)
			return ErrRolledBack
		case holder != s.holder:
			return errChainTaken
		case end != s.acknowledged && end != s.unsure:
			s.changed.Store(true)
			return ErrChainChanged
		}
		return nil
	})
	uses := consumptionOf(t.Batch)
	uses.queue(&s.queued)
	err := s.flush()
	if errors.Is(err, errNoChain) {
		err = s.lostChain()
	}
	s.held = s.held && !errors.Is(err, errChainTaken)
	if err != nil {
		return err
	}
	return uses.judge(s)
}

// lostChain returns the error for a chain that the database no longer has: whether
// acknowledged entries were lost with it.
func (s *session) lostChain() error {
	if ledger.PlaceOf(s.acknowledged.Seq) == 0 {
		return errChainTaken
	}
	s.rolledBack.Store(true)
	return ErrRolledBack
}

// queueEnd queues a query that reads and locks the end of a chain.
func (s *session) queueEnd(chain int64, read func(end ledger.Head, holder string) error) {
	s.queued.Queue(`SELECT seq, hash, holder FROM ledger_chain WHERE id = $1 FOR UPDATE`, chain).QueryRow(func(row pgx.Row) error {
		var end ledger.Head
		var hash []byte
		var holder string
		if err := row.Scan(&end.Seq, &hash, &holder); errors.Is(err, sql.ErrNoRows) {
			return errNoChain
		} else if err != nil {
			return fmt.Errorf("end of chain %d: %w", chain, err)
		}
		if len(hash) != sha256.Size || ledger.ChainOf(end.Seq) != chain {
			return errChainBroken
		}
		end.Hash = [sha256.Size]byte(hash)
		return read(end, holder)
	})
}

// Changing locks the registry against other changes, and increments its revision. Its
// lock timeout is short because appends are queued behind it.
func (s *session) Changing(*engine.Tx) error {
	s.queued.Queue(`SET LOCAL lock_timeout = 200`)
	_, err := s.Exec(`UPDATE registry_revision SET revision = revision + 1`)
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "55P03" {
		return engine.ErrContended
	}
	return err
}

const insertBatch = `INSERT INTO ledger_batch (first_seq, count, time_min, time_max, previous, last, marks, lines)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`

func (s *session) Record(t *engine.Tx, r *engine.Row) error {
	if err := s.days.ensure(r.TimeMax); err != nil {
		return err
	}
	s.queued.Queue(insertBatch,
		r.First, r.Count, r.TimeMin, r.TimeMax, r.Previous, r.Last, r.Marks, r.Lines)
	s.queued.Queue(`UPDATE ledger_chain SET seq = $1, hash = $2 WHERE id = $3`, t.Head.Seq, t.Head.Hash[:], s.chain)
	return nil
}

func (s *session) Commit(t *engine.Tx) error {
	if s.unjudged {
		if err := s.flush(); err != nil {
			return err
		}
	}
	s.announce(t.Changes)
	s.warned.Store(false)
	word := ""
	s.queued.Queue("COMMIT").Exec(func(tag pgconn.CommandTag) error {
		word = tag.String()
		return nil
	})
	err := s.flush()
	switch {
	case err != nil && s.conn == nil:
		return s.doubt(t, err)
	case err != nil:
		return err // of a statement: the transaction was rolled back
	case s.warned.Load():
		s.drop()
		return s.doubt(t, errNotReplicated)
	case word != "COMMIT":
		return fmt.Errorf("the database answered COMMIT with %s", word)
	}
	if t.First != 0 {
		s.acknowledge(t.Head)
	}
	return nil
}

func (s *session) doubt(t *engine.Tx, cause error) error {
	if t.First != 0 {
		s.unsure = t.Head
	}
	return &engine.Doubt{Cause: cause}
}

func (s *session) acknowledge(end ledger.Head) {
	s.acknowledged, s.unsure = end, ledger.Head{}
	s.told.Store(end.Seq)
}

// announce records the changes for the other replicas, and notifies them.
func (s *session) announce(changes []engine.Change) {
	if len(changes) == 0 {
		return
	}
	var kinds, issuers, ids []string
	for _, c := range changes {
		kinds, issuers, ids = append(kinds, string(c.Kind)), append(issuers, c.Issuer), append(ids, c.ID)
	}
	s.queued.Queue(`INSERT INTO registry_change (revision, at, kind, issuer, id)
		SELECT revision, now(), kind, issuer, id FROM registry_revision, unnest($1::text[], $2::text[], $3::text[]) AS c (kind, issuer, id)`,
		kinds, issuers, ids)
	s.queued.Queue(`SELECT pg_notify('moneyer', '')`)
}

func (s *session) Rollback() {
	s.queued, s.unjudged = pgx.Batch{}, false
	if s.conn == nil {
		return
	}
	if _, err := s.Exec("ROLLBACK"); err != nil {
		s.drop()
	}
}

// Settle waits for the lock of the session that sent the COMMIT, and looks for the batch.
// A batch that is found must also be on the standbys before its callers are answered: the
// commit of this transaction, which locks the chain, proves that.
func (s *session) Settle(t *engine.Tx) (committed bool, err error) {
	if err := s.open(); err != nil {
		return false, err
	}
	if t.First == 0 {
		return false, nil // it recorded nothing, and can be tried again
	}
	s.queued = pgx.Batch{}
	s.queued.Queue("BEGIN ISOLATION LEVEL READ COMMITTED")
	s.queueEnd(ledger.ChainOf(t.First), func(ledger.Head, string) error { return nil })
	err = s.List(`SELECT last FROM ledger_batch WHERE first_seq = $1`, []any{t.First}, func(scan func(...any) error) error {
		var last []byte
		err := scan(&last)
		committed = bytes.Equal(last, t.Head.Hash[:])
		return err
	})
	if err != nil {
		s.Rollback()
		return false, err
	}
	if err := s.Commit(&engine.Tx{}); err != nil {
		s.Rollback()
		if doubtful := (*engine.Doubt)(nil); errors.As(err, &doubtful) {
			err = &brokenError{doubtful.Cause}
		}
		return false, err
	}
	if committed {
		s.acknowledge(t.Head)
	}
	return committed, nil
}

// Passing reports whether err is a lost connection, a server that starts, stops, fails over,
// or ended the session by a timeout, a lock timeout, or a statement that was cancelled.
func (s *session) Passing(err error) bool {
	var refused *pgconn.PgError
	var gone *brokenError
	if doubtful := (*engine.Doubt)(nil); errors.As(err, &doubtful) {
		return false
	}
	if errors.As(err, &refused) {
		return isLost(err) || slices.Contains([]string{"40001", "40P01", "55P03", "25006", "53300", "57014"}, refused.Code)
	}
	return errors.As(err, &gone) || errors.Is(err, errChainTaken) || errors.Is(err, engine.ErrLost)
}

func (s *session) Exec(query string, args ...any) (changed int64, err error) {
	s.queued.Queue(query, args...).Exec(func(tag pgconn.CommandTag) error {
		changed = tag.RowsAffected()
		return nil
	})
	return changed, s.flush()
}

// sentTogether is how many statements are sent before an answer is read.
const sentTogether = 256

func (s *session) Later(judge func(changed int64) error, query string, args ...any) error {
	s.queued.Queue(query, args...).Exec(func(tag pgconn.CommandTag) error { return judge(tag.RowsAffected()) })
	if s.unjudged = s.queued.Len() < sentTogether; s.unjudged {
		return nil
	}
	return s.flush()
}

func (s *session) Row(query string, args, dest []any) error {
	s.queued.Queue(query, args...).QueryRow(func(row pgx.Row) error { return row.Scan(dest...) })
	return s.flush()
}

func (s *session) List(query string, args []any, scan func(scan func(...any) error) error) error {
	s.queued.Queue(query, args...).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			if err := scan(rows.Scan); err != nil {
				return err
			}
		}
		return rows.Err()
	})
	return s.flush()
}

// flush sends the queued statements, and reads all answers.
func (s *session) flush() error {
	if s.conn == nil {
		return &brokenError{errors.New("the connection was lost")}
	}
	batch := s.queued
	s.queued, s.unjudged = pgx.Batch{}, false
	err := s.conn.SendBatch(context.Background(), &batch).Close()
	var refused *pgconn.PgError
	switch {
	case err == nil, errors.Is(err, sql.ErrNoRows):
		return err
	case errors.As(err, &refused):
		if refused.SeverityUnlocalized != "ERROR" {
			s.drop()
		}
		if isUnstorable(err) {
			return fmt.Errorf("%w: %w", engine.ErrUnstorable, err)
		}
		return err
	case s.conn.IsClosed():
		s.drop()
		return &brokenError{err}
	}
	return err
}

// drop closes the connection, within writeTimeout.
func (s *session) drop() {
	if s.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	_ = s.conn.Close(ctx)
	s.conn = nil
}
