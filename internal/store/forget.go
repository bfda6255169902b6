package store

import (
	"context"
	"time"
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

// forgetRevocations deletes the revocations that are over at now. One that does not verify
// stays, so that it is reported.
func (d *DB) forgetRevocations(ctx context.Context, now time.Time) (forgotten int64, err error) {
	for kept := 0; ; {
		var over []named
		var found int
		err := d.writer.do(ctx, func(t *tx) (err error) {
			if over, found, err = t.revocationsOver(now, kept); err != nil {
				return err
			}
			for _, key := range over {
				if _, err := t.Exec(`DELETE FROM revocation WHERE issuer = $1 AND id = $2`, key.issuer, key.id); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return forgotten, err
		}
		forgotten, kept = forgotten+int64(len(over)), kept+found-len(over)
		if found < forgetBatch {
			return forgotten, nil
		}
	}
}

// revocationsOver lists revocations that are over at now, among the next that may be. It
// skips as many as earlier calls found that are not.
func (t *tx) revocationsOver(now time.Time, skip int) (over []named, found int, err error) {
	err = t.List(`SELECT issuer, id, document, mac FROM revocation WHERE until <= $1 ORDER BY until, issuer, id LIMIT $2 OFFSET $3`,
		[]any{now.UnixMilli(), forgetBatch, skip},
		func(scan func(...any) error) error {
			var key named
			var document, mac []byte
			if err := scan(&key.issuer, &key.id, &document, &mac); err != nil {
				return err
			}
			found++
			v, err := readRevocation(t.rows, revocationRow(key.issuer, key.id, document), mac)
			if err == nil && isOver(v, now) {
				over = append(over, key)
			}
			return nil
		})
	return over, found, err
}
