package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/internal/revocation"
	"moneyer/internal/rowauth"
)

// onEngines runs a test on a store of each engine.
func onEngines(t *testing.T, test func(t *testing.T, d *DB)) {
	t.Run("SQLite", func(t *testing.T) { test(t, openNew(t)) })
	t.Run("PostgreSQL", func(t *testing.T) { test(t, startReplica(t, PostgresForTests.NewDatabase(t), Options{Now: clock})) })
}

// signing returns a function that signs checkpoints.
func signing(name string) ledger.Signer {
	_, sign := signer(name)
	return sign
}

// pastStore runs a statement past the store.
func pastStore(t *testing.T, d *DB, statement string, args ...any) {
	t.Helper()
	must(t, d.writer.do(t.Context(), func(tx *tx) error {
		_, err := tx.Exec(statement, args...)
		return err
	}))
}

// fillRegistry puts rows of every kind into a store, and changes the client bank.
func fillRegistry(t *testing.T, d *DB) {
	t.Helper()
	e := func() *ledger.Entry { return &ledger.Entry{Kind: ledger.KindAdmin, Time: clock(), Action: "test"} }
	ctx := t.Context()
	bank := &registry.Client{Issuer: "d1", ID: "bank", Name: "first"}
	must(t, d.PutClients(ctx, []*registry.Client{bank, {Issuer: "d1", ID: "shop"}}, e()))
	bank.Revision, bank.Disabled = 1, true
	must(t, d.PutClient(ctx, bank, e()))
	must(t, d.PutAccounts(ctx, []registry.Account{{Issuer: "d1", ID: "m", Client: "shop"}, {Issuer: "d1", ID: "n", Client: "shop"}}, e()))
	must(t, d.PutAccounts(ctx, []registry.Account{{Issuer: "d1", ID: "m", Client: "shop", Disabled: true}}, e()))
	must(t, d.PutItems(ctx, []registry.Item{{Issuer: "d1", ID: "1", Account: "m"}, {Issuer: "d1", ID: "2", Account: "m"}}, e()))
	must(t, d.RemoveItem(ctx, "d1", "2", e()))
	keys := registry.SigningKeys{Issuer: "d1", Keys: []registry.SigningKey{{Kid: "k", JWK: json.RawMessage(`{}`)}}}
	must(t, d.PutSigningKeys(ctx, keys, e()))
	keys.Revision = 1
	must(t, d.PutSigningKeys(ctx, keys, e()))
	for _, id := range []string{"r", "over"} {
		until := clock().Add(3600e9)
		if id == "over" {
			until = clock()
		}
		must(t, d.PutRevocation(ctx, &revocation.Revocation{Issuer: "d1", ID: id, All: true, Until: until}, e()))
	}
	if n, err := d.Forget(ctx, clock()); n != 1 || err != nil {
		t.Fatalf("forgot %d, %v", n, err)
	}
}

func audit(t *testing.T, d *DB) Audit {
	t.Helper()
	result, err := d.Audit(t.Context())
	must(t, err)
	return result
}

// TestAuditOfChanges: whatever is changed by the store, the state follows.
func TestAuditOfChanges(t *testing.T) {
	onEngines(t, func(t *testing.T, d *DB) {
		if a := audit(t, d); a.Difference != "" || a.Rows != 0 {
			t.Errorf("an empty store: %+v", a)
		}
		fillRegistry(t, d)
		if a := audit(t, d); a.Difference != "" || a.Unverified != 0 || a.Rows != 7 {
			t.Errorf("%+v", a)
		}
		if _, err := d.Checkpoint(t.Context(), signing("master")); err != nil {
			t.Fatal(err)
		}
		a := d.auditor()
		newest, err := a.newest(t.Context(), 1000)
		if err != nil || a.revisionOf(newest) != 11 {
			t.Errorf("the ledger states %s, %v", newest, err)
		}
		must(t, d.RemoveItem(t.Context(), "d1", "1", changeEntry()))
		must(t, d.RemoveAccount(t.Context(), "d1", "m", changeEntry()))
		must(t, d.RemoveAccount(t.Context(), "d1", "n", changeEntry()))
		must(t, d.RemoveClient(t.Context(), "d1", "shop", changeEntry()))
		if a := audit(t, d); a.Difference != "" || a.Rows != 3 {
			t.Errorf("after removals: %+v", a)
		}
	})
}

