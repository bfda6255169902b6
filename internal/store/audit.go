package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"moneyer/internal/ledger"
	"moneyer/internal/rowauth"
	"moneyer/internal/store/engine"
	"moneyer/internal/store/history"
	"moneyer/internal/store/postgres"
	"moneyer/internal/store/sqlite"
)

// Audit is the result of a comparison of the rows of the registry with their state, and of
// that with the ledger.
type Audit struct {
	// Rows is how many rows were read.
	Rows int64
	// Unverified is how many rows do not verify, each of which is refused, and Names are
	// those of the first.
	Unverified int64
	Names      []rowauth.Name
	// Difference says what else is wrong, such as a row that was deleted or set back; ""
	// if nothing is.
	Difference string
	// stated is whether the ledger states what the store has, so that changes go on.
	stated bool
}

// maxNames bounds the rows that Audit names, and looks up in the ledger.
const maxNames = 1000

// auditor compares a registry with the ledger.
type auditor struct {
	reads  *engine.Reader
	ledger *history.Ledger
	key    *rowauth.Key
}

func (d *DB) auditor() *auditor { return &auditor{d.reads, d.ledger, d.rows} }

// registryRows are the rows of the registry in one state of the database.
type registryRows struct {
	state      *rowauth.State
	sealed     []byte      // the state as it is stored
	altered    error       // why there is no state
	sum        rowauth.Sum // of the rows that verify
	rows       int64
	unverified int64
	names      []rowauth.Name          // of rows that do not verify: all, or up to maxNames if macs is nil
	macs       map[rowauth.Name]string // of the rows that verify; nil if not wanted
}

// Audit compares the rows of the registry with their state, and that with what the ledger
// states: it finds rows that something other than Moneyer wrote, deleted or set back. It
// reads all rows, in one state of the database, which takes seconds for a million.
func (d *DB) Audit(ctx context.Context) (Audit, error) {
	result, err := d.auditor().run(ctx)
	if err != nil {
		return Audit{}, fmt.Errorf("comparing the registry with the ledger: %w", err)
	}
	d.stated.Store(result.stated)
	return result, nil
}

// checkSchema returns an error if the schema is not the one that Moneyer made, so that it
// decides what statements read and write.
func checkSchema(ctx context.Context, reads *engine.Reader) error {
	if reads.Local() {
		return sqlite.CheckSchema(ctx, reads)
	}
	return postgres.CheckSchema(ctx, reads)
}

func (a *auditor) run(ctx context.Context) (Audit, error) {
	if err := checkSchema(ctx, a.reads); errors.Is(err, engine.ErrSchema) {
		return Audit{Difference: err.Error()}, nil // what it would read may not be what others read
	} else if err != nil {
		return Audit{}, err
	}
	c, statement, err := a.read(ctx, false)
	if err != nil {
		return Audit{}, err
	}
	result := Audit{Rows: c.rows, Unverified: c.unverified, Names: c.names, Difference: a.compare(c, statement)}
	if result.stated = result.Difference == ""; result.stated && c.sum != c.state.Sum {
		result.Difference, err = a.explain(ctx, c)
	}
	return result, err
}

// ErrOtherKey means that nothing in the registry verifies, which a wrong master key explains
// better than a writer who altered all of it.
var ErrOtherKey = errors.New("neither a row of the registry nor its state verifies: the master key is not that of this store, or all of them were altered")

// differences is run, and names the rows that are not as the ledger records them. It returns
// ErrOtherKey rather than naming all of them.
func (a *auditor) differences(ctx context.Context) (Audit, []RowDifference, error) {
	if err := checkSchema(ctx, a.reads); errors.Is(err, engine.ErrSchema) {
		return Audit{Difference: err.Error()}, nil, nil
	} else if err != nil {
		return Audit{}, nil, err
	}
	c, statement, err := a.read(ctx, true)
	if err != nil {
		return Audit{}, nil, err
	}
	if c.rows > 0 && c.unverified == c.rows && (c.altered != nil || c.sealed == nil) {
		return Audit{}, nil, ErrOtherKey
	}
	recorded, err := a.recorded(ctx, func(rowauth.Name) bool { return true })
	if err != nil {
		return Audit{}, nil, err
	}
	whole, err := a.whole(ctx)
	if err != nil {
		return Audit{}, nil, err
	}
	result := Audit{Rows: c.rows, Unverified: c.unverified, Names: c.names, Difference: a.compare(c, statement)}
	if result.stated = result.Difference == ""; result.stated && a.expected(c, recorded) != c.state.Sum {
		result.Difference = differs
	}
	return result, c.differences(recorded, whole), nil
}

// whole reports whether the ledger has every entry since its beginning.
func (a *auditor) whole(ctx context.Context) (bool, error) {
	chains, err := history.Chains(ctx, a.reads)
	for i := range chains {
		if ledger.PlaceOf(chains[i].First) != 1 {
			return false, err
		}
	}
	return true, err
}

