package storetest

import (
	"context"
	"crypto/ed25519"
	"time"

	"moneyer/internal/ledger"
)

// noCheckpoints makes no checkpoints.
type noCheckpoints struct{ Store }

func (s *noCheckpoints) Checkpoint(context.Context, ledger.Signer) ([]ledger.Head, error) {
	return nil, nil
}

// alwaysCheckpoints makes a checkpoint without new entries.
type alwaysCheckpoints struct{ Store }

func (s *alwaysCheckpoints) Checkpoint(ctx context.Context, sign ledger.Signer) ([]ledger.Head, error) {
	if err := s.Append(ctx, change("restless")); err != nil {
		return nil, err
	}
	return s.Store.Checkpoint(ctx, sign)
}

// signsElse signs another message than it records.
type signsElse struct{ Store }

func (s *signsElse) Checkpoint(ctx context.Context, sign ledger.Signer) ([]ledger.Head, error) {
	return s.Store.Checkpoint(ctx, func(message []byte) ([]byte, error) { return sign(append(message, 0)) })
}

// ignoresSignatures verifies no signature.
type ignoresSignatures struct{ Store }

func (s *ignoresSignatures) Verify(ctx context.Context, key ed25519.PublicKey, noted ...ledger.Head) (ledger.VerifyReport, error) {
	report, err := s.Store.Verify(ctx, nil, noted...)
	report.Signed = key != nil
	return report, err
}

// ignoresHeads verifies no head that was noted elsewhere.
type ignoresHeads struct{ Store }

func (s *ignoresHeads) Verify(ctx context.Context, key ed25519.PublicKey, noted ...ledger.Head) (ledger.VerifyReport, error) {
	report, err := s.Store.Verify(ctx, key)
	report.Heads = int64(len(noted))
	return report, err
}

// ignoresRetention prunes as if nothing had to be kept.
type ignoresRetention struct{ Store }

func (s *ignoresRetention) Prune(ctx context.Context, before time.Time, _ time.Duration, sign ledger.Signer) (int64, error) {
	return s.Store.Prune(ctx, before, 0, sign)
}

// prunesUnsigned does not sign its anchors.
type prunesUnsigned struct{ Store }

func (s *prunesUnsigned) Prune(ctx context.Context, before time.Time, retention time.Duration, _ ledger.Signer) (int64, error) {
	return s.Store.Prune(ctx, before, retention, func([]byte) ([]byte, error) { return nil, nil })
}
