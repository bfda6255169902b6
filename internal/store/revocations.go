package store

import (
	"context"
	"encoding/json"
	"fmt"

	"moneyer/internal/ledger"
	"moneyer/internal/revocation"
	"moneyer/internal/store/engine"
)

// Revocations implements authority.RevocationStore. Only Forget removes revocations that
// are over: the clock of a single read may be wrong.
func (d *DB) Revocations(ctx context.Context, issuer string) ([]revocation.Revocation, error) {
	var revocations []revocation.Revocation
	err := d.reads.List(ctx, `SELECT document FROM revocation WHERE issuer = $1 ORDER BY until, id`, []any{issuer},
		func(scan func(...any) error) error {
			var document []byte
			if err := scan(&document); err != nil {
				return err
			}
			var r revocation.Revocation
			err := json.Unmarshal(document, &r)
			revocations = append(revocations, r)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("revocations of issuer %q: %w", issuer, err)
	}
	return revocations, nil
}

// Revocation implements authority.RevocationStore.
func (d *DB) Revocation(ctx context.Context, issuer, id string) (*revocation.Revocation, error) {
	var document []byte
	err := d.reads.Get(ctx, `SELECT document FROM revocation WHERE issuer = $1 AND id = $2`,
		[]any{issuer, id}, []any{&document})
	if err != nil {
		return nil, missing(err, "revocation", id)
	}
	r := &revocation.Revocation{}
	if err := json.Unmarshal(document, r); err != nil {
		return nil, fmt.Errorf("revocation %q: %w", id, err)
	}
	return r, nil
}

// PutRevocation stores a revocation under its ID and records e with it. It returns
// registry.ErrConflict if the ID exists.
func (d *DB) PutRevocation(ctx context.Context, r *revocation.Revocation, e *ledger.Entry) error {
	document, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("revocation %q: %w", r.ID, err)
	}
	return d.change(ctx, e, func(t *tx) error {
		t.changed(engine.ChangedRevocations, r.Issuer, r.ID)
		return conflictUnless(t.Exec(`INSERT INTO revocation (issuer, id, until, document) VALUES ($1, $2, $3, $4)
			ON CONFLICT DO NOTHING`, r.Issuer, r.ID, engine.CeilMilli(r.Until), document))
	})
}
