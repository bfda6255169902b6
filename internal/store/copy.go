package store

import (
	"context"
	"errors"
	"fmt"

	"moneyer/internal/store/postgres"
	"moneyer/internal/store/sqlite"
	"moneyer/internal/store/transfer"
)

// The result of Copy.
type (
	// CopyReport is the contents of a copy.
	CopyReport = transfer.Report
	// CopiedRows is the number of rows of a table.
	CopiedRows = transfer.Copied
)

// Copy copies the store at one URL into an empty one at another, and verifies the copy:
// the number of rows of every table, and the chains of the ledger, which must end with the
// same hashes as those of the source. An interrupted copy is resumed by the next call,
// unless the source was changed. An incomplete copy cannot be opened.
//
// A source file must not be open. A source database may be in use: the copy has its state
// at the start. During the copy only the removal of old entries of the ledger is blocked.
//
// progress, if not nil, is called with the number of copied rows of a table.
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
	if ctx.Err() != nil {
		err = ctx.Err() // other errors follow from it
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

// backupDatabase copies a database into a new file. The caller verifies its ledger.
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
