package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
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

// Where Migrate is to bring a schema, if not to a version that is named.
const (
	Newest = -1 // every step that this program knows
	Back   = -2 // one step back
)

// Migration is what Migrate did to a schema.
type Migration struct{ From, To int }

// Migrate brings the schema of the store at url to a version, all in one transaction,
// or leaves it as it was. A database may be in use meanwhile: programs that know one
// step less work on. Before one step back, those that need the step must have ended.
// A file must not be open, and has no way back.
func Migrate(ctx context.Context, url string, to int) (Migration, error) {
	m, err := migrateURL(ctx, url, to)
	if err != nil {
		return Migration{}, fmt.Errorf("store %s: %w", nameOfStore(url), err)
	}
	return m, nil
}

func migrateURL(ctx context.Context, url string, to int) (Migration, error) {
	path, u, err := whereOf(url)
	switch {
	case err != nil:
		return Migration{}, err
	case u == nil:
		return migrateFile(ctx, path, to)
	default:
		return migratePostgres(ctx, u, migrations, to)
	}
}

func migrateFile(ctx context.Context, path string, to int) (m Migration, err error) {
	steps, err := fileSteps()
	if err != nil {
		return m, err
	}
	if to != Newest && to != len(steps) {
		return m, errors.New("the schema of a file goes to the newest version alone: to go back, restore a backup")
	}
	if path, err = filepath.Abs(path); err != nil {
		return m, err
	}
	unlock, err := hold(path + ".lock")
	if err != nil {
		return m, err
	}
	db, err := sqlitePool(path, 1, "synchronous(FULL)")
	if err != nil {
		return m, errors.Join(err, unlock())
	}
	m.To = len(steps)
	if m.From, err = fileVersion(ctx, db); err != nil {
		m.From = 0 // a new file
	}
	return m, errors.Join(migrate(ctx, db), db.Close(), unlock())
}