// read reads the contents, and the statement of the ledger to compare them with: the newest,
// or that of the state, which may be newer than what was the newest before.
func (a *auditor) read(ctx context.Context, withMACs bool) (*registryRows, string, error) {
	statement, err := a.newest(ctx, math.MaxInt64)
	if err != nil {
		return nil, "", err
	}
	c := &registryRows{}
	if withMACs {
		c.macs = map[rowauth.Name]string{}
	}
	if err := a.reads.Snapshot(ctx, func(s *engine.Snapshot) error { return c.read(ctx, s, a.key) }); err != nil {
		return nil, "", err
	}
	if c.altered == nil && c.state.Revision > a.revisionOf(statement) {
		statement, err = a.newest(ctx, c.state.Revision)
	}
	return c, statement, err
}

// newest returns the statement of the ledger with the greatest revision up to one; "" if
// there is none.
func (a *auditor) newest(ctx context.Context, upTo int64) (found string, err error) {
	chains, err := history.Chains(ctx, a.reads)
	if err != nil {
		return "", err
	}
	for i := range chains {
		statement, err := a.ledger.LastStatement(ctx, chains[i].Head.Seq, func(statement string) bool {
			revision := a.revisionOf(statement)
			return revision > 0 && revision <= upTo
		})
		if err != nil {
			return "", err
		}
		if a.revisionOf(statement) > a.revisionOf(found) {
			found = statement
		}
	}
	return found, nil
}

// revisionOf returns the revision of a statement, or 0 if it is none under the key.
func (a *auditor) revisionOf(statement string) int64 {
	revision, err := a.key.StatedRevision(statement)
	if err != nil {
		return 0
	}
	return revision
}

// compare compares the state with a statement of the ledger.
func (a *auditor) compare(c *registryRows, statement string) string {
	switch stated := a.revisionOf(statement); {
	case c.altered != nil:
		return c.altered.Error()
	case stated > c.state.Revision:
		return fmt.Sprintf("the registry was set back: the ledger records change %d of it, and the store has change %d", stated, c.state.Revision)
	case stated < c.state.Revision:
		return fmt.Sprintf("the ledger lacks change %d of the registry: its newest is %d", c.state.Revision, stated)
	case stated > 0 && statement != a.key.Statement(c.state):
		return fmt.Sprintf("the registry at change %d is another than the ledger records", stated)
	default:
		return ""
	}
}

// explain returns "" if the rows that do not verify are the only ones that are not as they
// were recorded: then each of them is refused, and the others need not be.
func (a *auditor) explain(ctx context.Context, c *registryRows) (string, error) {
	wanted, recorded := map[rowauth.Name]bool{}, map[rowauth.Name]record{}
	for _, n := range c.names {
		wanted[n] = true
	}
	if len(wanted) > 0 {
		var err error
		recorded, err = a.recorded(ctx, func(n rowauth.Name) bool { return wanted[n] })
		if broken := (*ledger.BrokenError)(nil); errors.As(err, &broken) {
			return fmt.Sprintf("rows of the registry do not verify, and the ledger is broken: %v", err), nil
		}
		if err != nil {
			return "", err
		}
	}
	if a.expected(c, recorded) == c.state.Sum {
		return "", nil
	}
	return differs, nil
}

const differs = "a row of the registry was deleted, set back to an earlier state or put back: `moneyer store check` names it"

// expected returns the sum of the rows that verify, and of the others as they were recorded.
func (a *auditor) expected(c *registryRows, recorded map[rowauth.Name]record) rowauth.Sum {
	sum := c.sum
	for _, n := range c.names {
		if was := recorded[n]; was.mac != "" {
			a.key.Add(&sum, n, was.mac)
		}
	}
	return sum
}

// record is what the ledger says of a row: its MAC, "" if it was removed, and at which
// revision of the registry.
type record struct {
	mac      string
	revision int64
}

// recorded reads from the whole ledger what it last says of the rows that are wanted.
func (a *auditor) recorded(ctx context.Context, wanted func(rowauth.Name) bool) (map[rowauth.Name]record, error) {
	found := map[rowauth.Name]record{}
	err := a.ledger.Entries(ctx, ledger.Query{Kind: ledger.KindAdmin}, func(r *ledger.Record) error {
		e, err := r.Entry()
		if err != nil || e.Rows == "" {
			return err
		}
		revision := a.revisionOf(e.Registry)
		for text := range strings.SplitSeq(e.Rows, " ") {
			name, mac, _ := strings.Cut(text, "=")
			n, err := rowauth.ParseName(name)
			if err != nil {
				return fmt.Errorf("ledger entry %s: %w", ledger.ShowSeq(r.Seq), err)
			}
			if found[n].revision < revision && wanted(n) {
				found[n] = record{mac, revision}
			}
		}
		return nil
	})
	return found, err
}
