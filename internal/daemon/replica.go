package daemon

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"moneyer/internal/keyring"
	"moneyer/internal/store"
)

// changedElsewhere reads anew what another replica changed and memory holds. While it
// fails the store says that it does not know what others changed.
func (s *state) changedElsewhere(ctx context.Context, kind store.ChangeKind, issuer string, ids []string) error {
	snapshot := s.current.Load()
	if snapshot == nil {
		return errors.New("still starting")
	}
	issuers := slices.Collect(maps.Keys(snapshot.keys.Issuers))
	if issuer != "" {
		issuers = slices.DeleteFunc(issuers, func(name string) bool { return name != issuer }) // another may serve more of them
	}
	if kind == store.ChangedRevocations && issuer != "" {
		issuers = []string{issuer} // also one that a reload is about to add, and has read before
	}
	if kind == store.ChangedRevocations && ids == nil {
		return s.revocations.Load(ctx, issuers)
	}
	if kind == store.ChangedRevocations {
		return s.revocations.Learn(ctx, issuer, ids)
	}
	var errs []error
	for _, issuer := range issuers {
		err := snapshot.keys.Refresh(ctx, issuer)
		s.problems.report("open the signing keys of "+issuer, err)
		if !errors.Is(err, keyring.ErrUnopened) { // it does not sign here, and all the rest is known
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// silence is how long nothing was heard of what other replicas change.
func (s *state) silence() time.Duration {
	until, _ := s.db.Heard()
	return s.now().Sub(until)
}