// TestAuditFinds: what a writer without the key can do is found, and what only costs the
// row that was altered is not a difference.
func TestAuditFinds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		alter      []string
		difference string
		unverified int64
	}{
		"a client that was set back":   {[]string{`UPDATE client SET revision = old.revision, document = old.document, mac = old.mac FROM old WHERE client.id = 'bank'`}, "set back", 0},
		"a revocation that is deleted": {[]string{`DELETE FROM revocation`}, "deleted", 0},
		"an account that is deleted":   {[]string{`DELETE FROM account WHERE id = 'n'`}, "deleted", 0},
		"signing keys that are gone":   {[]string{`DELETE FROM signing_keys`}, "deleted", 0},
		"no state":                     {[]string{`DELETE FROM registry_state`}, "set back", 0},
		"an altered state":             {[]string{`UPDATE registry_state SET sealed = mac FROM signing_keys`}, "registry_state was altered", 0},
		"everything but the ledger": {[]string{`DELETE FROM registry_state`, `DELETE FROM item`, `DELETE FROM account`, `DELETE FROM client_key`,
			`DELETE FROM client`, `DELETE FROM signing_keys`, `DELETE FROM revocation`}, "set back: the ledger records change 11 of it, and the store has change 0", 0},
		"an altered client":                {[]string{`UPDATE client SET document = (SELECT document FROM client WHERE id = 'bank') WHERE id = 'shop'`}, "", 1},
		"a MAC that is gone":               {[]string{`UPDATE client SET mac = (SELECT mac FROM item) WHERE id = 'shop'`}, "", 1},
		"a stranger's client":              {[]string{`INSERT INTO client SELECT issuer, 'copy', revision, document, mac FROM client WHERE id = 'shop'`}, "", 1},
		"an altered client, and a deleted": {[]string{`UPDATE client SET mac = (SELECT mac FROM item) WHERE id = 'bank'`, `DELETE FROM account WHERE id = 'n'`}, "deleted", 1},
	} {
		t.Run(name, func(t *testing.T) {
			onEngines(t, func(t *testing.T, d *DB) {
				fillRegistry(t, d)
				pastStore(t, d, `CREATE TABLE old AS SELECT * FROM client WHERE id = 'bank'`)
				first := registry.Client{Issuer: "d1", ID: "bank", Name: "first", Revision: 1}
				document, err := json.Marshal(first)
				must(t, err)
				pastStore(t, d, `UPDATE old SET revision = 1, document = $1, mac = $2`, document, d.rows.MAC(clientRow("d1", "bank", 1, document)))
				for _, statement := range c.alter {
					pastStore(t, d, statement)
				}
				a := audit(t, d)
				if !strings.Contains(a.Difference, c.difference) || (c.difference == "") != (a.Difference == "") || a.Unverified != c.unverified {
					t.Errorf("%+v", a)
				}
			})
		})
	}
}

// TestStateSetBack: a registry that was set back with its state is found by the ledger, no
// change covers it up, and no checkpoint confirms it.
func TestStateSetBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "moneyer.db")
	d := openTest(t, path, Options{})
	fillRegistry(t, d)
	pastStore(t, d, `CREATE TABLE old_state AS SELECT * FROM registry_state`)
	must(t, d.RemoveAccount(t.Context(), "d1", "n", changeEntry()))
	pastStore(t, d, `UPDATE registry_state SET revision = old_state.revision, sealed = old_state.sealed FROM old_state`)
	for range 2 {
		if err := d.RemoveItem(t.Context(), "d1", "1", changeEntry()); err == nil || !strings.Contains(err.Error(), "moneyer store repair --accept-state") {
			t.Errorf("a change covers it up: %v", err)
		}
		if a := audit(t, d); !strings.Contains(a.Difference, "set back: the ledger records change 12 of it, and the store has change 11") {
			t.Errorf("%+v", a)
		}
		if _, err := d.Checkpoint(t.Context(), signing("master")); err != nil {
			t.Fatal(err)
		}
		must(t, d.Close())
		d = openTest(t, path, Options{})
	}
}

