package daemon

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	// auditEvery is how often the registry is compared with the ledger on average, and
	// auditAgain how often while it differs, or could not be read.
	auditEvery, auditAgain = time.Hour, time.Minute
	// auditWait is how long a start waits for the first comparison.
	auditWait = time.Second
	// maxLoggedNames bounds the rows that one line of the log names.
	maxLoggedNames = 10
)

// watchRegistry compares the registry with the ledger until ctx ends, also when auditNow asks for
// it. It calls first after the first comparison. Nobody can predict the times, and set a row back
// between two of them.
func (s *state) watchRegistry(ctx context.Context, first func()) {
	for ; ctx.Err() == nil; first = func() {} {
		next := auditAgain
		if s.auditRegistry(ctx) {
			next = auditEvery/2 + rand.N(auditEvery)
		}
		first()
		rest := time.NewTimer(next)
		select {
		case <-rest.C:
		case <-s.auditNow:
		case <-ctx.Done():
		}
		rest.Stop()
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
	var difference, unverified error
	if found.Difference != "" {
		difference = errors.New(found.Difference)
	}
	if found.Unverified > 0 {
		unverified = fmt.Errorf("%d rows do not verify under the master key, and are refused: %v; see moneyer store repair",
			found.Unverified, found.Names[:min(len(found.Names), maxLoggedNames)])
	}
	s.problems.report("find the registry as the ledger records it", difference)
	s.problems.report("verify each row of the registry", unverified)
	return difference == nil && unverified == nil
}
