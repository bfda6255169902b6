package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"io"

	"moneyer/internal/adminapi"
	"moneyer/internal/ledger"
)

// verifyFile verifies an export in a file, or standard input when name is "-".
func (o *onboarding) verifyFile(ctx context.Context, name string, key ed25519.PublicKey, heads []ledger.Head) (adminapi.Verified, error) {
	file, err := o.openInput(name)
	if err != nil {
		return adminapi.Verified{}, usage(err)
	}
	defer func() { _ = file.Close() }()
	in := io.Reader(file)
	if name == "-" {
		in = struct{ io.Reader }{file} // hides Seek: standard input is read once
	}
	report, err := ledger.Verify(ctx, ledger.NewExport(in), ledger.Options{Key: key, Heads: heads, Partial: true})
	switch {
	case errors.Is(err, ledger.ErrReadOnce):
		return adminapi.Verified{}, usagef("checkpoints name earlier entries: verify an export of several chains as a file, not from standard input")
	case err != nil:
		return adminapi.Verified{}, usagef("%s: %w", name, err)
	}
	return adminapi.ShowVerified(&report, key), nil
}
