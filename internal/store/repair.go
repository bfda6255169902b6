package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/internal/rowauth"
	"moneyer/internal/store/engine"
	"moneyer/internal/store/history"
)

// RowDifference is a row that is not as the ledger last records it.
type RowDifference struct {
	Name    rowauth.Name
	Problem Problem
	// recorded and is are the short MACs in the ledger and of the row; "" if there is none,
	// or if the row does not verify.
	recorded, is string
}

// Problem is what is wrong with a row.
type Problem string

// The problems of rows.
const (
	// Unverified: the row does not verify, and is refused.
	Unverified Problem = "does not verify: something other than Moneyer wrote it"
	// Missing: the ledger records the row, and no removal of it.
	Missing Problem = "is missing: something other than Moneyer deleted it"
	// SetBack: the row verifies, and the ledger records a later state of it.
	SetBack Problem = "was set back to an earlier state"
	// PutBack: the row verifies, and the ledger records that it was removed.
	PutBack Problem = "is there again, after it was removed"
	// Unrecorded: the row verifies, and the ledger, which is whole, does not record it.
	Unrecorded Problem = "is not recorded in the ledger"
)

// differences compares the rows with what the ledger records of each. whole is whether the
// ledger has all entries.
func (c *registryRows) differences(recorded map[rowauth.Name]record, whole bool) []RowDifference {
	var found []RowDifference
	unverified := map[rowauth.Name]bool{}
	for _, n := range c.names {
		unverified[n] = true
		found = append(found, RowDifference{Name: n, Problem: Unverified, recorded: recorded[n].mac})
	}
	for n, was := range recorded {
		is, there := c.macs[n]
		d := RowDifference{Name: n, recorded: was.mac, is: is}
		switch {
		case unverified[n] || is == was.mac:
			continue
		case !there:
			d.Problem = Missing
		case was.mac == "":
			d.Problem = PutBack
		default:
			d.Problem = SetBack
		}
		found = append(found, d)
	}
	for n, is := range c.macs {
		if _, known := recorded[n]; !known && whole {
			found = append(found, RowDifference{Name: n, Problem: Unrecorded, is: is})
		}
	}
	slices.SortFunc(found, func(a, b RowDifference) int { return strings.Compare(a.Name.String(), b.Name.String()) })
	return found
}

// CheckRegistry compares the registry of the store at url with its ledger, as Audit does,
// and names the rows that differ. It changes nothing, and the store may be in use. It reads
// the whole ledger.
func CheckRegistry(ctx context.Context, url string, key *rowauth.Key) (Audit, []RowDifference, error) {
	packer, err := history.NewPacker()
	if err != nil {
		return Audit{}, nil, err
	}
	reads, closeReads, err := openReadOnly(ctx, url)
	if err != nil {
		return Audit{}, nil, fmt.Errorf("store %s: %w", nameOf(url), err)
	}
	a := auditor{reads, history.New(reads, packer), key}
	result, rows, err := a.differences(ctx)
	if err := errors.Join(err, closeReads()); err != nil {
		return Audit{}, nil, fmt.Errorf("store %s: %w", nameOf(url), err)
	}
	return result, rows, nil
}

// Differences is Audit, and names the rows that differ. It reads the whole ledger.
func (d *DB) Differences(ctx context.Context) (Audit, []RowDifference, error) {
	return d.auditor().differences(ctx)
}

// AcceptRow accepts a row as it is: it authenticates one that does not verify, and records
// that the others are as they are, or are gone. The state of the registry must be as the
// ledger states it: see AcceptState.
func (d *DB) AcceptRow(ctx context.Context, row *RowDifference, e *ledger.Entry) error {
	err := d.change(ctx, e, func(t *tx) error { return t.acceptRow(row) })
	if isTaken(err) { // which may be found out at the end of the transaction
		return onlyRemoved(row, err)
	}
	return err
}

func (t *tx) acceptRow(row *RowDifference) error {
	t.changedRow(row.Name)
	is, err := t.asFound(row)
	if err == nil && is != nil { // one that was set back or put back, too: others may have what it has
		if err = t.adopt(is); err != nil && !isTaken(err) {
			err = onlyRemoved(row, err)
		}
	}
	if err != nil {
		return err
	}
	short := row.is
	if row.Problem == Unverified {
		mac, err := t.authenticate(is)
		if err != nil {
			return err
		}
		short = rowauth.ShortMAC(mac)
	}
	t.repaired(row, short)
	return nil
}

func onlyRemoved(row *RowDifference, err error) error {
	return fmt.Errorf("%s cannot be accepted as it is, only removed: %w", row.Name, err)
}

// isTaken reports whether an error says that another client has what a client is to have.
func isTaken(err error) bool {
	var taken *registry.KeyTakenError
	return errors.Is(err, registry.ErrConflict) || errors.As(err, &taken)
}

// RemoveRow removes a row, with what belongs to it.
func (d *DB) RemoveRow(ctx context.Context, row *RowDifference, e *ledger.Entry) error {
	return d.change(ctx, e, func(t *tx) error {
		t.changedRow(row.Name)
		if _, err := t.asFound(row); err != nil {
			return err
		}
		if err := t.removeRow(row.Name); err != nil {
			return err
		}
		t.repaired(row, "")
		return nil
	})
}

