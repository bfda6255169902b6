package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"os"

	"moneyer/internal/admin"
	"moneyer/internal/ledger"
)

// verifyFile verifies an export in a file, or standard input when name is "-".
func (o *onboarding) verifyFile(ctx context.Context, name string, key ed25519.PublicKey) (admin.Verified, error) {
	in := io.Reader(struct{ io.Reader }{o.in}) // which is read once, whatever it is
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return admin.Verified{}, usage(err)
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	report, err := ledger.Verify(ctx, ledger.NewExport(in), ledger.Options{Key: key, Partial: true})
	switch {
	case errors.Is(err, ledger.ErrReadOnce):
		return admin.Verified{}, usagef("checkpoints name entries that came before: verify an export of several chains as a file, not from standard input")
	case err != nil:
		return admin.Verified{}, usagef("%s: %w", name, err)
	}
	return admin.ShowVerified(&report, key), nil
}
