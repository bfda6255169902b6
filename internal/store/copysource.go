package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5/stdlib"

	"moneyer/internal/ledger"
)

// copySource is the store that is read.
type copySource struct {
	q querier
	// file and used are set for SQLite.
	file *sql.DB
	used *used
	// point is what it holds, all at one instant.
	point *point
	close func() error
}

// point is what a store holds at an instant.
type point struct {
	counts    map[string]int64 // rows by table; of use_up the assertions that may still come again
	heads     []ledger.Head    // of the ledger's chains, in their order
	forgotten int64            // up to when used assertions were forgotten, in Unix seconds
	lastUsed  int64            // the latest time of last use
}

// mark is the same for two points if and only if nothing happened between them.
func (p *point) mark() string {
	return fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "%v %x %d %d", p.counts, p.heads, p.forgotten, p.lastUsed)))
}

// openSource opens the store at url for reading, as it is at this moment.
func openSource(ctx context.Context, url string) (*copySource, error) {
	path, u, err := whereOf(url)
	switch {
	case err != nil:
		return nil, err
	case u == nil:
		return openSourceFile(ctx, path)
	default:
		return openSourceDatabase(ctx, u)
	}
}

// openSourceFile holds the file, so that nobody writes it meanwhile, and changes
// nothing in it.
func openSourceFile(ctx context.Context, path string) (s *copySource, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); err != nil { // before a lock is made beside it
		return nil, err
	}
	unlock, err := hold(path + ".lock")
	if err != nil {
		return nil, err
	}
	reads, err := readOnly(path)
	if err != nil {
		return nil, errors.Join(err, unlock())
	}
	s = &copySource{q: reads, file: reads, close: func() error { return errors.Join(reads.Close(), unlock()) }}
	if err = s.checkFile(ctx); err == nil {
		if s.used, err = loadUsed(ctx, newReader(reads, true)); err == nil {
			err = s.readPoint(ctx)
		}
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *copySource) checkFile(ctx context.Context) error {
	version, err := fileVersion(ctx, s.q)
	if err != nil {
		return err
	}
	known, err := fileSteps()
	if err != nil {
		return err
	}
	if version != len(known) {
		return fmt.Errorf("its schema has version %d, and this program copies version %d: bring it forward with `moneyer store migrate`, or use a newer program", version, len(known))
	}
	return refuseUnfinishedFile(ctx, s.q)
}

