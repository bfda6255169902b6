package transfer

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"moneyer/internal/ledger"
	"moneyer/internal/store/engine"
	"moneyer/internal/store/history"
)

// Report is the contents of a copy.
type Report struct {
	// Rows has the number of rows of each table of the copy, in the order of copying.
	Rows []Copied
	// Heads are the ends of the ledger's chains, the same as those of the source.
	Heads []ledger.Head
	// Resumed means that an interrupted copy was resumed.
	Resumed bool
	// Broken says how the ledger is broken, in the source and in the copy. It is empty if
	// the ledger is intact.
	Broken string
}

// Copied is the number of rows of a table.
type Copied struct {
	Table string
	Rows  int64
}

// Options of a copy. The zero value is good.
type Options struct {
	// Progress, if not nil, is called with the number of copied rows of a table.
	Progress func(table string, done, total int64)
	// SkipVerify leaves the ledger of the copy unverified.
	SkipVerify bool
}

// Copy copies source into target. It resumes an interrupted copy, unless the source was
// changed.
func Copy(ctx context.Context, source Source, target Target, o Options) (Report, error) {
	if o.Progress == nil {
		o.Progress = func(string, int64, int64) {}
	}
	c := &copying{source: source, target: target, point: source.Point(), progress: o.Progress, walk: !o.SkipVerify}
	err := c.run(ctx)
	return c.report, err
}

// copying is a running copy.
type copying struct {
	source   Source
	target   Target
	point    *Point // of the source
	progress func(table string, done, total int64)
	walk     bool // whether the ledger of the copy is verified
	report   Report
}

// run copies the tables that change first, so that the snapshot of the source is released
// early: entries of the ledger do not change.
func (c *copying) run(ctx context.Context) (err error) {
	if c.report.Resumed, err = c.prepare(ctx); err != nil {
		return err
	}
	for _, t := range RegistryTables() {
		if err := c.table(ctx, &t); err != nil {
			return err
		}
	}
	if err := c.used(ctx); err != nil {
		return err
	}
	if err := c.source.Release(ctx); err != nil {
		return err
	}
	if err := c.ledger(ctx); err != nil {
		return err
	}
	if err := c.count(ctx); err != nil {
		return err
	}
	if c.walk {
		if c.report.Broken, err = c.verify(ctx); err != nil {
			return err
		}
	}
	c.report.Heads = c.point.Heads
	return c.finish(ctx)
}

// table copies the rows after the greatest key in the target.
func (c *copying) table(ctx context.Context, t *Table) error {
	done, err := t.Count(ctx, c.target.Conn())
	if err != nil {
		return err
	}
	after, err := t.greatest(ctx, c.target.Conn())
	if err != nil {
		return err
	}
	for {
		c.progress(t.Name, done, c.point.Counts[t.Name])
		some, err := t.Read(ctx, c.source.Querier(), after)
		if err != nil {
			return err
		}
		if err := c.put(ctx, some); err != nil {
			return err
		}
		done += int64(some.N)
		if some.N < t.AtOnce {
			c.progress(t.Name, done, c.point.Counts[t.Name])
			return nil
		}
		after = some.lastKey()
	}
}

func (c *copying) put(ctx context.Context, r *Rows) error {
	if r.N == 0 {
		return nil
	}
	if err := c.target.Put(ctx, r); err != nil {
		return fmt.Errorf("%s: %w", r.Table.Name, err)
	}
	return nil
}

// progressEvery is the number of consumed values between calls of progress.
const progressEvery = 1024

// used copies the consumed values, all of them again if the copy is resumed.
func (c *copying) used(ctx context.Context) error {
	if err := c.target.ForgetUsed(ctx); err != nil {
		return err
	}
	done, total := int64(0), c.point.Counts["use_up"]
	err := c.source.EachUsed(ctx, func(key engine.Key, until int64, sealed []byte) error {
		if done++; done%progressEvery == 0 {
			c.progress("use_up", min(done, total), total)
		}
		return c.target.PutUsed(ctx, key, until, sealed)
	})
	if err == nil {
		err = c.target.FlushUsed(ctx)
	}
	c.progress("use_up", min(done, total), total)
	return err
}

