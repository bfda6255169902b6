package store

import (
	"context"
	"time"

	"moneyer/internal/store/engine"
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
	revocations, err := engine.DeleteInSteps(ctx, d.writer, `DELETE FROM revocation WHERE (issuer, id) IN
		(SELECT issuer, id FROM revocation WHERE until <= $1 ORDER BY until LIMIT $2)`, forgetBatch, now.UnixMilli(), forgetBatch)
	return values + revocations, err
}
