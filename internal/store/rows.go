package store

import (
	"encoding/json"
	"fmt"

	"moneyer/internal/registry"
	"moneyer/internal/revocation"
	"moneyer/internal/rowauth"
)

// The rows of the registry are believed as far as their MAC goes: it covers the issuer and
// the ID under which a row is asked for, its revision and its document. Columns beside
// them only find rows, and the document decides.

// verify returns a *registry.UnverifiedError unless mac is the MAC of the row.
func verify(key *rowauth.Key, r *rowauth.Row, mac []byte) error {
	if key.Verify(r, mac) {
		return nil
	}
	return &registry.UnverifiedError{Kind: string(r.Kind), Issuer: r.Issuer, ID: r.ID}
}

// decode verifies a row, and reads its document.
func decode[T any](key *rowauth.Key, r *rowauth.Row, mac []byte) (*T, error) {
	if err := verify(key, r, mac); err != nil {
		return nil, err
	}
	v := new(T)
	if err := json.Unmarshal(r.Document, v); err != nil {
		return nil, fmt.Errorf("%s %q of issuer %q: %w", r.Kind, r.ID, r.Issuer, err)
	}
	return v, nil
}

func clientRow(issuer, id string, revision int64, document []byte) *rowauth.Row {
	return &rowauth.Row{Name: rowauth.Name{Kind: rowauth.Client, Issuer: issuer, ID: id}, Revision: revision, Document: document}
}

func accountRow(issuer, id string, document []byte) *rowauth.Row {
	return &rowauth.Row{Name: rowauth.Name{Kind: rowauth.Account, Issuer: issuer, ID: id}, Document: document}
}

func itemRow(item *registry.Item) *rowauth.Row {
	return &rowauth.Row{Name: rowauth.Name{Kind: rowauth.Item, Issuer: item.Issuer, ID: item.ID}, Document: rowauth.Fields(item.Account, item.Kind)}
}

func signingKeysRow(issuer string, revision int64, document []byte) *rowauth.Row {
	return &rowauth.Row{Name: rowauth.Name{Kind: rowauth.SigningKeys, Issuer: issuer}, Revision: revision, Document: document}
}

func revocationRow(issuer, id string, document []byte) *rowauth.Row {
	return &rowauth.Row{Name: rowauth.Name{Kind: rowauth.Revocation, Issuer: issuer, ID: id}, Document: document}
}

// readRevocation reads a revocation. Together with a *registry.UnverifiedError it returns
// what can be read of one that does not verify: to refuse the tokens that it names costs
// less than to accept what was revoked.
func readRevocation(key *rowauth.Key, r *rowauth.Row, mac []byte) (*revocation.Revocation, error) {
	v, unverified := &revocation.Revocation{}, verify(key, r, mac)
	if err := json.Unmarshal(r.Document, v); err != nil && unverified == nil {
		return nil, fmt.Errorf("revocation %q of issuer %q: %w", r.ID, r.Issuer, err)
	}
	v.Issuer, v.ID, v.Unverified = r.Issuer, r.ID, unverified != nil
	return v, unverified
}
