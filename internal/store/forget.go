package store

import (
	"context"
	"time"

	"moneyer/internal/store/engine"
)

// forgetAtOnce is how many rows one transaction removes: few enough that the
// writer is soon free again.
const forgetBatch = 128

// Forget removes what is over at now: the consumed values of assertions that are refused
// for their age, and revocations whose tokens have all ended. It returns how many.
func (d *DB) Forget(ctx context.Context, now time.Time) (int64, error) {
	values, err := d.engine.ForgetConsumed(ctx, d.writer, now)
	if err != nil {
		return values, err
	}
	revocations, err := engine.DeleteInSteps(ctx, d.writer, `DELETE FROM revocation WHERE (issuer, id) IN
		(SELECT issuer, id FROM revocation WHERE until <= $1 ORDER BY until LIMIT $2)`, forgetBatch, now.UnixMilli(), forgetBatch)
	return values + revocations, err
}