// ledger copies the batches of each chain up to its head.
func (c *copying) ledger(ctx context.Context) error {
	t := LedgerTable()
	done, err := t.Count(ctx, c.target.Conn())
	if err != nil {
		return err
	}
	for _, h := range c.point.Heads {
		after, err := c.copied(ctx, h)
		if err != nil {
			return err
		}
		for more := true; more; {
			c.progress(t.Name, done, c.point.Counts[t.Name])
			some, err := t.Query(ctx, c.source.Querier(), fmt.Sprintf("WHERE first_seq > $1 AND first_seq <= $2 ORDER BY first_seq LIMIT %d", t.AtOnce), after, h.Seq)
			if err != nil {
				return err
			}
			if err := c.put(ctx, some); err != nil {
				return err
			}
			done += int64(some.N)
			if more = some.N == t.AtOnce; more {
				after = some.Columns[0].Numbers[some.N-1]
			}
		}
	}
	c.progress(t.Name, done, c.point.Counts[t.Name])
	return nil
}

// copied returns the first entry of the last batch that the target has of a chain.
func (c *copying) copied(ctx context.Context, h ledger.Head) (after int64, err error) {
	begin := ledger.Numbered(ledger.ChainOf(h.Seq), 0)
	err = c.target.Conn().QueryRowContext(ctx, `SELECT coalesce(max(first_seq), $1) FROM ledger_batch WHERE first_seq >= $1 AND first_seq <= $2`, begin, h.Seq).Scan(&after)
	if err != nil {
		return 0, fmt.Errorf("ledger_batch: %w", err)
	}
	return after, nil
}

// count compares the number of rows of each table.
func (c *copying) count(ctx context.Context) error {
	for _, t := range append(RegistryTables(), LedgerTable()) {
		n, err := t.Count(ctx, c.target.Conn())
		if err != nil {
			return err
		}
		if err := c.counted(t.Name, n); err != nil {
			return err
		}
	}
	n, err := c.target.UsedCount(ctx, c.source.UsedTwice())
	if err != nil {
		return err
	}
	return c.counted("use_up", n)
}

func (c *copying) counted(table string, n int64) error {
	if want := c.point.Counts[table]; n != want {
		return fmt.Errorf("the copy has %d rows of %s, and its source %d: begin again with an empty target", n, table, want)
	}
	c.report.Rows = append(c.report.Rows, Copied{table, n})
	return nil
}

// verify verifies the chains of the copy. A broken chain is described by how if the source
// is broken in the same way; otherwise it is an error.
func (c *copying) verify(ctx context.Context) (how string, err error) {
	packer, err := history.NewPacker()
	if err != nil {
		return "", err
	}
	report, err := history.New(c.target.Reads(), packer).Verify(ctx, nil)
	if err != nil {
		return "", fmt.Errorf("ledger: %w", err)
	}
	if report.Broken != 0 {
		broken := &ledger.BrokenError{Seq: report.Broken, How: report.How}
		return broken.Error(), c.sameBatch(ctx, report.Broken)
	}
	for _, h := range c.point.Heads {
		there := slices.ContainsFunc(report.Chains, func(c ledger.ChainReport) bool { return c.Last == h.Seq && c.Head == h.Hash })
		if !there && ledger.PlaceOf(h.Seq) > 0 {
			return fmt.Sprintf("the entries of chain %d do not lead to its end, which is said to be entry %s",
				ledger.ChainOf(h.Seq), ledger.ShowSeq(h.Seq)), nil
		}
	}
	return "", nil
}

// sameBatch returns an error unless the batch of an entry is the same in the copy and the
// source.
func (c *copying) sameBatch(ctx context.Context, seq int64) error {
	table := LedgerTable()
	const clause = `WHERE first_seq = (SELECT max(first_seq) FROM ledger_batch WHERE first_seq <= $1)`
	was, err := table.Query(ctx, c.source.Querier(), clause, seq)
	if err != nil {
		return err
	}
	is, err := table.Query(ctx, c.target.Conn(), clause, seq)
	if err != nil {
		return err
	}
	if !was.equal(is) {
		return errors.New("the copy differs from its source")
	}
	return nil
}

func (c *copying) transact(ctx context.Context, change func(Querier) error) error {
	tx, err := c.target.Conn().BeginTx(ctx, &sql.TxOptions{})
	if err != nil {
		return err
	}
	if err := change(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// finish turns the complete copy into a store.
func (c *copying) finish(ctx context.Context) error {
	return c.transact(ctx, func(q Querier) error {
		if _, err := q.ExecContext(ctx, `UPDATE used_forgotten SET at = $1, refused = $2`, c.point.Forgotten, c.point.Refused); err != nil {
			return err
		}
		if _, err := q.ExecContext(ctx, `UPDATE store SET id = $1, accepted = $2`, c.point.ID, c.point.Accepted); err != nil {
			return err
		}
		if err := c.target.Finish(ctx, q, c.point); err != nil {
			return err
		}
		_, err := q.ExecContext(ctx, `DROP TABLE `+Unfinished)
		return err
	})
}
