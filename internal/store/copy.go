package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"moneyer/internal/ledger"
)

// CopyReport is what a copy holds.
type CopyReport struct {
	// Rows that were counted in the copy, by table, in the order of copying.
	Rows []CopiedRows
	// Heads are the ends of the ledger's chains. The copy leads to them as its source does.
	Heads []ledger.Head
	// Resumed tells that an earlier copy had been cut, and was gone on with.
	Resumed bool
	// Broken says how the ledger is broken, in the source as in the copy. It is empty when the
	// ledger is whole.
	Broken string
}

// CopiedRows are the rows of a table.
type CopiedRows struct {
	Table string
	Rows  int64
}

// Copy copies the store at one URL into an empty one at another, and verifies the
// copy: every table by the number of its rows, and the ledger by its chains, which
// must lead where those of the source do. A copy that was cut goes on where it
// stopped when it is made again, unless the source was changed; nobody can open half of one.
//
// A file that is copied must not be open. A database may be in use: the copy is what
// it held when the copy began. Nobody waits for the copy but those who would remove
// old entries of the ledger.
//
// progress, if any, is told how many rows of a table are copied.
func Copy(ctx context.Context, from, to string, progress func(table string, done, total int64)) (CopyReport, error) {
	if progress == nil {
		progress = func(string, int64, int64) {}
	}
	source, err := openSource(ctx, from)
	if err != nil {
		return CopyReport{}, fmt.Errorf("store %s: %w", nameOfStore(from), err)
	}
	target, err := openTarget(ctx, to)
	if err != nil {
		return CopyReport{}, errors.Join(fmt.Errorf("store %s: %w", nameOfStore(to), err), source.close())
	}
	c := &copying{source: source, target: target, progress: progress, walk: true}
	err = errors.Join(c.run(ctx), target.close(), source.close())
	if path, file := strings.CutPrefix(to, "sqlite:"); file && err == nil {
		err = syncDirectory(filepath.Dir(path))
	}
	if ctx.Err() != nil {
		err = ctx.Err() // what else is said follows from it
	}
	if err != nil {
		return CopyReport{}, fmt.Errorf("copy %s to %s: %w", nameOfStore(from), nameOfStore(to), err)
	}
	return c.report, nil
}

// nameOfStore is a URL without what is not for logs.
func nameOfStore(url string) string {
	if path, file := strings.CutPrefix(url, "sqlite:"); file {
		return path
	}
	return nameOf(url)
}

// copying is a copy under way.
type copying struct {
	source   *copySource
	target   *copyTarget
	progress func(table string, done, total int64)
	walk     bool // whether the ledger of the copy is verified
	report   CopyReport
}

// run copies what changes first, so that the source is soon let go: the ledger's
// entries stay as they are.
func (c *copying) run(ctx context.Context) (err error) {
	if c.report.Resumed, err = c.target.prepare(ctx, c.source.point.mark()); err != nil {
		return err
	}
	for _, t := range registryTables() {
		if err := c.table(ctx, &t); err != nil {
			return err
		}
	}
	if err := c.used(ctx); err != nil {
		return err
	}
	if err := c.source.release(ctx); err != nil {
		return err
	}
	if err := c.ledger(ctx); err != nil {
		return err
	}
	if err := c.count(ctx); err != nil {
		return err
	}
	if c.walk {
		if c.report.Broken, err = c.target.verify(ctx, c.source); err != nil {
			return err
		}
	}
	c.report.Heads = c.source.point.heads
	return c.target.finish(ctx, c.source.point)
}

// table copies what comes after the greatest key that the target has.
func (c *copying) table(ctx context.Context, t *table) error {
	done, err := t.count(ctx, c.target.conn)
	if err != nil {
		return err
	}
	after, err := t.greatest(ctx, c.target.conn)
	if err != nil {
		return err
	}
	for {
		c.progress(t.name, done, c.source.point.counts[t.name])
		some, err := t.read(ctx, c.source.q, after)
		if err != nil {
			return err
		}
		if err := c.target.put(ctx, some); err != nil {
			return err
		}
		done += int64(some.n)
		if some.n < t.atOnce {
			c.progress(t.name, done, c.source.point.counts[t.name])
			return nil
		}
		after = some.lastKey()
	}
}

// used copies the used-up assertions, those of a cut copy once more.
func (c *copying) used(ctx context.Context) error {
	if err := c.target.forgetUsed(ctx); err != nil {
		return err
	}
	done, total := int64(0), c.source.point.counts["use_up"]
	w := newUsedWriter(c.target)
	err := c.source.eachUsed(ctx, func(key usedKey, until int64, sealed []byte) error {
		if done++; done%packedAtOnce == 0 {
			c.progress("use_up", min(done, total), total)
		}
		return w.put(ctx, key, until, sealed)
	})
	if err == nil {
		err = w.finish(ctx)
	}
	c.progress("use_up", min(done, total), total)
	return err
}

// ledger copies the batches of each chain up to its head.
func (c *copying) ledger(ctx context.Context) error {
	t := ledgerTable()
	done, err := t.count(ctx, c.target.conn)
	if err != nil {
		return err
	}
	for _, h := range c.source.point.heads {
		after, err := c.copied(ctx, h)
		if err != nil {
			return err
		}
		for more := true; more; {
			c.progress(t.name, done, c.source.point.counts[t.name])
			some, err := t.query(ctx, c.source.q, fmt.Sprintf("WHERE first_seq > $1 AND first_seq <= $2 ORDER BY first_seq LIMIT %d", t.atOnce), after, h.Seq)
			if err != nil {
				return err
			}
			if err := c.target.put(ctx, some); err != nil {
				return err
			}
			done += int64(some.n)
			if more = some.n == t.atOnce; more {
				after = some.columns[0].numbers[some.n-1]
			}
		}
	}
	c.progress(t.name, done, c.source.point.counts[t.name])
	return nil
}

// copied finds up to where the target has a chain.
func (c *copying) copied(ctx context.Context, h ledger.Head) (after int64, err error) {
	begin := ledger.Numbered(ledger.ChainOf(h.Seq), 0)
	err = c.target.conn.QueryRowContext(ctx, `SELECT coalesce(max(first_seq), $1) FROM ledger_batch WHERE first_seq >= $1 AND first_seq <= $2`, begin, h.Seq).Scan(&after)
	if err != nil {
		return 0, fmt.Errorf("ledger_batch: %w", err)
	}
	return after, nil
}

// count compares the number of rows of each table.
func (c *copying) count(ctx context.Context) error {
	for _, t := range append(registryTables(), ledgerTable()) {
		n, err := t.count(ctx, c.target.conn)
		if err != nil {
			return err
		}
		if err := c.counted(t.name, n); err != nil {
			return err
		}
	}
	n, err := c.target.usedCount(ctx, c.source.file != nil)
	if err != nil {
		return err
	}
	return c.counted("use_up", n)
}

func (c *copying) counted(table string, n int64) error {
	if want := c.source.point.counts[table]; n != want {
		return fmt.Errorf("the copy has %d rows of %s, and its source %d: begin again with an empty target", n, table, want)
	}
	c.report.Rows = append(c.report.Rows, CopiedRows{table, n})
	return nil
}
