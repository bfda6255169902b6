package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/internal/rowauth"
	"moneyer/internal/store/engine"
)

// Account implements authority.Registry.
func (d *DB) Account(ctx context.Context, issuer, id string) (*registry.Account, error) {
	key := named{issuer, id}
	a, epoch, ok := d.cache.accounts.get(key)
	if ok && d.cacheIsFresh() {
		return a, nil
	}
	var document, mac []byte
	err := d.reads.Get(ctx, `SELECT document, mac FROM account WHERE issuer = $1 AND id = $2`,
		[]any{issuer, id}, []any{&document, &mac})
	if err != nil {
		return nil, missing(err, "account", id)
	}
	if a, err = decode[registry.Account](d.rows, accountRow(issuer, id, document), mac); err != nil {
		return nil, err
	}
	d.cache.accounts.put(named{a.Issuer, a.ID}, a, epoch) // not id, which may be a substring that keeps a whole request in memory
	return a, nil
}

// Accounts lists an issuer's accounts with IDs greater than after, sorted by ID: at most
// limit, or [MaxPage]. Of an account whose row does not verify it returns the ID alone,
// with Unverified set.
func (d *DB) Accounts(ctx context.Context, issuer, after string, limit int) ([]registry.Account, error) {
	var accounts []registry.Account
	err := d.reads.List(ctx, `SELECT id, document, mac FROM account WHERE issuer = $1 AND id > $2 ORDER BY id LIMIT $3`,
		[]any{issuer, after, page(limit)},
		func(scan func(...any) error) error {
			var id string
			var document, mac []byte
			if err := scan(&id, &document, &mac); err != nil {
				return err
			}
			a, err := decode[registry.Account](d.rows, accountRow(issuer, id, document), mac)
			if registry.IsUnverified(err) {
				a, err = &registry.Account{Issuer: issuer, ID: id, Disabled: true, Unverified: true}, nil
			}
			if err == nil {
				accounts = append(accounts, *a)
			}
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("accounts of issuer %q: %w", issuer, err)
	}
	return accounts, nil
}

// PutAccounts creates or replaces up to [MaxBulk] accounts, all or none, and records e
// with the change. It returns a registry.ErrNotFound that names a client that does not
// exist.
func (d *DB) PutAccounts(ctx context.Context, accounts []registry.Account, e *ledger.Entry) error {
	if err := checkBulk(len(accounts)); err != nil {
		return err
	}
	documents, known := make([][]byte, len(accounts)), map[string][]string{}
	for i := range accounts {
		a := &accounts[i]
		var err error
		if documents[i], err = json.Marshal(a); err != nil {
			return fmt.Errorf("account %q: %w", a.ID, err)
		}
		known[a.Issuer] = append(known[a.Issuer], a.ID)
	}
	return d.change(ctx, e, func(t *tx) error {
		if err := t.findAll(rowauth.Account, known); err != nil {
			return err
		}
		owners := map[named]error{}
		for i := range accounts {
			if err := t.putAccount(&accounts[i], documents[i], owners); err != nil {
				return err
			}
		}
		return nil
	})
}

// putAccount puts an account, and caches in owners whether its client exists.
func (t *tx) putAccount(a *registry.Account, document []byte, owners map[named]error) error {
	t.changed(engine.ChangedAccount, a.Issuer, a.ID)
	owner := named{a.Issuer, a.Client}
	if _, asked := owners[owner]; !asked {
		owners[owner] = t.exists("client", a.Client, `SELECT 1 FROM client WHERE issuer = $1 AND id = $2`, a.Issuer, a.Client)
	}
	if err := owners[owner]; err != nil {
		return fmt.Errorf("account %q: %w", a.ID, err)
	}
	row := accountRow(a.Issuer, a.ID, document)
	mac := t.rows.MAC(row)
	t.wrote(row.Name, mac)
	return t.Later(func(int64) error { return nil }, `INSERT INTO account (issuer, id, client, document, mac) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (issuer, id) DO UPDATE SET client = excluded.client, document = excluded.document, mac = excluded.mac`,
		a.Issuer, a.ID, a.Client, document, mac)
}

// RemoveAccount removes an account. It returns registry.ErrNotFound if the account does
// not exist, and registry.ErrConflict if it still has items.
func (d *DB) RemoveAccount(ctx context.Context, issuer, id string, e *ledger.Entry) error {
	err := d.change(ctx, e, func(t *tx) error { return t.removeAccount(issuer, id) })
	return removed(err, "account", id)
}

func (t *tx) removeAccount(issuer, id string) error {
	t.changed(engine.ChangedAccount, issuer, id)
	var item string
	err := t.Row(`SELECT id FROM item WHERE issuer = $1 AND account = $2 LIMIT 1`,
		[]any{issuer, id}, []any{&item})
	if err == nil {
		return conflictf("account %q still has items, such as %q", id, item)
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	return t.remove(rowauth.Name{Kind: rowauth.Account, Issuer: issuer, ID: id},
		`DELETE FROM account WHERE issuer = $1 AND id = $2 RETURNING mac`, issuer, id)
}

// Items implements authority.Registry. The result has an item twice if ids has it twice.
func (d *DB) Items(ctx context.Context, issuer string, ids []string) ([]registry.Item, error) {
	found := make([]registry.Item, 0, len(ids))
	for _, id := range ids {
		item, err := d.item(ctx, issuer, id)
		switch {
		case err == nil:
			found = append(found, item)
		case !errors.Is(err, registry.ErrNotFound):
			return nil, err
		}
	}
	return found, nil
}

func (d *DB) item(ctx context.Context, issuer, id string) (registry.Item, error) {
	key := named{issuer, id}
	item, epoch, ok := d.cache.items.get(key)
	if ok && d.cacheIsFresh() {
		return item, nil
	}
	key.id = strings.Clone(id) // id may be a substring that keeps a whole request in memory
	item = registry.Item{Issuer: issuer, ID: key.id}
	var mac []byte
	err := d.reads.Get(ctx, `SELECT account, kind, mac FROM item WHERE issuer = $1 AND id = $2`,
		[]any{issuer, id}, []any{&item.Account, &item.Kind, &mac})
	if err != nil {
		return item, missing(err, "item", id)
	}
	if err := verify(d.rows, itemRow(&item), mac); err != nil {
		return item, err
	}
	d.cache.items.put(key, item, epoch)
	return item, nil
}

// AccountItems lists an account's items with IDs greater than after, sorted by ID: at most
// limit, or [MaxPage]. Unverified is set in an item whose row does not verify.
func (d *DB) AccountItems(ctx context.Context, issuer, account, after string, limit int) ([]registry.Item, error) {
	var items []registry.Item
	err := d.reads.List(ctx, `SELECT id, kind, mac FROM item
		WHERE issuer = $1 AND account = $2 AND id > $3 ORDER BY id LIMIT $4`,
		[]any{issuer, account, after, page(limit)},
		func(scan func(...any) error) error {
			item := registry.Item{Issuer: issuer, Account: account}
			var mac []byte
			err := scan(&item.ID, &item.Kind, &mac)
			item.Unverified = !d.rows.Verify(itemRow(&item), mac)
			items = append(items, item)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("items of account %q: %w", account, err)
	}
	return items, nil
}

// PutItems creates up to [MaxBulk] items or changes their kind, all or none, and records e
// with the change. It returns a registry.ErrConflict that names an item of another
// account, and a registry.ErrNotFound that names an account that does not exist.
func (d *DB) PutItems(ctx context.Context, items []registry.Item, e *ledger.Entry) error {
	if err := checkBulk(len(items)); err != nil {
		return err
	}
	known := map[string][]string{}
	for i := range items {
		known[items[i].Issuer] = append(known[items[i].Issuer], items[i].ID)
	}
	return d.change(ctx, e, func(t *tx) error {
		if err := t.findAll(rowauth.Item, known); err != nil {
			return err
		}
		owners := map[named]error{}
		for i := range items {
			if err := t.putItem(&items[i], d.rows.MAC(itemRow(&items[i])), owners); err != nil { // it names its item, which may be an earlier one
				return err
			}
		}
		return nil
	})
}

// putItem puts an item with its MAC, and caches in owners whether its account exists.
func (t *tx) putItem(item *registry.Item, mac []byte, owners map[named]error) error {
	t.changed(engine.ChangedItem, item.Issuer, item.ID)
	t.wrote(rowauth.Name{Kind: rowauth.Item, Issuer: item.Issuer, ID: item.ID}, mac)
	owner := named{item.Issuer, item.Account}
	if _, asked := owners[owner]; !asked {
		owners[owner] = t.exists("account", item.Account, `SELECT 1 FROM account WHERE issuer = $1 AND id = $2`, item.Issuer, item.Account)
	}
	if err := owners[owner]; err != nil {
		return fmt.Errorf("item %q: %w", item.ID, err)
	}
	return t.Later(func(changed int64) error {
		if changed == 0 {
			return conflictf("item %q belongs to another account", item.ID)
		}
		return nil
	}, `INSERT INTO item (issuer, id, account, kind, mac) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (issuer, id) DO UPDATE SET kind = excluded.kind, mac = excluded.mac
		WHERE item.account = excluded.account`, item.Issuer, item.ID, item.Account, item.Kind, mac)
}

// RemoveItem removes an item. It returns registry.ErrNotFound if the item does not exist.
func (d *DB) RemoveItem(ctx context.Context, issuer, id string, e *ledger.Entry) error {
	err := d.change(ctx, e, func(t *tx) error { return t.removeItem(issuer, id) })
	return removed(err, "item", id)
}

func (t *tx) removeItem(issuer, id string) error {
	t.changed(engine.ChangedItem, issuer, id)
	return t.remove(rowauth.Name{Kind: rowauth.Item, Issuer: issuer, ID: id},
		`DELETE FROM item WHERE issuer = $1 AND id = $2 RETURNING mac`, issuer, id)
}

func checkBulk(n int) error {
	if n > MaxBulk {
		return fmt.Errorf("%d in one change, at most %d are taken", n, MaxBulk)
	}
	return nil
}

// exists returns registry.ErrNotFound unless query finds a row.
func (t *tx) exists(what, id, query string, args ...any) error {
	var one int
	if err := t.Row(query, args, []any{&one}); err != nil {
		return missing(err, what, id)
	}
	return nil
}
