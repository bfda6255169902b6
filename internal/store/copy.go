package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"moneyer/internal/store/postgres"
	"moneyer/internal/store/sqlite"
	"moneyer/internal/store/transfer"
)

// What Copy reports.
type (
	// CopyReport is what a copy holds.
	CopyReport = transfer.Report
	// CopiedRows are the rows of a table.
	CopiedRows = transfer.Copied
)

// Copy copies the store at one URL into an empty one at another, and verifies the
// copy: every table by the number of its rows, and the ledger by its chains, which
// must lead where those of the source do. A copy that was cut goes on where it
// stopped when it is made again, unless the source was changed; nobody can open half of one.
//
// A file that is copied must not be open. A database may be in use: the copy is what
// it held when the copy began. Nobody waits for the copy but those who would remove
// old entries of the ledger.
//
// progress, if any, is told how many rows of a table are copied.
func Copy(ctx context.Context, from, to string, progress func(table string, done, total int64)) (CopyReport, error) {
	source, err := openSource(ctx, from)
	if err != nil {
		return CopyReport{}, fmt.Errorf("store %s: %w", nameOf(from), err)
	}
	target, err := openTarget(ctx, to)
	if err != nil {
		return CopyReport{}, errors.Join(fmt.Errorf("store %s: %w", nameOf(to), err), source.Close())
	}
	report, err := transfer.Copy(ctx, source, target, transfer.Options{Progress: progress})
	err = errors.Join(err, target.Close(ctx), source.Close())
	if path, file := strings.CutPrefix(to, "sqlite:"); file && err == nil {
		err = syncDirectory(filepath.Dir(path))
	}
	if ctx.Err() != nil {
		err = ctx.Err() // what else is said follows from it
	}
	if err != nil {
		return CopyReport{}, fmt.Errorf("copy %s to %s: %w", nameOf(from), nameOf(to), err)
	}
	return report, nil
}

func openSource(ctx context.Context, url string) (transfer.Source, error) {
	path, u, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	if u == nil {
		return sqlite.OpenSource(ctx, path)
	}
	return postgres.OpenSource(ctx, u)
}

func openTarget(ctx context.Context, url string) (transfer.Target, error) {
	path, u, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	if u == nil {
		return sqlite.OpenTarget(ctx, path)
	}
	return postgres.OpenTarget(ctx, u)
}

// backupDatabase copies a database into a file that nobody else knows of. Whoever asked
// for it verifies its ledger.
func backupDatabase(ctx context.Context, u *postgres.URL, path string) error {
	source, err := postgres.OpenSource(ctx, u)
	if err != nil {
		return err
	}
	target, err := sqlite.NewTarget(ctx, path)
	if err != nil {
		return errors.Join(err, source.Close())
	}
	_, err = transfer.Copy(ctx, source, target, transfer.Options{SkipVerify: true})
	return errors.Join(err, target.Close(ctx), source.Close())
}
