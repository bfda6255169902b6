package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5"
)

// newest asks for every step that this program knows.
const newest = -1

// migratePostgres brings the schema to a step, all in one transaction, or leaves it
// as it was. A step must be safe while programs of the step before still run: it adds
// and never takes away what they use. schema_version says so to programs that start:
// oldest is the step from which on a program can work with it.
func migratePostgres(ctx context.Context, u *postgresURL, to int) error {
	conn, _, err := u.dial(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	steps, err := postgresSteps(migrations)
	if err != nil {
		return err
	}
	version, oldest, err := postgresVersion(ctx, conn)
	if err != nil {
		return err
	}
	switch {
	case to == newest && version >= len(steps) && oldest <= len(steps):
		return nil
	case to == newest && version > len(steps):
		return fmt.Errorf("its schema has version %d, for programs that know %d, and this one knows %d: use a newer program", version, oldest, len(steps))
	case to == newest:
		to = len(steps)
	}
	return pgx.BeginFunc(ctx, conn, func(pgx.Tx) error { return moveSchema(ctx, conn, steps, to) })
}

// moveSchema takes the turn among all who would migrate, and goes step by step.
func moveSchema(ctx context.Context, conn *pgx.Conn, steps []schemaStep, to int) error {
	script := func(text string) error {
		_, err := conn.PgConn().Exec(ctx, text).ReadAll()
		return err
	}
	if err := script(`SELECT pg_advisory_xact_lock(7305813);
		CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL, oldest BIGINT NOT NULL);
		INSERT INTO schema_version (version, oldest) SELECT 0, 0 WHERE NOT EXISTS (SELECT FROM schema_version)`); err != nil {
		return err
	}
	version, _, err := postgresVersion(ctx, conn)
	if err != nil {
		return err
	}
	for ; version < to; version++ {
		if err := script(steps[version].up); err != nil {
			return fmt.Errorf("%s: %w", steps[version].name, err)
		}
	}
	for ; version > to; version-- {
		if version > len(steps) || steps[version-1].down == "" {
			return fmt.Errorf("this program knows no way back from version %d of the schema", version)
		}
		if err := script(steps[version-1].down); err != nil {
			return fmt.Errorf("back from %s: %w", steps[version-1].name, err)
		}
	}
	return nil
}

// schemaStep is one step of the schema, and the way back.
type schemaStep struct{ name, up, down string }

// postgresSteps reads the steps, NNNN_what.sql, and beside some of them the way back,
// NNNN_what.down.sql.
func postgresSteps(files fs.FS) (steps []schemaStep, err error) {
	names, err := fs.Glob(files, "migrations/postgres/*.sql")
	if err != nil {
		return nil, err
	}
	back := map[string]string{}
	for _, name := range names { // the ways back come first
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		if step, ok := strings.CutSuffix(name, ".down.sql"); ok {
			back[step+".sql"] = string(text)
			continue
		}
		steps = append(steps, schemaStep{name: name, up: string(text), down: back[name]})
	}
	return steps, nil
}

// postgresVersion reads the version, which is 0 for a new database.
func postgresVersion(ctx context.Context, conn *pgx.Conn) (version, oldest int, err error) {
	var there bool
	if err := conn.QueryRow(ctx, `SELECT to_regclass('schema_version') IS NOT NULL`).Scan(&there); err != nil || !there {
		return 0, 0, err
	}
	err = conn.QueryRow(ctx, `SELECT version, oldest FROM schema_version`).Scan(&version, &oldest)
	if errors.Is(err, pgx.ErrNoRows) {
		err = nil
	}
	return version, oldest, err
}
