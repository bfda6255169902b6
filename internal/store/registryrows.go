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

// authenticated are the tables whose rows have a MAC. A query reads the rows after an
// issuer and an ID, in their order.
var authenticated = []struct {
	query string
	scan  func(scan func(...any) error) (*rowauth.Row, []byte, error)
}{
	{`SELECT issuer, id, revision, document, mac FROM client WHERE (issuer, id) > ($1, $2) ORDER BY issuer, id LIMIT $3`, scanClient},
	{`SELECT issuer, id, document, mac FROM account WHERE (issuer, id) > ($1, $2) ORDER BY issuer, id LIMIT $3`, scanDocument(accountRow)},
	{`SELECT issuer, id, account, kind, mac FROM item WHERE (issuer, id) > ($1, $2) ORDER BY issuer, id LIMIT $3`, scanItem},
	{`SELECT issuer, revision, document, mac FROM signing_keys WHERE issuer > $1 AND $2 = '' ORDER BY issuer LIMIT $3`, scanSigningKeys},
	{`SELECT issuer, id, document, mac FROM revocation WHERE (issuer, id) > ($1, $2) ORDER BY issuer, id LIMIT $3`, scanDocument(revocationRow)},
}

func scanClient(scan func(...any) error) (*rowauth.Row, []byte, error) {
	var issuer, id string
	var revision int64
	var document, mac []byte
	err := scan(&issuer, &id, &revision, &document, &mac)
	return clientRow(issuer, id, revision, document), mac, err
}

func scanDocument(row func(issuer, id string, document []byte) *rowauth.Row) func(func(...any) error) (*rowauth.Row, []byte, error) {
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
	var sealed []byte
	err := s.Row(ctx, selectState, nil, []any{&sealed})
	c.state, err = openState(key, sealed, err)
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
	for _, table := range authenticated {
		var last rowauth.Name
		for read := auditPage; read == auditPage; {
			read = 0
			err := s.List(ctx, table.query, []any{last.Issuer, last.ID, auditPage}, func(scan func(...any) error) error {
				r, mac, err := table.scan(scan)
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