// openSourceDatabase begins a transaction that sees the database as it is now, until
// release is called. It holds nobody up.
func openSourceDatabase(ctx context.Context, u *postgresURL) (*copySource, error) {
	db, conn, err := patientConn(ctx, u)
	if err != nil {
		return nil, err
	}
	s := &copySource{q: conn}
	s.close = func() error {
		// The server would see that the connection has gone, but who knows when.
		ctx := context.WithoutCancel(ctx)
		return errors.Join(s.exec(ctx, "ROLLBACK"), s.exec(ctx, "SELECT pg_advisory_unlock_all()"), conn.Close(), db.Close())
	}
	// Whoever removes old entries of the ledger waits until they are copied.
	err = errors.Join(s.exec(ctx, fmt.Sprintf("SELECT pg_advisory_lock_shared(%d)", lockOldEntries)),
		s.exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"))
	if err == nil {
		if err = s.checkDatabase(ctx); err == nil {
			err = s.readPoint(ctx)
		}
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *copySource) checkDatabase(ctx context.Context) error {
	steps, err := postgresSteps(migrations)
	if err != nil {
		return err
	}
	var there bool
	if err := s.q.QueryRowContext(ctx, `SELECT to_regclass('schema_version') IS NOT NULL`).Scan(&there); err != nil {
		return err
	}
	if !there {
		return errors.New("it holds no store of Moneyer")
	}
	var version, oldest int
	if err := s.q.QueryRowContext(ctx, `SELECT version, oldest FROM schema_version`).Scan(&version, &oldest); err != nil {
		return err
	}
	if version > len(steps) { // it may hold what this program would leave behind
		return fmt.Errorf("its schema has version %d, and this program copies version %d: use the newer program", version, len(steps))
	}
	if err := checkVersion(version, oldest, len(steps)); err != nil {
		return err
	}
	return refuseUnfinishedDatabase(ctx, s.q)
}

// patientConn is one connection on which a statement may take as long as it takes.
func patientConn(ctx context.Context, u *postgresURL) (*sql.DB, *sql.Conn, error) {
	config := u.config.Copy()
	for _, timeout := range []string{"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"} {
		config.RuntimeParams[timeout] = "0"
	}
	config.RuntimeParams["application_name"] = "moneyer store"
	db := stdlib.OpenDB(*config)
	db.SetConnMaxIdleTime(time.Minute)
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, nil, errors.Join(unavailable(err), db.Close())
	}
	return db, conn, nil
}

// fileVersion reads the version of a file's schema.
func fileVersion(ctx context.Context, q querier) (version int, err error) {
	err = q.QueryRowContext(ctx, `SELECT version FROM schema_version`).Scan(&version)
	return version, err
}

func (s *copySource) exec(ctx context.Context, query string) error {
	_, err := s.q.ExecContext(ctx, query)
	return err
}

// release ends the transaction. What is read after it, the batches of the ledger up
// to the heads of the point, never changes.
func (s *copySource) release(ctx context.Context) error {
	if s.file != nil {
		return nil
	}
	return s.exec(ctx, "COMMIT")
}

func (s *copySource) readPoint(ctx context.Context) (err error) {
	p := &point{counts: map[string]int64{}}
	for _, t := range append(registryTables(), ledgerTable()) {
		if p.counts[t.name], err = t.count(ctx, s.q); err != nil {
			return err
		}
	}
	if err = s.q.QueryRowContext(ctx, `SELECT at FROM used_forgotten`).Scan(&p.forgotten); err != nil {
		return err
	}
	if err = s.q.QueryRowContext(ctx, `SELECT coalesce(max(at), 0) FROM last_used`).Scan(&p.lastUsed); err != nil {
		return err
	}
	s.point = p
	if s.file != nil {
		p.counts["use_up"] = s.used.size.Load()
		p.heads, err = lastBatches(ctx, s.file)
		return err
	}
	if p.heads, err = chainEnds(ctx, s.q); err != nil {
		return err
	}
	var used int64
	err = s.q.QueryRowContext(ctx, `SELECT count(*) FROM use_up WHERE until > $1`, p.forgotten*1000).Scan(&used)
	p.counts["use_up"] = used
	return err
}

// eachUsed visits the used-up assertions that may still come again, until in Unix
// milliseconds. Those that left something behind in a file are visited a second time,
// without it, as the file has them twice.
func (s *copySource) eachUsed(ctx context.Context, visit func(key usedKey, until int64, sealed []byte) error) error {
	t, only := usedTable(), ""
	if s.file != nil {
		only = "AND length(sealed) > 0"
	}
	clause := fmt.Sprintf("WHERE until > $1 AND key > $2 %s ORDER BY key LIMIT %d", only, t.atOnce)
	for after := any([]byte{}); ; {
		some, err := t.query(ctx, s.q, clause, s.point.forgotten*1000, after)
		if err != nil {
			return err
		}
		if err := some.eachUsed(visit); err != nil {
			return err
		}
		if some.n < t.atOnce {
			break
		}
		after = some.columns[0].at(some.n - 1)
	}
	if s.file == nil {
		return nil
	}
	return s.used.each(func(key usedKey, until uint32) error { return visit(key, int64(until)*1000, nil) })
}

// eachUsed visits the rows of use_up.
func (r *rows) eachUsed(visit func(key usedKey, until int64, sealed []byte) error) error {
	keys, untils, sealed := r.columns[0].octets, r.columns[1].numbers, r.columns[2].octets
	for i := range r.n {
		if len(keys[i]) < len(usedKey{}) {
			return errors.New("a row of use_up is broken")
		}
		if err := visit(usedKey(keys[i]), untils[i], sealed[i]); err != nil {
			return err
		}
	}
	return nil
}

// chainEnds reads the heads that a database keeps.
func chainEnds(ctx context.Context, q querier) (heads []ledger.Head, err error) {
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

// lastBatches finds the heads by the last batch of each chain.
func lastBatches(ctx context.Context, reads *sql.DB) (heads []ledger.Head, err error) {
	chains, err := (&DB{reads: newReader(reads, true)}).chains(ctx)
	for i := range chains {
		heads = append(heads, chains[i].head)
	}
	return heads, err
}
