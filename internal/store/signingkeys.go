package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/internal/rowauth"
	"moneyer/internal/store/engine"
)

// SigningKeys reads an issuer's signing keys from the database, not from a cache. Without
// keys the revision is 0. Keys whose row does not verify are a *registry.UnverifiedError.
func (d *DB) SigningKeys(ctx context.Context, issuer string) (registry.SigningKeys, error) {
	keys := registry.SigningKeys{Issuer: issuer}
	var document, mac []byte
	err := d.reads.Row(ctx, `SELECT revision, document, mac FROM signing_keys WHERE issuer = $1`,
		[]any{issuer}, []any{&keys.Revision, &document, &mac})
	if errors.Is(err, sql.ErrNoRows) {
		return keys, nil
	}
	if err == nil {
		err = verify(d.rows, signingKeysRow(issuer, keys.Revision, document), mac)
	}
	if err == nil {
		err = json.Unmarshal(document, &keys.Keys)
	}
	if err != nil {
		return registry.SigningKeys{}, fmt.Errorf("signing keys of issuer %q: %w", issuer, err)
	}
	return keys, nil
}

// PutSigningKeys stores an issuer's signing keys with the revision keys.Revision+1, and
// records e. keys.Revision must be the stored revision, or 0 for the first keys; otherwise
// it returns registry.ErrConflict.
func (d *DB) PutSigningKeys(ctx context.Context, keys registry.SigningKeys, e *ledger.Entry) error {
	document, err := json.Marshal(keys.Keys)
	if err != nil {
		return fmt.Errorf("signing keys of issuer %q: %w", keys.Issuer, err)
	}
	mac := d.rows.MAC(signingKeysRow(keys.Issuer, keys.Revision+1, document))
	return d.change(ctx, e, func(t *tx) error {
		t.changed(engine.ChangedSigningKeys, keys.Issuer, "")
		name := rowauth.Name{Kind: rowauth.SigningKeys, Issuer: keys.Issuer}
		var before []byte
		switch err := t.Row(`SELECT mac FROM signing_keys WHERE issuer = $1`, []any{keys.Issuer}, []any{&before}); {
		case err == nil:
			t.found(name, before)
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
		t.wrote(name, mac)
		if keys.Revision == 0 {
			return conflictUnless(t.Exec(`INSERT INTO signing_keys (issuer, revision, document, mac) VALUES ($1, 1, $2, $3)
				ON CONFLICT DO NOTHING`, keys.Issuer, document, mac))
		}
		return conflictUnless(t.Exec(`UPDATE signing_keys SET revision = $1, document = $2, mac = $3 WHERE issuer = $4 AND revision = $5`,
			keys.Revision+1, document, mac, keys.Issuer, keys.Revision))
	})
}
