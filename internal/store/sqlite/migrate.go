package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"moneyer/internal/store/engine"
	"moneyer/internal/store/transfer"
)

// migrations holds one file per step of the schema, named NNNN_what.sql and
// numbered from 1 without a gap. A released file is never changed.
//
//go:embed migrations
var migrations embed.FS

func steps() ([]string, error) { return fs.Glob(migrations, "migrations/*.sql") }

// migrate migrates the schema to the newest step in one transaction. It refuses a newer
// schema.
func migrate(ctx context.Context, db *sql.DB) error {
	steps, err := steps()
	if err != nil {
		return err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if err := applySteps(ctx, conn, steps); err != nil {
		_, rollback := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		return errors.Join(err, rollback)
	}
	_, err = conn.ExecContext(ctx, "COMMIT")
	return err
}

func applySteps(ctx context.Context, conn *sql.Conn, steps []string) error {
	version, err := makeVersion(ctx, conn)
	if err != nil {
		return err
	}
	if version > len(steps) {
		return fmt.Errorf("its schema has version %d, and this program knows none above %d: use a newer program", version, len(steps))
	}
	for _, step := range steps[version:] {
		text, err := migrations.ReadFile(step)
		if err != nil {
			return err
		}
		if _, err := conn.ExecContext(ctx, string(text)); err != nil {
			return fmt.Errorf("%s: %w", step, err)
		}
	}
	_, err = conn.ExecContext(ctx, `UPDATE schema_version SET version = $1`, len(steps))
	return err
}

// makeVersion reads the version, which is 0 for a new database.
func makeVersion(ctx context.Context, conn *sql.Conn) (version int, err error) {
	if _, err := conn.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)`); err != nil {
		return 0, err
	}
	version, err = readVersion(ctx, conn)
	if errors.Is(err, sql.ErrNoRows) {
		_, err = conn.ExecContext(ctx, `INSERT INTO schema_version (version) VALUES (0)`)
	}
	return version, err
}

// readVersion reads the version of a file's schema.
func readVersion(ctx context.Context, q transfer.Querier) (version int, err error) {
	err = q.QueryRowContext(ctx, `SELECT version FROM schema_version`).Scan(&version)
	return version, err
}

// requireSchema returns engine.ErrNoStore if the schema of a file was never made.
func requireSchema(ctx context.Context, q transfer.Querier) error {
	var made bool
	err := q.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_master WHERE name = 'schema_version'`).Scan(&made)
	if err == nil && !made {
		err = engine.ErrNoStore
	}
	return err
}

// Migrate migrates the schema of the file at path to the newest version in one transaction.
// The file must not be open, and cannot go back.
func Migrate(ctx context.Context, path string, to int) (m engine.Migration, err error) {
	steps, err := steps()
	if err != nil {
		return m, err
	}
	if to != engine.Newest && to != len(steps) {
		return m, errors.New("the schema of a file goes to the newest version alone: to go back, restore a backup")
	}
	if err := refuseName(path); err != nil {
		return m, err
	}
	if err := there(path); err != nil {
		return m, err
	}
	held, err := hold(path, false)
	if err != nil {
		return m, err
	}
	db, err := openPool(held.path, 1, readCache, "synchronous(FULL)")
	if err != nil {
		return m, errors.Join(err, held.release())
	}
	m.To = len(steps)
	if err = requireSchema(ctx, db); err == nil {
		m.From, err = readVersion(ctx, db)
	}
	if err == nil {
		err = migrate(ctx, db)
	}
	return m, errors.Join(err, db.Close(), held.release())
}
