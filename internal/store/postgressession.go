package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"moneyer/internal/ledger"
)

// postgresSession writes a database that other replicas write, too. Of what it
// read before a transaction it believes nothing: the end of its chain and the
// assertions that are used up are read in the transaction, under locks.
//
// Statements are gathered and sent together, so that a transaction that appends
// takes two round trips: one to take the end of the chain and use up assertions,
// one to record the entries and commit.
type postgresSession struct {
	url    *postgresURL
	holder string // what this replica is called in ledger_chain
	days   *partitions

	conn   *pgx.Conn
	before bool // there was another
	warned *atomic.Bool
	queued pgx.Batch
	// unjudged tells that something is queued whose outcome may forbid the commit.
	unjudged bool
	chain    int64 // that this replica goes on with
	held     bool  // whether it holds chain, as far as it knows
	// acknowledged is how far the chain went when it was last written, and back tells
	// that the database went back behind it.
	acknowledged head
	back         atomic.Bool
}

// writeSettings make the server give up on a session that has lost its client, but
// never on a commit that waits for its standbys.
func writeSettings() map[string]string {
	return map[string]string{
		"statement_timeout":                   "0",
		"lock_timeout":                        "1000",
		"idle_in_transaction_session_timeout": "2000",
		"synchronous_commit":                  "on",
		"tcp_keepalives_idle":                 "5",
		"tcp_keepalives_interval":             "2",
		"tcp_keepalives_count":                "3",
		"tcp_user_timeout":                    "11000", // of what it sent, of which keepalives know nothing
	}
}

func (s *postgresSession) open() error {
	if s.conn == nil {
		if err := s.connect(); err != nil {
			return err
		}
	}
	if s.held {
		return nil
	}
	return s.claim()
}