// TestRowsOfAnEntry: the ledger names each row of a change.
func TestRowsOfAnEntry(t *testing.T) {
	d := openNew(t)
	fillRegistry(t, d)
	recorded, err := d.auditor().recorded(t.Context(), func(rowauth.Name) bool { return true })
	must(t, err)
	for n, want := range map[rowauth.Name]int64{{Kind: rowauth.Client, Issuer: "d1", ID: "bank"}: 2, {Kind: rowauth.Client, Issuer: "d1", ID: "shop"}: 1,
		{Kind: rowauth.Item, Issuer: "d1", ID: "1"}: 5, {Kind: rowauth.SigningKeys, Issuer: "d1"}: 8} {
		if r := recorded[n]; r.revision != want || r.mac == "" {
			t.Errorf("%s: %+v, want revision %d", n, r, want)
		}
	}
	for _, n := range []rowauth.Name{{Kind: rowauth.Item, Issuer: "d1", ID: "2"}, {Kind: rowauth.Revocation, Issuer: "d1", ID: "over"}} {
		if r, known := recorded[n]; !known || r.mac != "" {
			t.Errorf("%s was removed: %+v", n, r)
		}
	}
	if len(recorded) != 9 {
		t.Errorf("%d rows", len(recorded))
	}
}

// TestRepair: each kind of difference is named, and one flag for each ends it.
func TestRepair(t *testing.T) {
	client := func(id string) string { return rowauth.Name{Kind: rowauth.Client, Issuer: "d1", ID: id}.String() }
	account := rowauth.Name{Kind: rowauth.Account, Issuer: "d1", ID: "n"}.String()
	revoked := rowauth.Name{Kind: rowauth.Revocation, Issuer: "d1", ID: "r"}.String()
	keys := rowauth.Name{Kind: rowauth.SigningKeys, Issuer: "d1"}.String()
	for name, c := range map[string]struct {
		alter  string
		row    string
		is     Problem
		accept string // a part of the error; "" if it is accepted
		remove string
	}{
		"another document": {`UPDATE client SET document = replace(CAST(document AS TEXT), '"shop"', '"shop","name":"x"') WHERE id = 'shop'`, client("shop"), Unverified, "", "still owns accounts"},
		"a copy":           {`INSERT INTO client SELECT issuer, 'copy', revision, document, mac FROM client WHERE id = 'shop'`, client("copy"), Unverified, "its document is that of", ""},
		"no MAC":           {`UPDATE account SET mac = x'' WHERE id = 'n'`, account, Unverified, "", ""},
		"deleted":          {`DELETE FROM account WHERE id = 'n'`, account, Missing, "", "not found"},
		"a revocation":     {`DELETE FROM revocation`, revoked, Missing, "", "not found"},
		"set back":         {`UPDATE client SET revision = old.revision, document = old.document, mac = old.mac FROM old WHERE client.id = 'bank'`, client("bank"), SetBack, "", ""},
		"foreign keys":     {`UPDATE signing_keys SET document = '[{"kid":"x","jwk":{}}]'`, keys, Unverified, "", ""},
	} {
		for _, accept := range []bool{true, false} {
			t.Run(fmt.Sprint(name, accept), func(t *testing.T) {
				d := openNew(t)
				fillRegistry(t, d)
				document, err := json.Marshal(registry.Client{Issuer: "d1", ID: "bank", Name: "first", Revision: 1})
				must(t, err)
				pastStore(t, d, `CREATE TABLE old AS SELECT * FROM client WHERE id = 'bank'`)
				pastStore(t, d, `UPDATE old SET revision = 1, document = $1, mac = $2`, document, d.rows.MAC(clientRow("d1", "bank", 1, document)))
				pastStore(t, d, c.alter)
				before := differing(t, d)
				if len(before) != 1 || before[0].Name.String() != c.row || before[0].Problem != c.is {
					t.Fatalf("named: %+v", before)
				}
				want, repair := c.remove, d.RemoveRow
				if accept {
					want, repair = c.accept, d.AcceptRow
				}
				if err := repair(t.Context(), &before[0], changeEntry()); (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
					t.Fatalf("%v, want %q", err, want)
				}
				if want != "" {
					return
				}
				if after := differing(t, d); len(after) > 0 {
					t.Errorf("still named: %+v", after)
				}
				if a := audit(t, d); a.Difference != "" || a.Unverified > 0 {
					t.Errorf("after the repair: %+v", a)
				}
			})
		}
	}
}

