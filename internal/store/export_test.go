package store

import (
	"context"
	"errors"
)

// Alter implements storetest.Altered.
func (d *DB) Alter(ctx context.Context, statement string, args ...any) error {
	defer d.cache.clear()
	return d.writer.do(ctx, func(t *tx) error {
		changed, err := t.Exec(statement, args...)
		if err == nil && changed == 0 {
			err = errors.New("no row was altered")
		}
		return err
	})
}
