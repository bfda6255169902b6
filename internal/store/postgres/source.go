package postgres

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"moneyer/internal/ledger"
	"moneyer/internal/store/engine"
	"moneyer/internal/store/transfer"
)

// Source is a database that is the source of a copy. It implements transfer.Source.
type Source struct {
	db    *sql.DB
	conn  *sql.Conn
	point *transfer.Point
}

// OpenSource begins a transaction with a snapshot of the database, until Release is called.
// It blocks nothing except the removal of old entries of the ledger.
func OpenSource(ctx context.Context, u *URL) (*Source, error) {
	db, conn, err := connWithoutTimeouts(ctx, u)
	if err != nil {
		return nil, err
	}
	s := &Source{db: db, conn: conn}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Source) open(ctx context.Context) error {
	for _, statement := range []string{
		fmt.Sprintf("SELECT pg_advisory_lock_shared(%d)", lockOldEntries),
		"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
	} {
		if err := s.exec(ctx, statement); err != nil {
			return err
		}
	}
	if err := s.checkSchema(ctx); err != nil {
		return err
	}
	return s.readPoint(ctx)
}

func (s *Source) checkSchema(ctx context.Context) error {
	steps, err := readSteps(migrations)
	if err != nil {
		return err
	}
	var there bool
	if err := s.conn.QueryRowContext(ctx, `SELECT to_regclass('schema_version') IS NOT NULL`).Scan(&there); err != nil {
		return err
	}
	if !there {
		return errors.New("it holds no store of Moneyer")
	}
	var version, oldest int
	if err := s.conn.QueryRowContext(ctx, `SELECT version, oldest FROM schema_version`).Scan(&version, &oldest); err != nil {
		return err
	}
	if version > len(steps) { // this program would not copy newer tables
		return fmt.Errorf("its schema has version %d, and this program copies version %d: use the newer program", version, len(steps))
	}
	if err := engine.CheckVersion(version, oldest, len(steps)); err != nil {
		return err
	}
	return refuseUnfinished(ctx, s.conn)
}

func (s *Source) readPoint(ctx context.Context) error {
	p, err := transfer.ReadPoint(ctx, s.conn)
	if err != nil {
		return err
	}
	if p.Heads, err = chainEnds(ctx, s.conn); err != nil {
		return err
	}
	var used int64
	err = s.conn.QueryRowContext(ctx, `SELECT count(*) FROM use_up WHERE until > $1`, p.Forgotten*1000).Scan(&used)
	p.Counts["use_up"], s.point = used, p
	return err
}

func (s *Source) exec(ctx context.Context, query string) error {
	_, err := s.conn.ExecContext(ctx, query)
	return err
}

// Querier implements transfer.Source.
func (s *Source) Querier() transfer.Querier { return s.conn }

// Point implements transfer.Source.
func (s *Source) Point() *transfer.Point { return s.point }

// UsedTwice implements transfer.Source.
func (s *Source) UsedTwice() bool { return false }

// EachUsed implements transfer.Source.
func (s *Source) EachUsed(ctx context.Context, visit func(key engine.Key, until int64, sealed []byte) error) error {
	return transfer.EachUsed(ctx, s.conn, "", s.point.Forgotten, visit)
}

// Release implements transfer.Source. It ends the transaction.
func (s *Source) Release(ctx context.Context) error { return s.exec(ctx, "COMMIT") }

// Close implements transfer.Source. It unlocks explicitly: the server may notice a closed
// connection late.
func (s *Source) Close() error {
	ctx := context.Background()
	return errors.Join(s.exec(ctx, "ROLLBACK"), s.exec(ctx, "SELECT pg_advisory_unlock_all()"), s.conn.Close(), s.db.Close())
}

// removeTimeouts sets no time limits, whatever the database's own settings are.
func removeTimeouts(config *pgx.ConnConfig) {
	for _, timeout := range []string{"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout"} {
		config.RuntimeParams[timeout] = "0"
	}
}

// connWithoutTimeouts opens one connection on which statements have no time limit.
func connWithoutTimeouts(ctx context.Context, u *URL) (*sql.DB, *sql.Conn, error) {
	config := u.config.Copy()
	removeTimeouts(config)
	config.RuntimeParams["application_name"] = "moneyer store"
	db := stdlib.OpenDB(*config)
	db.SetConnMaxIdleTime(time.Minute)
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, nil, errors.Join(unavailable(err), db.Close())
	}
	return db, conn, nil
}

// unfinished reports whether a database is an incomplete copy.
func unfinished(ctx context.Context, q transfer.Querier) (there bool, err error) {
	err = q.QueryRowContext(ctx, `SELECT to_regclass($1) IS NOT NULL`, transfer.Unfinished).Scan(&there)
	return there, err
}

func refuseUnfinished(ctx context.Context, q transfer.Querier) error {
	there, err := unfinished(ctx, q)
	if err == nil && there {
		err = engine.ErrUnfinished
	}
	return err
}

// chainEnds reads the heads that a database keeps.
func chainEnds(ctx context.Context, q transfer.Querier) (heads []ledger.Head, err error) {
	found, err := q.QueryContext(ctx, `SELECT seq, hash FROM ledger_chain ORDER BY id`)
	if err != nil {
		return nil, err
	}
	defer func() { _ = found.Close() }()
	for found.Next() {
		var h ledger.Head
		var hash []byte
		if err := found.Scan(&h.Seq, &hash); err != nil {
			return nil, err
		}
		if len(hash) != sha256.Size {
			return nil, errChainBroken
		}
		h.Hash = [sha256.Size]byte(hash)
		heads = append(heads, h)
	}
	return heads, found.Err()
}