// TestRepairIndexes: a client that is accepted as it is, is found by what it has now, and
// holds its certificate.
func TestRepairIndexes(t *testing.T) {
	onEngines(t, func(t *testing.T, d *DB) {
		c := testClient(t, 0)
		was := c.Identities[0].Digest
		must(t, d.PutClient(t.Context(), c, changeEntry()))
		altered := *c
		altered.Revision = 1
		altered.Identities = []registry.Identity{{ID: "i", Trusted: "sso", Digest: registry.Digest{1}}}
		altered.Certificates = []registry.Certificate{{ID: "c", Match: registry.MatchCertificate, Value: "another", Environment: "prd"}}
		document, err := json.Marshal(altered)
		must(t, err)
		pastStore(t, d, `UPDATE client SET document = $1`, document)
		rows := differing(t, d)
		must(t, d.AcceptRow(t.Context(), &rows[0], changeEntry()))
		if found, err := d.ClientByDigest(t.Context(), "d1", registry.Digest{1}); err != nil || found.ID != c.ID {
			t.Errorf("by its identity: %+v, %v", found, err)
		}
		if _, err := d.ClientByDigest(t.Context(), "d1", was); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("by the identity that it had: %v", err)
		}
		for value, taken := range map[string]bool{"another": true, c.Certificates[0].Value: false} {
			other := &registry.Client{Issuer: "d1", ID: value, Certificates: []registry.Certificate{{ID: "c", Match: registry.MatchCertificate, Value: value, Environment: "prd"}}}
			err := d.PutClient(t.Context(), other, changeEntry())
			if known := (*registry.KeyTakenError)(nil); errors.As(err, &known) != taken {
				t.Errorf("certificate %s of another client: %v", value, err)
			}
		}
	})
}

// TestRepairIndexesWhatWasSetBack: a client that is accepted in an earlier state, or after it
// was removed, is found by what it had then, and holds it. It is not accepted where another
// client has that now.
func TestRepairIndexesWhatWasSetBack(t *testing.T) {
	for name, row := range map[string]struct {
		is     Problem
		change func(d *DB, c *registry.Client) error
		alter  string
	}{
		"set back": {SetBack, func(d *DB, c *registry.Client) error {
			return d.PutClient(t.Context(), &registry.Client{Issuer: c.Issuer, ID: c.ID, Revision: 1}, changeEntry())
		}, `UPDATE client SET revision = old.revision, document = old.document, mac = old.mac FROM old WHERE client.id = old.id`},
		"put back": {PutBack, func(d *DB, c *registry.Client) error {
			return d.RemoveClient(t.Context(), c.Issuer, c.ID, changeEntry())
		}, `INSERT INTO client SELECT * FROM old`},
	} {
		for _, moved := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", moved ", moved), func(t *testing.T) {
				onEngines(t, func(t *testing.T, d *DB) {
					c := testClient(t, 0)
					must(t, d.PutClient(t.Context(), c, changeEntry()))
					pastStore(t, d, `CREATE TABLE old AS SELECT * FROM client`)
					must(t, row.change(d, c))
					other := &registry.Client{Issuer: c.Issuer, ID: "other", Certificates: c.Certificates}
					if moved {
						must(t, d.PutClient(t.Context(), &registry.Client{Issuer: c.Issuer, ID: "heir", Identities: c.Identities}, changeEntry()))
					}
					pastStore(t, d, row.alter)
					rows := differing(t, d)
					if len(rows) != 1 || rows[0].Problem != row.is {
						t.Fatalf("named: %+v", rows)
					}
					err := d.AcceptRow(t.Context(), &rows[0], changeEntry())
					if moved {
						if !errors.Is(err, registry.ErrConflict) || !strings.Contains(err.Error(), "only removed") {
							t.Errorf("with the identity that another client has: %v", err)
						}
						must(t, d.RemoveRow(t.Context(), &rows[0], changeEntry()))
						return
					}
					must(t, err)
					if found, err := d.ClientByDigest(t.Context(), c.Issuer, c.Identities[0].Digest); err != nil || found.ID != c.ID {
						t.Errorf("by its identity: %+v, %v", found, err)
					}
					if taken := (*registry.KeyTakenError)(nil); !errors.As(d.PutClient(t.Context(), other, changeEntry()), &taken) {
						t.Error("another client has its certificate, too")
					}
				})
			})
		}
	}
}

