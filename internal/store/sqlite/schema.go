package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"moneyer/internal/store/engine"
)

// CheckSchema returns an error if the schema of a file is not the one that the migrations
// make: a trigger, a view in the place of a table, or another definition of a table decides
// what a statement reads and writes. Further tables and indexes are no error.
func CheckSchema(ctx context.Context, reads *engine.Reader) error {
	wanted, err := wantedTables(ctx)
	if err != nil {
		return err
	}
	err = reads.List(ctx, `SELECT name, coalesce(sql, '') FROM sqlite_master`, nil, func(scan func(...any) error) error {
		var name, text string
		if err := scan(&name, &text); err != nil {
			return err
		}
		// SQLite goes by the text alone, and not by the columns beside it.
		table := strings.HasPrefix(text, "CREATE TABLE ")
		if _, ours := wanted[text]; ours {
			delete(wanted, text)
		} else if !table && text != "" && !strings.HasPrefix(text, "CREATE INDEX ") {
			return fmt.Errorf("%w: it has %q (%.80s)", engine.ErrSchema, name, text)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, name := range wanted {
		return fmt.Errorf("%w: its table %q is missing or another", engine.ErrSchema, name)
	}
	return nil
}

// wantedTables returns the tables of a new file, by the text that defines each.
func wantedTables(ctx context.Context) (tables map[string]string, err error) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1) // each connection has a memory of its own
	if err := migrate(ctx, db); err != nil {
		return nil, err
	}
	tables = map[string]string{}
	reads := engine.NewReader(db, nil)
	return tables, reads.List(ctx, `SELECT name, sql FROM sqlite_master WHERE type = 'table'`, nil, func(scan func(...any) error) error {
		var name, text string
		err := scan(&name, &text)
		tables[text] = name
		return err
	})
}
