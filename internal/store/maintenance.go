package store

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"

	"moneyer/internal/ledger"
	"moneyer/internal/store/history"
	"moneyer/internal/store/sqlite"
)

// maintain locks out other maintenance until end is called: all in this process, and what
// conflicts in others. ok is false while another process holds a conflicting lock.
func (d *DB) maintain(ctx context.Context, remove bool) (end func() error, ok bool, err error) {
	if err := d.maintenance.Acquire(ctx, 1); err != nil {
		return nil, false, err
	}
	release, ok, err := d.engine.HoldOldEntries(ctx, remove)
	if err != nil || !ok {
		d.maintenance.Release(1)
		return nil, false, err
	}
	return func() error {
		defer d.maintenance.Release(1)
		return release()
	}, true, nil
}

// Verify verifies all chains of the ledger, as [history.Ledger.Verify] does. Prune waits
// until it has ended.
func (d *DB) Verify(ctx context.Context, key ed25519.PublicKey, noted ...ledger.Head) (ledger.VerifyReport, error) {
	end, ok, err := d.maintain(ctx, false)
	switch {
	case err != nil:
		return ledger.VerifyReport{}, fmt.Errorf("ledger: %w", err)
	case !ok:
		return ledger.VerifyReport{}, errors.New("ledger: another process is removing old entries: try again in a minute")
	}
	report, err := d.ledger.Verify(ctx, key, noted...)
	if err := errors.Join(err, end()); err != nil {
		return ledger.VerifyReport{}, fmt.Errorf("ledger: %w", err)
	}
	return report, nil
}

// VerifyFile verifies the ledger of the store in a file, such as a backup, as Verify does.
// It changes nothing, and the store may be in use.
func VerifyFile(ctx context.Context, path string, key ed25519.PublicKey, noted ...ledger.Head) (ledger.VerifyReport, error) {
	report, err := verifyFile(ctx, path, key, noted)
	if err != nil {
		return ledger.VerifyReport{}, fmt.Errorf("store %s: %w", path, err)
	}
	return report, nil
}

func verifyFile(ctx context.Context, path string, key ed25519.PublicKey, noted []ledger.Head) (report ledger.VerifyReport, err error) {
	packer, err := history.NewPacker()
	if err != nil {
		return report, err
	}
	reads, closeFile, err := sqlite.OpenReadOnly(ctx, path)
	if err != nil {
		return report, err
	}
	if report, err = history.New(reads, packer).Verify(ctx, key, noted...); err != nil {
		err = fmt.Errorf("ledger: %w", err)
	}
	return report, errors.Join(err, closeFile())
}
