package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5"
)

// preparePostgres makes the schema of a database that has none, and refuses one with
// which this program cannot work.
func preparePostgres(ctx context.Context, u *postgresURL, files fs.FS) error {
	steps, err := postgresSteps(files)
	if err != nil {
		return err
	}
	conn, _, err := u.dial(ctx, nil)
	if err != nil {
		return err
	}
	version, oldest, err := postgresVersion(ctx, conn)
	_ = conn.Close(context.WithoutCancel(ctx)) // it only read
	switch {
	case err != nil:
		return err
	case version == 0:
		_, err = migratePostgres(ctx, u, files, Newest)
		return err
	default:
		return checkVersion(version, oldest, len(steps))
	}
}

// checkVersion tells whether a program that knows a number of steps can work with a
// schema of a version, which says from which step on programs can.
func checkVersion(version, oldest, known int) error {
	switch {
	case version < known:
		return fmt.Errorf("its schema has version %d, and this program works with version %d: run `moneyer store migrate`, which does no harm to programs that run", version, known)
	case oldest > known:
		return fmt.Errorf("its schema has version %d, for programs that know %d, and this one knows %d: use a newer program", version, oldest, known)
	}
	return nil
}

// migratePostgres brings the schema to a step, all in one transaction, or leaves it
// as it was. A step must be safe while programs of the step before still run: it adds
// and never takes away what they use. schema_version says so to programs that start:
// oldest is the step from which on a program can work with it.
func migratePostgres(ctx context.Context, u *postgresURL, files fs.FS, to int) (m Migration, err error) {
	steps, err := postgresSteps(files)
	if err != nil {
		return m, err
	}
	config := u.config.Copy()
	config.RuntimeParams["statement_timeout"] = "0" // a step takes as long as it takes
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return m, unavailable(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	err = pgx.BeginFunc(ctx, conn, func(pgx.Tx) error {
		m, err = moveSchema(ctx, conn, steps, to)
		return err
	})
	return m, err
}

// moveSchema takes the turn among all who would migrate, and goes step by step.
func moveSchema(ctx context.Context, conn *pgx.Conn, steps []schemaStep, to int) (m Migration, err error) {
	if err := script(ctx, conn, `SELECT pg_advisory_xact_lock(7305813);
		CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL, oldest BIGINT NOT NULL);
		INSERT INTO schema_version (version, oldest) SELECT 0, 0 WHERE NOT EXISTS (SELECT FROM schema_version);
		SET LOCAL lock_timeout = '5s'`); err != nil { // those who run wait behind a step that waits
		return m, err
	}
	version, _, err := postgresVersion(ctx, conn)
	if err != nil {
		return m, err
	}
	if to, err = target(version, to, len(steps)); err != nil {
		return m, err
	}
	m.From, m.To = version, to
	for ; version < to; version++ {
		if err := script(ctx, conn, steps[version].up); err != nil {
			return m, fmt.Errorf("%s: %w", steps[version].name, err)
		}
	}
	for ; version > to; version-- {
		if steps[version-1].down == "" {
			return m, fmt.Errorf("there is no way back from version %d of the schema: restore a backup", version)
		}
		if err := script(ctx, conn, steps[version-1].down); err != nil {
			return m, fmt.Errorf("back from %s: %w", steps[version-1].name, err)
		}
	}
	_, err = conn.Exec(ctx, `UPDATE schema_version SET version = $1`, to)
	return m, err
}

// target finds out which step is meant.
func target(version, to, known int) (int, error) {
	switch {
	case version > known && to == Newest:
		return version, nil
	case version > known:
		return 0, fmt.Errorf("its schema has version %d, and this program knows none above %d: use the newer program", version, known)
	case to == Newest:
		return known, nil
	case to == Back && version < 2:
		return 0, errors.New("its schema is at the first version, before which there is none")
	case to == Back:
		return version - 1, nil
	case to < 1 || to > known:
		return 0, fmt.Errorf("this program knows the versions 1 to %d of the schema, and not %d", known, to)
	}
	return to, nil
}

func script(ctx context.Context, conn *pgx.Conn, text string) error {
	_, err := conn.PgConn().Exec(ctx, text).ReadAll()
	return err
}

// schemaStep is one step of the schema, and the way back.
type schemaStep struct{ name, up, down string }

// postgresSteps reads the steps, NNNN_what.sql, and beside some of them the way back,
// NNNN_what.down.sql. Each sets schema_version.oldest.
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
