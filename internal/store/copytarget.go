package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"moneyer/internal/ledger"
)

// copyTarget is the store that is written: SQLite or PostgreSQL.
type copyTarget struct {
	db    *sql.DB
	conn  *sql.Conn
	file  bool
	days  *partitions // of PostgreSQL's ledger
	close func() error
}

// openTarget opens the store at url for nothing but a copy, and makes its schema.
func openTarget(ctx context.Context, url string) (*copyTarget, error) {
	path, u, err := whereOf(url)
	switch {
	case err != nil:
		return nil, err
	case u == nil:
		return holdTargetFile(ctx, path)
	default:
		return openTargetDatabase(ctx, u)
	}
}

func holdTargetFile(ctx context.Context, path string) (*copyTarget, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	unlock, err := hold(path + ".lock")
	if err != nil {
		return nil, err
	}
	t, err := openTargetFile(ctx, path)
	if err != nil {
		return nil, errors.Join(err, unlock())
	}
	closeFile := t.close
	t.close = func() error { return errors.Join(closeFile(), unlock()) }
	return t, nil
}

// openTargetFile opens a file that nobody else knows of, or whose lock is held.
func openTargetFile(ctx context.Context, path string) (*copyTarget, error) {
	db, err := sqlitePool(path, 2, "synchronous(NORMAL)", "cache_size(-65536)", "wal_autocheckpoint(4096)")
	if err != nil {
		return nil, err
	}
	if err := migrate(ctx, db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &copyTarget{db: db, conn: conn, file: true, close: func() error { return errors.Join(conn.Close(), db.Close()) }}, nil
}

func openTargetDatabase(ctx context.Context, u *postgresURL) (*copyTarget, error) {
	if err := preparePostgres(ctx, u, migrations); err != nil {
		return nil, err
	}
	db, conn, err := patientConn(ctx, u)
	if err != nil {
		return nil, err
	}
	t := &copyTarget{db: db, conn: conn, days: &partitions{url: u, days: map[int64]bool{}},
		close: func() error { return errors.Join(conn.Close(), db.Close()) }}
	var alone bool
	err = conn.QueryRowContext(ctx, fmt.Sprintf("SELECT pg_try_advisory_lock(%d)", lockCopy)).Scan(&alone)
	if err == nil && !alone {
		err = errors.New("another copy is being made into it")
	}
	if err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

// lockCopy is the advisory lock of whoever copies into a database.
const lockCopy = 7305815

// errUnfinished tells that a store is half of a copy.
var errUnfinished = errors.New("it holds an unfinished copy of another store: run `moneyer store copy` again to its end")

// unfinished is the table that is there as long as a store is no whole copy. It keeps
// the mark of the point that is copied.
const unfinished = "unfinished_copy"

func refuseUnfinishedFile(ctx context.Context, q querier) error {
	return refuseUnfinished(ctx, q, `SELECT count(*) FROM sqlite_master WHERE name = '`+unfinished+`'`)
}

func refuseUnfinishedDatabase(ctx context.Context, q querier) error {
	return refuseUnfinished(ctx, q, `SELECT count(to_regclass('`+unfinished+`'))`)
}

func refuseUnfinished(ctx context.Context, q querier, query string) error {
	var there int
	err := q.QueryRowContext(ctx, query).Scan(&there)
	if err == nil && there > 0 {
		err = errUnfinished
	}
	return err
}

// prepare makes sure that the target is empty, or has a part of the same copy.
func (t *copyTarget) prepare(ctx context.Context, mark string) (resumed bool, err error) {
	check := refuseUnfinishedDatabase
	if t.file {
		check = refuseUnfinishedFile
	}
	if err := check(ctx, t.conn); errors.Is(err, errUnfinished) {
		return true, t.resume(ctx, mark)
	} else if err != nil {
		return false, err
	}
	if err := t.empty(ctx); err != nil {
		return false, err
	}
	err = t.transact(ctx, func(q querier) error {
		if _, err := q.ExecContext(ctx, `CREATE TABLE `+unfinished+` (mark TEXT NOT NULL)`); err != nil {
			return err
		}
		_, err := q.ExecContext(ctx, `INSERT INTO `+unfinished+` (mark) VALUES ($1)`, mark)
		return err
	})
	if err != nil {
		return false, err
	}
	if err := t.unserved(ctx); err != nil {
		_, undo := t.conn.ExecContext(ctx, `DROP TABLE `+unfinished)
		return false, errors.Join(err, undo)
	}
	return false, nil
}

// resume refuses to go on with another copy.
func (t *copyTarget) resume(ctx context.Context, mark string) error {
	var begun string
	if err := t.conn.QueryRowContext(ctx, `SELECT mark FROM `+unfinished).Scan(&begun); err != nil {
		return err
	}
	if begun != mark {
		return errors.New("it holds an unfinished copy of another store, or of this one before it changed: begin again with an empty one")
	}
	return t.unserved(ctx)
}

func (t *copyTarget) empty(ctx context.Context) error {
	for _, table := range append(registryTables(), usedTable(), ledgerTable()) {
		var there bool
		if err := t.conn.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM `+table.name+`)`).Scan(&there); err != nil {
			return err
		}
		if there {
			return fmt.Errorf("it is not empty: %s has rows", table.name)
		}
	}
	return nil
}

// unserved refuses a database that a replica serves. A replica that starts says so
// before it looks for the mark, so one of both sees the other.
func (t *copyTarget) unserved(ctx context.Context) error {
	if t.file {
		return nil
	}
	var up int
	err := t.conn.QueryRowContext(ctx, `SELECT count(*) FROM replica WHERE seen > now() - interval '1 minute'`).Scan(&up)
	if err == nil && up > 0 {
		err = fmt.Errorf("%d replicas serve it, or did a minute ago: stop them", up)
	}
	return err
}

func (t *copyTarget) transact(ctx context.Context, change func(querier) error) error {
	tx, err := t.conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := change(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// put writes rows, all or none; those that are there already stay as they are.
func (t *copyTarget) put(ctx context.Context, r *rows) error {
	if r.n == 0 {
		return nil
	}
	var err error
	if t.file {
		err = t.transact(ctx, func(q querier) error { return putOneByOne(ctx, q, r) })
	} else {
		err = t.putAtOnce(ctx, r)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", r.table.name, err)
	}
	return nil
}

// putAtOnce takes one statement for all rows.
func (t *copyTarget) putAtOnce(ctx context.Context, r *rows) error {
	lists, args := make([]string, len(r.columns)), make([]any, len(r.columns))
	for i := range r.columns {
		lists[i] = fmt.Sprintf("$%d::%s[]", i+1, r.columns[i].kind)
		args[i] = r.columns[i].all()
		if r.table.columns[i].name == "time_max" {
			for _, at := range r.columns[i].numbers {
				if err := t.days.ensure(at); err != nil {
					return err
				}
			}
		}
	}
	_, err := t.conn.ExecContext(ctx, fmt.Sprintf(`INSERT INTO %s (%s) SELECT * FROM unnest(%s) ON CONFLICT DO NOTHING`,
		r.table.name, r.table.names(r.table.columns), strings.Join(lists, ", ")), args...)
	return err
}

// putOneByOne prepares a statement for one row: SQLite is in this process.
func putOneByOne(ctx context.Context, q querier, r *rows) error {
	query := fmt.Sprintf(`INSERT INTO %s (%s) VALUES (%s) ON CONFLICT DO NOTHING`,
		r.table.name, r.table.names(r.table.columns), parameters(len(r.columns)))
	for i := range r.n {
		if _, err := q.ExecContext(ctx, query, r.row(i, len(r.columns))...); err != nil {
			return err
		}
	}
	return nil
}

// finish makes a store of the whole copy.
func (t *copyTarget) finish(ctx context.Context, p *point) error {
	err := t.transact(ctx, func(q querier) error {
		if _, err := q.ExecContext(ctx, `UPDATE used_forgotten SET at = $1`, p.forgotten); err != nil {
			return err
		}
		if !t.file {
			if err := putHeads(ctx, q, p.heads); err != nil {
				return err
			}
		}
		_, err := q.ExecContext(ctx, `DROP TABLE `+unfinished)
		return err
	})
	if err != nil || !t.file {
		return err
	}
	// One file, with nothing beside it, of which no other connection may know then.
	t.db.SetMaxIdleConns(0)
	_, err = t.conn.ExecContext(ctx, `PRAGMA journal_mode = DELETE`)
	return err
}

// putHeads writes the ends of the chains, for replicas to go on with. And it lets
// the revision begin at an instant: a replica that remembers what was in the database
// before must not find the revision there that it has heard of.
func putHeads(ctx context.Context, q querier, heads []ledger.Head) error {
	for _, h := range heads {
		_, err := q.ExecContext(ctx, `INSERT INTO ledger_chain (id, holder, seq, hash) VALUES ($1, '', $2, $3)
			ON CONFLICT (id) DO UPDATE SET holder = '', seq = excluded.seq, hash = excluded.hash`, ledger.ChainOf(h.Seq), h.Seq, h.Hash[:])
		if err != nil {
			return fmt.Errorf("ledger_chain: %w", err)
		}
	}
	_, err := q.ExecContext(ctx, `UPDATE registry_revision SET (revision, gone) =
		(SELECT greatest(revision, at), greatest(revision, at) FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS at) AS now)`)
	return err
}

// usedCount tells how many used-up assertions there are. A copy of a file has those that
// left something behind twice, as the file has.
func (t *copyTarget) usedCount(ctx context.Context, ofFile bool) (n int64, err error) {
	table := usedTable()
	if n, err = table.count(ctx, t.conn); err != nil || !t.file {
		return n, err
	}
	var packed int64
	err = t.conn.QueryRowContext(ctx, `SELECT coalesce(sum(length(keys) / $1), 0) FROM used_batch`, usedSize).Scan(&packed)
	if ofFile {
		return packed, err
	}
	return n + packed, err
}

// packedAtOnce are the assertions of one row of used_batch.
const packedAtOnce = 1024

// usedWriter writes used-up assertions as the target keeps them.
type usedWriter struct {
	target     *copyTarget
	left, pack *rows
	minutes    map[int64][]byte // packed, those of one minute together
	tables     [2]table
	row        int64
}

func newUsedWriter(target *copyTarget) *usedWriter {
	w := &usedWriter{target: target, minutes: map[int64][]byte{}, tables: [2]table{usedTable(), packedTable()}}
	w.left, w.pack = newRows(&w.tables[0]), newRows(&w.tables[1])
	return w
}

// put takes an assertion.
func (w *usedWriter) put(ctx context.Context, key usedKey, until int64, sealed []byte) error {
	if !w.target.file || len(sealed) > 0 {
		w.left.add(key[:], until, sealed)
	} else {
		second := ceilSecond(time.UnixMilli(until))
		minute := int64(second)/60 + 1
		w.minutes[minute] = appendUsed(w.minutes[minute], key, second)
		if len(w.minutes[minute]) >= packedAtOnce*usedSize {
			w.packMinute(minute)
		}
	}
	if w.left.n < w.tables[0].atOnce && w.pack.n < w.tables[1].atOnce {
		return nil
	}
	return w.flush(ctx)
}

// packMinute makes a row of a minute. The writer's own rows carry the numbers of
// entries; these get numbers below.
func (w *usedWriter) packMinute(minute int64) {
	w.pack.add(minute*60_000, w.row, w.minutes[minute])
	w.row--
	delete(w.minutes, minute)
}

// finish writes what is left.
func (w *usedWriter) finish(ctx context.Context) error {
	for minute := range w.minutes {
		w.packMinute(minute)
	}
	return w.flush(ctx)
}

func (w *usedWriter) flush(ctx context.Context) error {
	err := errors.Join(w.target.put(ctx, w.left), w.target.put(ctx, w.pack))
	w.left, w.pack = newRows(&w.tables[0]), newRows(&w.tables[1])
	return err
}

// forgetUsed removes what a cut copy left: SQLite has no key by which it is found.
func (t *copyTarget) forgetUsed(ctx context.Context) error {
	if !t.file {
		return nil
	}
	_, err := t.conn.ExecContext(ctx, `DELETE FROM used_batch`)
	return err
}

// verify walks the chains of the copy. Where it finds one broken it says so in how,
// if the source is broken in the same way; else that is an error.
func (t *copyTarget) verify(ctx context.Context, source *copySource) (how string, err error) {
	packer, err := newPacker()
	if err != nil {
		return "", err
	}
	d := &DB{reads: newReader(t.db, t.file), packer: packer, maintenance: make(chan struct{}, 1)}
	report, err := d.Verify(ctx, nil)
	if err != nil {
		return "", err
	}
	if report.Broken != 0 {
		broken := &brokenError{seq: report.Broken, how: report.How}
		return broken.Error(), t.sameBatch(ctx, source, report.Broken)
	}
	for _, h := range source.point.heads {
		there := slices.ContainsFunc(report.Chains, func(c ledger.ChainReport) bool { return c.Last == h.Seq && c.Head == h.Hash })
		if !there && ledger.PlaceOf(h.Seq) > 0 {
			return fmt.Sprintf("the entries of chain %d do not lead to its end, which is said to be entry %s",
				ledger.ChainOf(h.Seq), ledger.ShowSeq(h.Seq)), nil
		}
	}
	return "", nil
}

// sameBatch tells whether the copy holds an entry just as the source does.
func (t *copyTarget) sameBatch(ctx context.Context, source *copySource, seq int64) error {
	table := ledgerTable()
	const clause = `WHERE first_seq = (SELECT max(first_seq) FROM ledger_batch WHERE first_seq <= $1)`
	was, err := table.query(ctx, source.q, clause, seq)
	if err != nil {
		return err
	}
	is, err := table.query(ctx, t.conn, clause, seq)
	if err != nil {
		return err
	}
	if !was.equal(is) {
		return errors.New("the copy is not as its source")
	}
	return nil
}
