package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"moneyer/internal/store"
)

const (
	// auditEvery is how often the registry is compared with the ledger, and auditAgain how
	// often while it differs, or could not be read.
	auditEvery, auditAgain = time.Hour, time.Minute
	// auditWait is how long a start waits for the first comparison.
	auditWait = time.Second
)

// watchRegistry compares the registry with the ledger until ctx ends. It calls first after the
// first comparison.
func (s *state) watchRegistry(ctx context.Context, first func()) {
	for ; ctx.Err() == nil; first = func() {} {
		next := auditAgain
		if s.auditRegistry(ctx) {
			next = auditEvery
		}
		first()
		rest := time.NewTimer(next)
		select {
		case <-rest.C:
		case <-ctx.Done():
			rest.Stop()
		}
	}
}

// auditRegistry compares the registry with the ledger once. It reports whether all is as it was
// recorded.
func (s *state) auditRegistry(ctx context.Context) bool {
	found, err := s.db.Audit(ctx)
	s.problems.report("compare the registry with the ledger", err)
	if err != nil {
		return false
	}
	s.audit.Store(&found)
	s.problems.report("find the registry as the ledger records it", differenceOf(&found))
	s.problems.report("verify each row of the registry", unverifiedOf(&found))
	return found.Difference == "" && found.Unverified == 0
}

func differenceOf(a *store.Audit) error {
	if a.Difference == "" {
		return nil
	}
	return errors.New(a.Difference)
}

// maxLoggedNames bounds the rows that one line of the log names.
const maxLoggedNames = 10

func unverifiedOf(a *store.Audit) error {
	if a.Unverified == 0 {
		return nil
	}
	return fmt.Errorf("%d rows do not verify under the master key, and are refused: %v; see moneyer store repair",
		a.Unverified, a.Names[:min(len(a.Names), maxLoggedNames)])
}
