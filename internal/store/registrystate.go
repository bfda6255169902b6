package store

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/internal/rowauth"
)

// The MAC of a row does not tell that the row was deleted or set back to an earlier state.
// The table registry_state does: it has, sealed, the number of changes and the sum of all
// rows. Each change updates it, and states it in its ledger entry.

// rowChanges are the rows that a transaction changes, by their short MACs. A row that is
// not there has the MAC "".
type rowChanges struct {
	before, after map[rowauth.Name]string
}

// found notes what a row was before the transaction.
func (c *rowChanges) found(n rowauth.Name, mac []byte) { put(&c.before, n, rowauth.ShortMAC(mac)) }

// wrote notes what a row is after the transaction; nil means that it was removed. What it
// was before must have been noted, unless there was none.
func (c *rowChanges) wrote(n rowauth.Name, mac []byte) { put(&c.after, n, rowauth.ShortMAC(mac)) }

// put sets the short MAC of a row in a map, which it makes if that is nil.
func put(macs *map[rowauth.Name]string, n rowauth.Name, mac string) {
	if *macs == nil {
		*macs = map[rowauth.Name]string{}
	}
	(*macs)[n] = mac
}

// maxRows bounds the rows that a ledger entry names, in bytes, to keep entries below
// ledger.MaxRecord. Names of 1,000 rows are far shorter unless their IDs are of 500 bytes.
const maxRows = ledger.MaxRecord / 2

// text lists the changed rows for the ledger, as NAME=MAC, or NAME= if there is none now.
func (c *rowChanges) text() string {
	names := slices.SortedFunc(maps.Keys(c.after), func(a, b rowauth.Name) int { return strings.Compare(a.String(), b.String()) })
	var text strings.Builder
	for i, n := range names {
		if i > 0 {
			text.WriteByte(' ')
		}
		text.WriteString(n.String() + "=" + c.after[n])
	}
	if text.Len() > maxRows {
		return ""
	}
	return text.String()
}

// apply applies the changes to a sum.
func (c *rowChanges) apply(key *rowauth.Key, sum *rowauth.Sum) {
	for n, mac := range c.after {
		if was := c.before[n]; was != "" {
			key.Remove(sum, n, was)
		}
		if mac != "" {
			key.Add(sum, n, mac)
		}
	}
}

// recordChange records e with the rows that the transaction changed and the state of the
// registry after it.
func (t *tx) recordChange(e *ledger.Entry) error {
	stated := *e
	if len(t.after) > 0 || t.touched {
		state, err := t.nextState()
		if err != nil {
			return err
		}
		stated.Rows, stated.Registry = t.text(), t.rows.Statement(state)
	}
	return t.recordEntries(&stated)
}

// nextState applies the changes of the transaction to the state of the registry.
func (t *tx) nextState() (*rowauth.State, error) {
	state, err := t.readState()
	if err != nil {
		return nil, err
	}
	if state.Revision < t.seen {
		return nil, fmt.Errorf("%w: it has change %d of the registry, and change %d was recorded", errState, state.Revision, t.seen)
	}
	before := state.Revision
	state.Revision++
	t.revision = state.Revision
	t.apply(t.rows, &state.Sum)
	return state, t.writeState(before, state)
}

// readState reads the state of the registry, as the transaction finds it.
func (t *tx) readState() (*rowauth.State, error) {
	var sealed []byte
	err := t.Row(selectState, nil, []any{&sealed})
	return openState(t.rows, sealed, err)
}

// writeState writes the state of the registry over that of a revision; 0 if there is none.
func (t *tx) writeState(before int64, state *rowauth.State) error {
	query := `UPDATE registry_state SET revision = $1, sealed = $2 WHERE revision = $3`
	args := []any{state.Revision, t.rows.Seal(state), before}
	if before == 0 {
		query, args = `INSERT INTO registry_state (revision, sealed) VALUES ($1, $2)`, args[:2]
	}
	return t.Later(func(changed int64) error {
		if changed != 1 {
			return fmt.Errorf("%w: its revision is not %d", errState, before)
		}
		return nil
	}, query, args...)
}

const selectState = `SELECT sealed FROM registry_state ORDER BY revision DESC LIMIT 1`

var errState = errors.New("the table registry_state was altered, and nothing can be changed until `moneyer store repair --accept-state` repairs it")

// openState opens the state that selectState read.
func openState(key *rowauth.Key, sealed []byte, err error) (*rowauth.State, error) {
	if errors.Is(err, sql.ErrNoRows) {
		return &rowauth.State{}, nil
	}
	if err != nil {
		return nil, err
	}
	state, err := key.Open(sealed)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errState, err)
	}
	return &state, nil
}

// find notes the MACs of the rows of a kind that the transaction is about to replace. The
// IDs are those of one issuer.
func (t *tx) find(kind rowauth.Kind, issuer string, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	args := []any{issuer}
	for _, id := range ids {
		args = append(args, id)
	}
	// The number of parameters is a power of two, so that there are few statements.
	for n := len(args) - 1; n&(n-1) != 0; n++ {
		args = append(args, ids[0])
	}
	var query bytes.Buffer
	fmt.Fprintf(&query, `SELECT id, mac FROM %s WHERE issuer = $1 AND id IN ($2`, kind)
	for i := 3; i <= len(args); i++ {
		fmt.Fprintf(&query, ", $%d", i)
	}
	query.WriteByte(')')
	return t.List(query.String(), args, func(scan func(...any) error) error {
		n, mac := rowauth.Name{Kind: kind, Issuer: issuer}, []byte(nil)
		if err := scan(&n.ID, &mac); err != nil {
			return err
		}
		t.found(n, mac)
		return nil
	})
}

// findAll is find for the IDs of several issuers.
func (t *tx) findAll(kind rowauth.Kind, ids map[string][]string) error {
	for issuer, some := range ids {
		if err := t.find(kind, issuer, some); err != nil {
			return err
		}
	}
	return nil
}

// remove deletes a row by a statement that returns its MAC, and notes it. It returns
// registry.ErrNotFound if there is none.
func (t *tx) remove(n rowauth.Name, query string, args ...any) error {
	var mac []byte
	err := t.Row(query, args, []any{&mac})
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%s %q: %w", n.Kind, n.ID, registry.ErrNotFound)
	}
	if err == nil {
		t.found(n, mac)
		t.wrote(n, nil)
	}
	return err
}
