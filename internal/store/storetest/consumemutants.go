package storetest

import (
	"context"
	"errors"

	"moneyer/internal/ledger"
)

// consumesFirst consumes one value of several.
type consumesFirst struct{ Store }

func (s *consumesFirst) Append(ctx context.Context, e *ledger.Entry, consumed ...ledger.Consumed) error {
	return s.Store.Append(ctx, e, consumed[:min(1, len(consumed))]...)
}

// consumesDespiteReplay consumes the values before a replayed one.
type consumesDespiteReplay struct {
	Store
	marks marks
}

func (s *consumesDespiteReplay) Append(ctx context.Context, e *ledger.Entry, consumed ...ledger.Consumed) error {
	if err := s.marks.check(consumed); err != nil {
		return err
	}
	err := s.Store.Append(ctx, e, consumed...)
	if replayed := (*ledger.ReplayedError)(nil); errors.As(err, &replayed) {
		s.marks.mark(consumed[:replayed.Index])
	}
	return err
}

// omitsIndex does not report which value was replayed.
type omitsIndex struct{ Store }

func (s *omitsIndex) Append(ctx context.Context, e *ledger.Entry, consumed ...ledger.Consumed) error {
	err := s.Store.Append(ctx, e, consumed...)
	if replayed := (*ledger.ReplayedError)(nil); errors.As(err, &replayed) {
		return &ledger.ReplayedError{Sealed: replayed.Sealed}
	}
	return err
}
