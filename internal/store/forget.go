package store

import (
	"context"
	"time"
)

// forgetAtOnce is how many rows one transaction removes: few enough that the
// writer is soon free again.
const forgetAtOnce = 128

// Forget removes what is over at now: the keys of assertions that are refused for
// their age, and revocations whose tokens have all ended. It returns how many.
func (d *DB) Forget(ctx context.Context, now time.Time) (int64, error) {
	keys, err := d.database.forgetUsed(ctx, d, now)
	if err != nil {
		return keys, err
	}
	revocations, err := d.forget(ctx, `DELETE FROM revocation WHERE (issuer, id) IN
		(SELECT issuer, id FROM revocation WHERE until <= $1 ORDER BY until LIMIT $2)`, now)
	return keys + revocations, err
}

func (s *sqliteFile) forgetUsed(ctx context.Context, d *DB, now time.Time) (int64, error) {
	err := d.writer.do(ctx, func(t *tx) error { // first, so that no restart knows less than the set did
		_, err := t.exec(`UPDATE used_forgotten SET at = $1 WHERE at < $1`, now.Unix())
		return err
	})
	if err != nil {
		return 0, err
	}
	keys := s.used.forget(now.Unix())
	for _, statement := range []string{
		`DELETE FROM used_batch WHERE (until, first_seq) IN
		(SELECT until, first_seq FROM used_batch WHERE until <= $1 ORDER BY until LIMIT $2)`,
		`DELETE FROM use_up WHERE key IN
		(SELECT key FROM use_up WHERE until <= $1 ORDER BY until LIMIT $2)`,
	} {
		if _, err := d.forget(ctx, statement, now); err != nil {
			return keys, err
		}
	}
	return keys, nil
}

// forget runs a statement until it finds fewer rows than it may take at once.
func (d *DB) forget(ctx context.Context, statement string, now time.Time) (int64, error) {
	for total := int64(0); ; {
		var removed int64
		err := d.writer.do(ctx, func(t *tx) (err error) {
			removed, err = t.exec(statement, now.UnixMilli(), forgetAtOnce)
			return err
		})
		if err != nil {
			return total, err
		}
		if total += removed; removed < forgetAtOnce {
			return total, nil
		}
	}
}