// connect opens a connection, and ends the session before it if that still waits for its
// client: with half a transaction it would do so, and hold the chain, for as long as the
// network does not tell the server. One that commits is left alone.
func (s *postgresSession) connect() error {
	settings := writeSettings()
	settings["application_name"] = "moneyer writer " + s.holder
	conn, warned, err := s.url.dial(context.Background(), settings)
	if err != nil {
		return err
	}
	s.conn, s.warned, s.queued = conn, warned, pgx.Batch{}
	if s.before {
		_, err = s.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE application_name = $1 AND wait_event_type = 'Client' AND pid <> pg_backend_pid()`, settings["application_name"])
	}
	if s.before = true; s.conn == nil {
		return err
	}
	return nil // who may not end sessions waits for the server to do it
}

// claim takes a chain that nobody goes on with, or begins one.
func (s *postgresSession) claim() error {
	err := s.row(`UPDATE ledger_chain SET holder = $1 WHERE id = (
			SELECT id FROM ledger_chain AS free
			WHERE holder = $1 OR NOT EXISTS (SELECT FROM replica WHERE replica.id = free.holder AND seen > now() - interval '1 minute')
			ORDER BY holder = $1 DESC, id LIMIT 1 FOR UPDATE SKIP LOCKED)
		RETURNING id`, []any{s.holder}, []any{&s.chain})
	if errors.Is(err, sql.ErrNoRows) {
		err = s.row(`INSERT INTO ledger_chain (id, holder, seq, hash)
			SELECT id, $1, id << 40, $2 FROM (SELECT coalesce(max(id), -1) + 1 AS id FROM ledger_chain) AS next
			WHERE id <= $3 ON CONFLICT DO NOTHING RETURNING id`, []any{s.holder, make([]byte, sha256.Size), ledger.MaxChain}, []any{&s.chain})
	}
	if errors.Is(err, sql.ErrNoRows) {
		return errUsurped // another replica began that chain at this moment
	}
	if err != nil {
		return fmt.Errorf("a chain of the ledger to go on with: %w", err)
	}
	s.held = true
	return nil
}

// leave gives the chain back, for the next replica that starts.
func (s *postgresSession) leave() {
	if s.conn != nil && s.held {
		_, _ = s.exec(`UPDATE ledger_chain SET holder = '' WHERE id = $1 AND holder = $2`, s.chain, s.holder)
		_, _ = s.exec(`DELETE FROM replica WHERE id = $1`, s.holder)
	}
	s.drop()
}

var (
	// errUsurped: another replica goes on with the chain, because this one seemed dead.
	errUsurped = errors.New("another replica has taken the chain")
	// errWentBack: the database lost what it had acknowledged, as one does that fails over
	// to a standby for which no commit waited. Among it may be that an assertion was used, so
	// nothing more is written until somebody has seen to it and started the program again.
	errWentBack = errors.New("the database lost entries of the ledger that it had acknowledged: find out what failed over, or was restored, and start this replica again")
	// errNoChain: the database failed over, or was restored, to before the chain was begun.
	errNoChain = errors.New("the chain of the ledger is gone")
	// errNotReplicated: the server was told to stop waiting for its standbys.
	errNotReplicated = errors.New("the database warned that the commit may not have reached its standbys")
	// errChainBroken: the row of the chain cannot be what this program wrote.
	errChainBroken = errors.New("the end of the ledger's chain is broken")
)

func (s *postgresSession) begin(t *tx) error {
	if err := s.open(); err != nil {
		return err
	}
	s.queued = pgx.Batch{}
	s.queued.Queue("BEGIN ISOLATION LEVEL READ COMMITTED")
	s.queueEnd(s.chain, func(end head, holder string) error {
		t.head = end
		switch {
		case ledger.ChainOf(s.acknowledged.seq) == s.chain && end.seq < s.acknowledged.seq:
			s.back.Store(true)
			return errWentBack
		case holder != s.holder:
			return errUsurped
		}
		return nil
	})
	uses := usesOf(t.batch)
	uses.queue(&s.queued)
	err := s.flush()
	if errors.Is(err, errNoChain) {
		err = s.lostChain()
	}
	s.held = s.held && !errors.Is(err, errUsurped)
	if err != nil {
		return err
	}
	return uses.judge(s)
}

// lostChain: a chain is gone, with the entries that were acknowledged in it, if any.
func (s *postgresSession) lostChain() error {
	if ledger.ChainOf(s.acknowledged.seq) != s.chain || ledger.PlaceOf(s.acknowledged.seq) == 0 {
		return errUsurped
	}
	s.back.Store(true)
	return errWentBack
}

// queueEnd reads the end of a chain, and holds it.
func (s *postgresSession) queueEnd(chain int64, read func(end head, holder string) error) {
	s.queued.Queue(`SELECT seq, hash, holder FROM ledger_chain WHERE id = $1 FOR UPDATE`, chain).QueryRow(func(row pgx.Row) error {
		var end head
		var hash []byte
		var holder string
		if err := row.Scan(&end.seq, &hash, &holder); errors.Is(err, sql.ErrNoRows) {
			return errNoChain
		} else if err != nil {
			return fmt.Errorf("end of chain %d: %w", chain, err)
		}
		if len(hash) != sha256.Size || ledger.ChainOf(end.seq) != chain {
			return errChainBroken
		}
		end.hash = [sha256.Size]byte(hash)
		return read(end, holder)
	})
}

// changing takes the turn among all who change the registry, and the revision of
// the change. It waits for it but a moment, for appends wait behind it.
func (s *postgresSession) changing(*tx) error {
	s.queued.Queue(`SET LOCAL lock_timeout = 200`)
	_, err := s.exec(`UPDATE registry_revision SET revision = revision + 1`)
	var told *pgconn.PgError
	if errors.As(err, &told) && told.Code == "55P03" {
		return errNoTurn
	}
	return err
}

func (s *postgresSession) record(t *tx, r *ledgerRow) error {
	if err := s.days.ensure(r.timeMax); err != nil {
		return err
	}
	s.queued.Queue(`INSERT INTO ledger_batch (first_seq, count, time_min, time_max, previous, last, marks, lines)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		r.first, r.count, r.timeMin, r.timeMax, r.previous, r.last, r.marks, r.lines)
	s.queued.Queue(`UPDATE ledger_chain SET seq = $1, hash = $2 WHERE id = $3`, t.head.seq, t.head.hash[:], s.chain)
	return nil
}

func (s *postgresSession) commit(t *tx) error {
	if s.unjudged {
		if err := s.flush(); err != nil {
			return err
		}
	}
	s.announce(t.changes)
	s.warned.Store(false)
	word := ""
	s.queued.Queue("COMMIT").Exec(func(tag pgconn.CommandTag) error {
		word = tag.String()
		return nil
	})
	err := s.flush()
	switch {
	case err != nil && s.conn == nil:
		return &doubt{err}
	case err != nil:
		return err // of a statement: the transaction is over without a trace
	case s.warned.Load():
		s.drop()
		return &doubt{errNotReplicated}
	case word != "COMMIT":
		return fmt.Errorf("the database answered COMMIT with %s", word)
	}
	if t.first != 0 {
		s.acknowledged = t.head
	}
	return nil
}