// differing lists what differs.
func differing(t *testing.T, d *DB) []RowDifference {
	t.Helper()
	_, rows, err := d.Differences(t.Context())
	must(t, err)
	return rows
}

// TestOtherKey: under another key nothing verifies, and no row is named for a repair.
func TestOtherKey(t *testing.T) {
	key, err := rowauth.NewKey([32]byte{2})
	must(t, err)
	onEngines(t, func(t *testing.T, d *DB) {
		a := auditor{d.reads, d.ledger, key}
		if _, rows, err := a.differences(t.Context()); err != nil || len(rows) > 0 {
			t.Errorf("an empty registry: %+v, %v", rows, err)
		}
		fillRegistry(t, d)
		if _, rows, err := a.differences(t.Context()); !errors.Is(err, ErrOtherKey) {
			t.Errorf("%+v, %v", rows, err)
		}
		pastStore(t, d, `DELETE FROM registry_state`)
		if _, rows, err := a.differences(t.Context()); !errors.Is(err, ErrOtherKey) {
			t.Errorf("without the state: %+v, %v", rows, err)
		}
		if rows := differing(t, d); len(rows) > 0 {
			t.Errorf("under its own key: %+v", rows)
		}
	})
}

// TestAcceptState: the state itself was altered, beside a row that does not verify and one
// that is missing. What does not verify stays refused, and can be accepted later.
func TestAcceptState(t *testing.T) {
	onEngines(t, func(t *testing.T, d *DB) {
		fillRegistry(t, d)
		pastStore(t, d, `DELETE FROM registry_state`)
		pastStore(t, d, `DELETE FROM account WHERE id = 'n'`)
		pastStore(t, d, `UPDATE client SET mac = (SELECT mac FROM item) WHERE id = 'bank'`)
		rows := differing(t, d)
		if len(rows) != 2 {
			t.Fatalf("named: %+v", rows)
		}
		if err := d.AcceptRow(t.Context(), &rows[0], changeEntry()); err == nil {
			t.Error("a row is accepted under a state that is not as recorded")
		}
		must(t, d.AcceptState(t.Context(), rows, changeEntry()))
		if a := audit(t, d); a.Difference != "" || a.Unverified != 1 {
			t.Errorf("%+v", a)
		}
		rows = differing(t, d)
		if len(rows) != 1 || rows[0].Problem != Unverified {
			t.Fatalf("named: %+v", rows)
		}
		must(t, d.AcceptRow(t.Context(), &rows[0], changeEntry()))
		if a, rows := audit(t, d), differing(t, d); a.Difference != "" || a.Unverified != 0 || len(rows) > 0 {
			t.Errorf("%+v, %+v", a, rows)
		}
		must(t, d.RemoveItem(t.Context(), "d1", "1", changeEntry()))
		if a := audit(t, d); a.Difference != "" {
			t.Errorf("%+v", a)
		}
	})
}

// TestForgedStatement: who writes entries of the ledger and has no key states nothing of the
// registry. A revision that no change can follow would end all changes, and no repair of the
// state would help.
func TestForgedStatement(t *testing.T) {
	path := filepath.Join(t.TempDir(), "moneyer.db")
	d := openTest(t, path, Options{})
	fillRegistry(t, d)
	state := func() string {
		a := d.auditor()
		newest, err := a.newest(t.Context(), math.MaxInt64)
		must(t, err)
		return newest
	}
	before := state()
	for i, forged := range []string{fmt.Sprint(int64(math.MaxInt64), ":AAAAAAAAAAAAAAAAAAAAAA"), fmt.Sprint(int64(math.MaxInt64), ":AAAAAAAAAAAAAAAAAAAAAA:AAAAAAAAAAAAAAAAAAAAAA"), "9" + before} {
		e := changeEntry()
		e.Registry = forged
		newAnother(d, int64(7+i)).write(t, e)
	}
	must(t, d.Close())
	d = openTest(t, path, Options{})
	if now := state(); now != before {
		t.Errorf("the ledger states %s, and before it did %s", now, before)
	}
	if a := audit(t, d); a.Difference != "" {
		t.Errorf("%+v", a)
	}
	must(t, d.RemoveItem(t.Context(), "d1", "1", changeEntry()))
}
