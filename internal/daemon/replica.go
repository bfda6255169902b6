package daemon

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"moneyer/internal/keyring"
	"moneyer/internal/registry"
	"moneyer/internal/store"
)

// changedElsewhere reloads cached state that another replica changed. As long as it fails, the
// store treats the cached state as stale.
func (s *state) changedElsewhere(ctx context.Context, kind store.ChangeKind, issuer string, ids []string) error {
	snapshot := s.current.Load()
	if snapshot == nil {
		return errors.New("still starting")
	}
	issuers := slices.Collect(maps.Keys(snapshot.keys.Issuers))
	if issuer != "" {
		issuers = slices.DeleteFunc(issuers, func(name string) bool { return name != issuer }) // another replica may serve more issuers
	}
	if kind == store.ChangedRevocations && issuer != "" {
		issuers = []string{issuer} // the issuer may be one that a reload is about to add, whose revocations are loaded already
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
		if !errors.Is(err, keyring.ErrUnopened) && !registry.IsUnverified(err) { // then the key does not sign here, but everything else is loaded
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// staleness returns the time since changes by other replicas were last received.
func (s *state) staleness() time.Duration {
	until, _ := s.db.KnownUntil()
	return s.now().Sub(until)
}