// announce writes what is changed for the other replicas, and wakes them.
func (s *postgresSession) announce(changes []Change) {
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

func (s *postgresSession) rollback() {
	s.queued, s.unjudged = pgx.Batch{}, false
	if s.conn == nil {
		return
	}
	if _, err := s.exec("ROLLBACK"); err != nil {
		s.drop()
	}
}

// settle waits until the session that sent the COMMIT is over, by the lock that it
// holds, and looks for the batch. What is found must have reached the standbys, too,
// before anybody is told of it: a commit of its own, of that lock, proves that.
func (s *postgresSession) settle(t *tx) (committed bool, err error) {
	if err := s.open(); err != nil {
		return false, err
	}
	if t.first == 0 {
		return false, nil // it recorded nothing, and can be tried again
	}
	s.queued = pgx.Batch{}
	s.queued.Queue("BEGIN ISOLATION LEVEL READ COMMITTED")
	s.queueEnd(ledger.ChainOf(t.first), func(head, string) error { return nil })
	err = s.list(`SELECT last FROM ledger_batch WHERE first_seq = $1`, []any{t.first}, func(scan func(...any) error) error {
		var last []byte
		err := scan(&last)
		committed = bytes.Equal(last, t.head.hash[:])
		return err
	})
	if err != nil {
		s.rollback()
		return false, err
	}
	if err := s.commit(&tx{}); err != nil {
		s.rollback()
		if doubtful := (*doubt)(nil); errors.As(err, &doubtful) {
			err = &broken{doubtful.cause}
		}
		return false, err
	}
	if committed {
		s.acknowledged = t.head
	}
	return committed, nil
}

// passing: a lost connection, a server that starts, stops or changes places, a lock
// that was not to be had.
func (s *postgresSession) passing(err error) bool {
	var told *pgconn.PgError
	var gone *broken
	if doubtful := (*doubt)(nil); errors.As(err, &doubtful) {
		return false
	}
	if errors.As(err, &told) {
		return isLost(err) || slices.Contains([]string{"40001", "40P01", "55P03", "25006", "53300"}, told.Code)
	}
	return errors.As(err, &gone) || errors.Is(err, errUsurped) || errors.Is(err, errLost)
}

// isLost tells whether err is that a connection is no more. One that cannot be made
// is another matter: to try that again at once is to storm a database in trouble.
func isLost(err error) bool {
	var told *pgconn.PgError
	var dialed *pgconn.ConnectError
	if errors.As(err, &dialed) {
		return false
	}
	if errors.As(err, &told) {
		return slices.Contains([]string{"57P01", "57P02", "57P03", "25P03"}, told.Code) || strings.HasPrefix(told.Code, "08")
	}
	var network *net.OpError
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, driver.ErrBadConn) || errors.As(err, &network)
}

// isUnstorable tells whether err is that a text has octets that PostgreSQL takes for none.
func isUnstorable(err error) bool {
	var told *pgconn.PgError
	return errors.As(err, &told) && told.Code == "22021"
}

func (s *postgresSession) exec(query string, args ...any) (changed int64, err error) {
	s.queued.Queue(query, args...).Exec(func(tag pgconn.CommandTag) error {
		changed = tag.RowsAffected()
		return nil
	})
	return changed, s.flush()
}

// sentTogether bounds what is sent before an answer is read.
const sentTogether = 256

func (s *postgresSession) later(judge func(changed int64) error, query string, args ...any) error {
	s.queued.Queue(query, args...).Exec(func(tag pgconn.CommandTag) error { return judge(tag.RowsAffected()) })
	if s.unjudged = s.queued.Len() < sentTogether; s.unjudged {
		return nil
	}
	return s.flush()
}

func (s *postgresSession) row(query string, args, dest []any) error {
	s.queued.Queue(query, args...).QueryRow(func(row pgx.Row) error { return row.Scan(dest...) })
	return s.flush()
}

func (s *postgresSession) list(query string, args []any, scan func(scan func(...any) error) error) error {
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

// flush sends what is queued, and reads all answers.
func (s *postgresSession) flush() error {
	if s.conn == nil {
		return &broken{errors.New("the connection was lost")}
	}
	batch := s.queued
	s.queued, s.unjudged = pgx.Batch{}, false
	err := s.conn.SendBatch(context.Background(), &batch).Close()
	var told *pgconn.PgError
	switch {
	case err == nil, errors.Is(err, sql.ErrNoRows):
		return err
	case errors.As(err, &told):
		if told.SeverityUnlocalized != "ERROR" {
			s.drop()
		}
		return err
	case s.conn.IsClosed():
		s.drop()
		return &broken{err}
	}
	return err
}

// drop closes the connection, which must not take longer than the network does.
func (s *postgresSession) drop() {
	if s.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), writePatience)
	defer cancel()
	_ = s.conn.Close(ctx)
	s.conn = nil
}
