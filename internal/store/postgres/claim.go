package postgres

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"moneyer/internal/ledger"
)

// writeSettings returns settings with which the server ends a session that has lost its
// client, but never a commit that waits for its standbys.
func writeSettings() map[string]string {
	return map[string]string{
		"statement_timeout":                   "0",
		"lock_timeout":                        "1000",
		"idle_in_transaction_session_timeout": "2000",
		"idle_session_timeout":                "0", // sessions are kept
		"synchronous_commit":                  "on",
		"tcp_keepalives_idle":                 "5",
		"tcp_keepalives_interval":             "2",
		"tcp_keepalives_count":                "3",
		"tcp_user_timeout":                    "11000", // for unacknowledged data, which keepalives do not cover
	}
}

func (s *session) open() error {
	if s.changed.Load() {
		return ErrChainChanged
	}
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

// connect opens a connection, and ends the previous session if that waits for its client:
// in an open transaction it would keep the lock on the chain until the server notices
// that the connection is lost. A session that commits is not ended.
func (s *session) connect() error {
	settings := writeSettings()
	settings["application_name"] = "moneyer writer " + s.holder
	conn, warned, err := s.url.dial(context.Background(), settings)
	if err != nil {
		return err
	}
	s.conn, s.warned, s.queued = conn, warned, pgx.Batch{}
	if s.before {
		_, err = s.Exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE application_name = $1 AND wait_event_type = 'Client' AND pid <> pg_backend_pid()`, settings["application_name"])
	}
	if s.before = true; s.conn == nil {
		return err
	}
	return nil // without the right to end sessions, it waits for the server to do it
}

// claim takes a chain that no replica writes, or creates one.
func (s *session) claim() error {
	var end ledger.Head
	var hash []byte
	to := []any{&s.chain, &end.Seq, &hash}
	err := s.Row(`UPDATE ledger_chain SET holder = $1 WHERE id = (
			SELECT id FROM ledger_chain AS free
			WHERE holder = $1 OR NOT EXISTS (SELECT FROM replica WHERE replica.id = free.holder AND NOT has_left AND seen > now() - interval '1 minute')
			ORDER BY holder = $1 DESC, id LIMIT 1 FOR UPDATE SKIP LOCKED)
		RETURNING id, seq, hash`, []any{s.holder}, to)
	if errors.Is(err, sql.ErrNoRows) {
		err = s.Row(`INSERT INTO ledger_chain (id, holder, seq, hash)
			SELECT id, $1, id << 40, $2 FROM (SELECT coalesce(max(id), -1) + 1 AS id FROM ledger_chain) AS next
			WHERE id <= $3 ON CONFLICT DO NOTHING RETURNING id, seq, hash`, []any{s.holder, make([]byte, sha256.Size), ledger.MaxChain}, to)
	}
	if errors.Is(err, sql.ErrNoRows) {
		return errChainTaken // another replica created that chain at the same time
	}
	if err == nil && len(hash) != sha256.Size {
		err = errChainBroken
	}
	if err == nil {
		copy(end.Hash[:], hash)
		err = s.compare(end)
	}
	if err != nil {
		return fmt.Errorf("claiming a chain of the ledger: %w", err)
	}
	s.held, s.found, s.acknowledged, s.unsure = true, end.Seq, end, ledger.Head{}
	return nil
}

// compare returns an error unless the end of a claimed chain comes after what this replica
// wrote to it earlier. Another replica may have written it since.
func (s *session) compare(end ledger.Head) error {
	wrote := s.acknowledged
	switch {
	case ledger.ChainOf(wrote.Seq) != s.chain || ledger.PlaceOf(wrote.Seq) == 0 || end == wrote:
		return nil
	case end.Seq < wrote.Seq:
		s.rolledBack.Store(true)
		return ErrRolledBack
	}
	var first, count int64
	var last []byte
	err := s.Row(`SELECT first_seq, count, last FROM ledger_batch WHERE first_seq > $1 AND first_seq <= $2 ORDER BY first_seq DESC LIMIT 1`,
		[]any{ledger.Numbered(s.chain, 0), wrote.Seq}, []any{&first, &count, &last})
	switch {
	case errors.Is(err, sql.ErrNoRows) && end.Seq > wrote.Seq: // it was pruned
		return nil
	case err != nil && !errors.Is(err, sql.ErrNoRows):
		return err
	case end.Seq == wrote.Seq, first+count-1 != wrote.Seq, !bytes.Equal(last, wrote.Hash[:]):
		s.changed.Store(true)
		return ErrChainChanged
	}
	return nil
}

// Leave releases the chain for the next replica that starts.
func (s *session) Leave() {
	if s.conn != nil && s.held {
		_, _ = s.Exec(`UPDATE ledger_chain SET holder = '' WHERE id = $1 AND holder = $2`, s.chain, s.holder)
		_, _ = s.Exec(`UPDATE replica SET has_left = true WHERE id = $1`, s.holder)
	}
	s.drop()
}
