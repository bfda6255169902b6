package transfer

import (
	"context"
	"errors"
	"fmt"
)

// prepare checks that the target is empty, or has a part of the same copy.
func (c *copying) prepare(ctx context.Context) (resumed bool, err error) {
	mark := c.point.mark()
	if unfinished, err := c.target.Unfinished(ctx); err != nil {
		return false, err
	} else if unfinished {
		return true, c.resume(ctx, mark)
	}
	if err := c.empty(ctx); err != nil {
		return false, err
	}
	err = c.transact(ctx, func(q Querier) error {
		if _, err := q.ExecContext(ctx, `CREATE TABLE `+Unfinished+` (mark TEXT NOT NULL)`); err != nil {
			return err
		}
		_, err := q.ExecContext(ctx, `INSERT INTO `+Unfinished+` (mark) VALUES ($1)`, mark)
		return err
	})
	if err != nil {
		return false, err
	}
	if err := c.target.Served(ctx); err != nil {
		_, undo := c.target.Conn().ExecContext(ctx, `DROP TABLE `+Unfinished)
		return false, errors.Join(err, undo)
	}
	return false, nil
}

// resume refuses a target with a part of another copy.
func (c *copying) resume(ctx context.Context, mark string) error {
	var begun string
	if err := c.target.Conn().QueryRowContext(ctx, `SELECT mark FROM `+Unfinished).Scan(&begun); err != nil {
		return err
	}
	if begun != mark {
		return errors.New("it holds an unfinished copy of another store, or of this one before it changed: begin again with an empty one")
	}
	return c.target.Served(ctx)
}

func (c *copying) empty(ctx context.Context) error {
	for _, table := range append(RegistryTables(), UsedTable(), LedgerTable()) {
		var there bool
		if err := c.target.Conn().QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM `+table.Name+`)`).Scan(&there); err != nil {
			return err
		}
		if there {
			return fmt.Errorf("it is not empty: %s has rows", table.Name)
		}
	}
	return nil
}
