package store

import (
	"context"
	"errors"

	"moneyer/internal/registry"
	"moneyer/internal/rowauth"
	"moneyer/internal/store/engine"
)

// auditPage is how many rows one statement reads, so that none takes long.
const auditPage = 1000

// authenticated are the kinds of rows that have a MAC.
var authenticated = []rowauth.Kind{rowauth.Client, rowauth.Account, rowauth.Item, rowauth.SigningKeys, rowauth.Revocation}

// scanRow scans a row and its MAC.
type scanRow = func(scan func(...any) error) (*rowauth.Row, []byte, error)

// rowColumns returns the columns that a row of a kind is read from, and their scanner.
func rowColumns(kind rowauth.Kind) (columns string, scan scanRow) {
	switch kind {
	case rowauth.Client:
		return "issuer, id, revision, document, mac", scanClient
	case rowauth.Item:
		return "issuer, id, account, kind, mac", scanItem
	case rowauth.SigningKeys:
		return "issuer, revision, document, mac", scanSigningKeys
	case rowauth.Account:
		return "issuer, id, document, mac", scanDocument(accountRow)
	default:
		return "issuer, id, document, mac", scanDocument(revocationRow)
	}
}

func scanClient(scan func(...any) error) (*rowauth.Row, []byte, error) {
	var issuer, id string
	var revision int64
	var document, mac []byte
	err := scan(&issuer, &id, &revision, &document, &mac)
	return clientRow(issuer, id, revision, document), mac, err
}

func scanDocument(row func(issuer, id string, document []byte) *rowauth.Row) scanRow {
	return func(scan func(...any) error) (*rowauth.Row, []byte, error) {
		var issuer, id string
		var document, mac []byte
		err := scan(&issuer, &id, &document, &mac)
		return row(issuer, id, document), mac, err
	}
}

func scanItem(scan func(...any) error) (*rowauth.Row, []byte, error) {
	var item registry.Item
	var mac []byte
	err := scan(&item.Issuer, &item.ID, &item.Account, &item.Kind, &mac)
	return itemRow(&item), mac, err
}

func scanSigningKeys(scan func(...any) error) (*rowauth.Row, []byte, error) {
	var issuer string
	var revision int64
	var document, mac []byte
	err := scan(&issuer, &revision, &document, &mac)
	return signingKeysRow(issuer, revision, document), mac, err
}

// read reads all rows, and the state.
func (c *registryRows) read(ctx context.Context, s *engine.Snapshot, key *rowauth.Key) error {
	err := s.Row(ctx, selectState, nil, []any{&c.sealed})
	c.state, err = openState(key, c.sealed, err)
	if errors.Is(err, errState) {
		c.altered, err = err, nil
	}
	if err != nil {
		return err
	}
	return c.eachRow(ctx, s, func(r *rowauth.Row, mac []byte) {
		c.rows++
		if !key.Verify(r, mac) {
			if c.unverified++; len(c.names) < maxNames || c.macs != nil {
				c.names = append(c.names, r.Name)
			}
			return
		}
		key.Add(&c.sum, r.Name, rowauth.ShortMAC(mac))
		if c.macs != nil {
			c.macs[r.Name] = rowauth.ShortMAC(mac)
		}
	})
}

func (c *registryRows) eachRow(ctx context.Context, s *engine.Snapshot, visit func(*rowauth.Row, []byte)) error {
	for _, kind := range authenticated {
		columns, scan := rowColumns(kind)
		query := `SELECT ` + columns + ` FROM ` + table(kind) + ` WHERE (issuer, id) > ($1, $2) ORDER BY issuer, id LIMIT $3`
		if kind == rowauth.SigningKeys {
			query = `SELECT ` + columns + ` FROM signing_keys WHERE issuer > $1 AND $2 = '' ORDER BY issuer LIMIT $3`
		}
		var last rowauth.Name
		for read := auditPage; read == auditPage; {
			read = 0
			err := s.List(ctx, query, []any{last.Issuer, last.ID, auditPage}, func(from func(...any) error) error {
				r, mac, err := scan(from)
				if err != nil {
					return err
				}
				read++
				last = r.Name
				visit(r, mac)
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}
