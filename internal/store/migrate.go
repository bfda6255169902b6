package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
)

// migrations holds one file per step of the schema, named NNNN_what.sql and
// numbered from 1 without a gap. A released file is never changed.
//
//go:embed migrations
var migrations embed.FS

// migrate brings the schema forward, all steps in one transaction, or leaves it
// as it was. A schema that is newer than the last known step is refused.
func migrate(ctx context.Context, db *sql.DB) error {
	steps, err := fileSteps()
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

func fileSteps() ([]string, error) { return fs.Glob(migrations, "migrations/sqlite/*.sql") }

func applySteps(ctx context.Context, conn *sql.Conn, steps []string) error {
	version, err := schemaVersion(ctx, conn)
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

// schemaVersion reads the version, which is 0 for a new database.
func schemaVersion(ctx context.Context, conn *sql.Conn) (version int, err error) {
	if _, err := conn.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)`); err != nil {
		return 0, err
	}
	err = conn.QueryRowContext(ctx, `SELECT version FROM schema_version`).Scan(&version)
	if errors.Is(err, sql.ErrNoRows) {
		_, err = conn.ExecContext(ctx, `INSERT INTO schema_version (version) VALUES (0)`)
	}
	return version, err
}
