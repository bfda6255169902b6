package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5"

	"moneyer/internal/store/engine"
)

// migrations holds the steps of the schema. A released step is never changed. See readSteps.
//
//go:embed migrations
var migrations embed.FS

// Migrate migrates the schema of a database to a version in one transaction. The database
// may be in use: programs that know one step less keep working. Before a step back,
// programs that need the step must be stopped.
func Migrate(ctx context.Context, u *URL, to int) (engine.Migration, error) {
	return migrate(ctx, u, migrations, to)
}

// prepare creates the schema of an empty database if create is set, and refuses a version
// with which this program cannot work.
func prepare(ctx context.Context, u *URL, create bool, files fs.FS) error {
	steps, err := readSteps(files)
	if err != nil {
		return err
	}
	conn, _, err := u.dial(ctx, writeSettings())
	if err != nil {
		return err
	}
	version, oldest, err := readVersion(ctx, conn)
	_ = conn.Close(context.WithoutCancel(ctx)) // it only read
	switch {
	case err != nil:
		return err
	case version == 0 && !create:
		return fmt.Errorf("%w, as does `moneyer store migrate`", engine.ErrNoStore)
	case version == 0:
		_, err = migrate(ctx, u, files, engine.Newest)
		return err
	default:
		return engine.CheckVersion(version, oldest, len(steps))
	}
}

// migrate migrates the schema to a step in one transaction. A step must be safe while
// programs of the previous step still run: it adds, and never removes what they use.
// schema_version.oldest is the oldest step whose programs can work with the schema, for
// programs that start.
func migrate(ctx context.Context, u *URL, files fs.FS, to int) (m engine.Migration, err error) {
	steps, err := readSteps(files)
	if err != nil {
		return m, err
	}
	config := u.config.Copy()
	removeTimeouts(config) // a step has no time limit
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return m, unavailable(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	err = pgx.BeginFunc(ctx, conn, func(pgx.Tx) error {
		m, err = applySteps(ctx, conn, steps, to)
		return err
	})
	return m, err
}

// applySteps excludes other migrations, and applies the steps one after the other.
func applySteps(ctx context.Context, conn *pgx.Conn, steps []schemaStep, to int) (m engine.Migration, err error) {
	if err := script(ctx, conn, `SELECT pg_advisory_xact_lock(7305813);
		CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL, oldest BIGINT NOT NULL);
		INSERT INTO schema_version (version, oldest) SELECT 0, 0 WHERE NOT EXISTS (SELECT FROM schema_version);
		SET LOCAL lock_timeout = '5s'`); err != nil { // a waiting step blocks the queries of running programs
		return m, err
	}
	version, _, err := readVersion(ctx, conn)
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

// target returns the number of the target step.
func target(version, to, known int) (int, error) {
	switch {
	case version > known && to == engine.Newest:
		return version, nil
	case version > known:
		return 0, fmt.Errorf("its schema has version %d, and this program knows none above %d: use the newer program", version, known)
	case to == engine.Newest:
		return known, nil
	case to == engine.Back && version < 2:
		return 0, errors.New("its schema is at the first version, before which there is none")
	case to == engine.Back:
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

// schemaStep is one step of the schema, and the script that reverts it.
type schemaStep struct{ name, up, down string }

// readSteps reads the steps, NNNN_what.sql, and for some the script that reverts it,
// NNNN_what.down.sql. Each sets schema_version.oldest.
func readSteps(files fs.FS) (steps []schemaStep, err error) {
	names, err := fs.Glob(files, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	back := map[string]string{}
	for _, name := range names { // .down.sql sorts before .sql
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

// readVersion reads the version, which is 0 for a new database.
func readVersion(ctx context.Context, conn *pgx.Conn) (version, oldest int, err error) {
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
