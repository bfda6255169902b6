package store

import (
	"context"
	"errors"
	"time"

	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/internal/rowauth"
)

// forgetBatch is how many rows one transaction deletes. It is small, so that appends do not
// wait long.
const forgetBatch = 128

// Forget deletes what has expired at now: the consumed values of expired assertions, and
// revocations of which every token has expired. It returns how many it deleted.
func (d *DB) Forget(ctx context.Context, now time.Time) (int64, error) {
	values, err := d.engine.ForgetConsumed(ctx, d.writer, now)
	if err != nil {
		return values, err
	}
	revocations, err := d.forgetRevocations(ctx, now)
	return values + revocations, err
}

// errNothing ends a change that has nothing to do, before it is recorded.
var errNothing = errors.New("nothing to do")

// forgetRevocations deletes the revocations that are over at now. One that does not verify
// stays, so that it is reported.
func (d *DB) forgetRevocations(ctx context.Context, now time.Time) (forgotten int64, err error) {
	for kept := 0; ; {
		over, found, err := d.revocationsOver(ctx, now, kept)
		if err != nil {
			return forgotten, err
		}
		if len(over) > 0 {
			e := &ledger.Entry{Kind: ledger.KindAdmin, Time: d.now().UTC(), Actor: "moneyer", Action: "revocation.forget", Count: int64(len(over))}
			err := d.change(ctx, e, func(t *tx) error { return t.removeRevocations(over) })
			if err != nil && !errors.Is(err, errNothing) {
				return forgotten, err
			}
		}
		forgotten, kept = forgotten+int64(len(over)), kept+found-len(over)
		if found < forgetBatch {
			return forgotten, nil
		}
	}
}

// revocationsOver lists revocations that are over at now, among the next that may be. It
// skips as many as earlier calls found that are not.
func (d *DB) revocationsOver(ctx context.Context, now time.Time, skip int) (over []named, found int, err error) {
	err = d.reads.List(ctx, `SELECT issuer, id, document, mac FROM revocation WHERE until <= $1 ORDER BY until, issuer, id LIMIT $2 OFFSET $3`,
		[]any{now.UnixMilli(), forgetBatch, skip},
		func(scan func(...any) error) error {
			var key named
			var document, mac []byte
			if err := scan(&key.issuer, &key.id, &document, &mac); err != nil {
				return err
			}
			found++
			v, err := readRevocation(d.rows, revocationRow(key.issuer, key.id, document), mac)
			if err == nil && isOver(v, now) {
				over = append(over, key)
			}
			return nil
		})
	return over, found, err
}

// removeRevocations removes those that no other replica has removed; errNothing if none is
// left.
func (t *tx) removeRevocations(over []named) error {
	removed := 0
	for _, key := range over {
		err := t.remove(rowauth.Name{Kind: rowauth.Revocation, Issuer: key.issuer, ID: key.id},
			`DELETE FROM revocation WHERE issuer = $1 AND id = $2 RETURNING mac`, key.issuer, key.id)
		switch {
		case err == nil:
			removed++
		case !errors.Is(err, registry.ErrNotFound):
			return err
		}
	}
	if removed == 0 {
		return errNothing
	}
	return nil
}
