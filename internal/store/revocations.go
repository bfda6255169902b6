package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"moneyer/internal/ledger"
	"moneyer/internal/revocation"
	"moneyer/internal/rowauth"
	"moneyer/internal/store/engine"
)

// Revocations implements authority.RevocationStore. Only Forget removes revocations that
// are over: the clock of a single read may be wrong. Together with a
// *registry.UnverifiedError, for rows that do not verify, it returns the others and what
// can be read of those.
func (d *DB) Revocations(ctx context.Context, issuer string) ([]revocation.Revocation, error) {
	var revocations []revocation.Revocation
	var unverified error
	err := d.reads.List(ctx, `SELECT id, document, mac FROM revocation WHERE issuer = $1 ORDER BY until, id`, []any{issuer},
		func(scan func(...any) error) error {
			var id string
			var document, mac []byte
			if err := scan(&id, &document, &mac); err != nil {
				return err
			}
			v, err := readRevocation(d.rows, revocationRow(issuer, id, document), mac)
			if v == nil {
				return err
			}
			revocations, unverified = append(revocations, *v), cmp.Or(unverified, err)
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("revocations of issuer %q: %w", issuer, err)
	}
	return revocations, unverified
}

// Revocation implements authority.RevocationStore. Together with a
// *registry.UnverifiedError it returns what can be read of a row that does not verify.
func (d *DB) Revocation(ctx context.Context, issuer, id string) (*revocation.Revocation, error) {
	var document, mac []byte
	err := d.reads.Get(ctx, `SELECT document, mac FROM revocation WHERE issuer = $1 AND id = $2`,
		[]any{issuer, id}, []any{&document, &mac})
	if err != nil {
		return nil, missing(err, "revocation", id)
	}
	return readRevocation(d.rows, revocationRow(issuer, id, document), mac)
}

// isOver reports whether every token that the revocation names has ended at now.
func isOver(v *revocation.Revocation, now time.Time) bool {
	return engine.CeilMilli(v.Until) <= now.UnixMilli()
}

// PutRevocation stores a revocation under its ID and records e with it. It returns
// registry.ErrConflict if the ID exists.
func (d *DB) PutRevocation(ctx context.Context, r *revocation.Revocation, e *ledger.Entry) error {
	document, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("revocation %q: %w", r.ID, err)
	}
	mac := d.rows.MAC(revocationRow(r.Issuer, r.ID, document))
	return d.change(ctx, e, func(t *tx) error {
		t.changed(engine.ChangedRevocations, r.Issuer, r.ID)
		t.wrote(rowauth.Name{Kind: rowauth.Revocation, Issuer: r.Issuer, ID: r.ID}, mac)
		return conflictUnless(t.Exec(`INSERT INTO revocation (issuer, id, until, document, mac) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT DO NOTHING`, r.Issuer, r.ID, engine.CeilMilli(r.Until), document, mac))
	})
}
