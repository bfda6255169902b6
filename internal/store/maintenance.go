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

// maintain keeps other maintenance out until end is called: in this process any, in
// others what does not go with it. ok is false while another process is at it.
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

// Verify walks all chains of the ledger, as [history.Ledger.Verify] does. Prune waits
// until the walk is over.
func (d *DB) Verify(ctx context.Context, key ed25519.PublicKey) (ledger.VerifyReport, error) {
	end, ok, err := d.maintain(ctx, false)
	switch {
	case err != nil:
		return ledger.VerifyReport{}, fmt.Errorf("ledger: %w", err)
	case !ok:
		return ledger.VerifyReport{}, errors.New("ledger: old entries are being removed at this moment: try again in a minute")
	}
	report, err := d.ledger.Verify(ctx, key)
	if err := errors.Join(err, end()); err != nil {
		return ledger.VerifyReport{}, fmt.Errorf("ledger: %w", err)
	}
	return report, nil
}

// VerifyFile verifies, as Verify does, the ledger of the store in a file, a backup
// for instance, and changes nothing in it. A process that has the store open is not disturbed.
func VerifyFile(ctx context.Context, path string, key ed25519.PublicKey) (ledger.VerifyReport, error) {
	report, err := verifyFile(ctx, path, key)
	if err != nil {
		return ledger.VerifyReport{}, fmt.Errorf("store %s: %w", path, err)
	}
	return report, nil
}

func verifyFile(ctx context.Context, path string, key ed25519.PublicKey) (report ledger.VerifyReport, err error) {
	packer, err := history.NewPacker()
	if err != nil {
		return report, err
	}
	reads, closeFile, err := sqlite.OpenReadOnly(ctx, path)
	if err != nil {
		return report, err
	}
	if report, err = history.New(reads, packer).Verify(ctx, key); err != nil {
		err = fmt.Errorf("ledger: %w", err)
	}
	return report, errors.Join(err, closeFile())
}