// AcceptState accepts the registry as it is: the rows that verify, and no others. It is
// needed where the state of the registry is not as the ledger states it.
func (d *DB) AcceptState(ctx context.Context, rows []RowDifference, e *ledger.Entry) error {
	a := d.auditor()
	c, _, err := a.read(ctx, true)
	if err != nil {
		return err
	}
	newest, err := a.newest(ctx, math.MaxInt64)
	if err != nil {
		return err
	}
	return d.change(ctx, e, func(t *tx) error {
		var sealed []byte
		err := t.List(selectState, nil, func(scan func(...any) error) error { return scan(&sealed) })
		if err == nil && !bytes.Equal(sealed, c.sealed) {
			err = errMeanwhile
		}
		if err != nil {
			return err
		}
		state := &rowauth.State{Revision: max(a.revisionOf(newest), t.seen), Sum: c.sum}
		if c.altered == nil {
			state.Revision = max(state.Revision, c.state.Revision)
		}
		if _, err := t.Exec(`DELETE FROM registry_state`); err != nil {
			return err
		}
		if err := t.writeState(0, state); err != nil {
			return err
		}
		for i := range rows { // the sum has them already
			row := &rows[i]
			row.recorded = row.is
			t.repaired(row, row.is)
			t.changedRow(row.Name)
		}
		t.touched = true
		return nil
	})
}

// repaired notes that a row, which was not as the ledger records it, now has that short MAC.
func (t *tx) repaired(row *RowDifference, is string) {
	put(&t.before, row.Name, row.recorded)
	put(&t.after, row.Name, is)
}

// changedRow adds a row of any kind to the changes of the transaction.
func (t *tx) changedRow(n rowauth.Name) {
	kinds := map[rowauth.Kind]engine.ChangeKind{rowauth.Client: engine.ChangedClient, rowauth.Account: engine.ChangedAccount,
		rowauth.Item: engine.ChangedItem, rowauth.SigningKeys: engine.ChangedSigningKeys, rowauth.Revocation: engine.ChangedRevocations}
	t.changed(kinds[n.Kind], n.Issuer, n.ID)
}

// table returns the table of a kind of rows.
func table(kind rowauth.Kind) string { return strings.ReplaceAll(string(kind), "-", "_") }

// where selects the row of a name, whose parameters follow those before it.
func where(n rowauth.Name, before ...any) (clause string, args []any) {
	clause, args = fmt.Sprintf(" WHERE issuer = $%d", len(before)+1), append(before, n.Issuer)
	if n.Kind != rowauth.SigningKeys {
		clause, args = clause+fmt.Sprintf(" AND id = $%d", len(args)+1), append(args, n.ID)
	}
	return clause, args
}

var errMeanwhile = errors.New("the registry was changed meanwhile: look again")

// asFound reads a row, nil if there is none, and returns an error if it is not as the
// difference says.
func (t *tx) asFound(d *RowDifference) (row *rowauth.Row, err error) {
	columns, scan := rowColumns(d.Name.Kind)
	clause, args := where(d.Name)
	is := ""
	err = t.List(`SELECT `+columns+` FROM `+table(d.Name.Kind)+clause, args, func(from func(...any) error) (err error) {
		var mac []byte
		if row, mac, err = scan(from); err == nil && t.rows.Verify(row, mac) {
			is = rowauth.ShortMAC(mac)
		}
		return err
	})
	if err == nil && (is != d.is || (row == nil) != (d.Problem == Missing)) {
		err = errMeanwhile
	}
	return row, err
}

// authenticate gives a row the MAC of its contents.
func (t *tx) authenticate(r *rowauth.Row) ([]byte, error) {
	mac := t.rows.MAC(r)
	clause, args := where(r.Name, mac)
	_, err := t.Exec(`UPDATE `+table(r.Kind)+` SET mac = $1`+clause, args...)
	return mac, err
}

// adopt returns an error unless the document of a row is one of that row, and makes what is
// derived from it anew.
func (t *tx) adopt(r *rowauth.Row) error {
	var of struct{ Issuer, ID string }
	var err error
	switch r.Kind {
	case rowauth.Item:
		return nil
	case rowauth.SigningKeys:
		return json.Unmarshal(r.Document, &[]registry.SigningKey{})
	case rowauth.Client:
		p := &clientPut{}
		if err = json.Unmarshal(r.Document, &p.stored); err == nil && p.stored.Revision != r.Revision {
			err = fmt.Errorf("its revision is %d, and its document says %d", r.Revision, p.stored.Revision)
		}
		if of.Issuer, of.ID = p.stored.Issuer, p.stored.ID; err == nil && of.Issuer == r.Issuer && of.ID == r.ID {
			return errors.Join(p.addThumbprints(), t.clearClientIndex(r.Issuer, r.ID), t.indexClient(p))
		}
	default:
		err = json.Unmarshal(r.Document, &of)
	}
	if err == nil && (of.Issuer != r.Issuer || of.ID != r.ID) {
		err = fmt.Errorf("its document is that of %q of issuer %q", of.ID, of.Issuer)
	}
	return err
}

// removeRow removes a row of any kind.
func (t *tx) removeRow(n rowauth.Name) error {
	switch n.Kind {
	case rowauth.Client:
		return t.removeClient(n.Issuer, n.ID)
	case rowauth.Account:
		return t.removeAccount(n.Issuer, n.ID)
	case rowauth.Item:
		return t.removeItem(n.Issuer, n.ID)
	default:
		clause, args := where(n)
		return t.remove(n, `DELETE FROM `+table(n.Kind)+clause+` RETURNING mac`, args...)
	}
}
