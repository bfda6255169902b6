package main

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
func (e *estate) changedElsewhere(ctx context.Context, kind store.ChangeKind, issuer string, ids []string) error {
	h := e.current.Load()
	if h == nil {
		return errors.New("still starting")
	}
	issuers := slices.Collect(maps.Keys(h.keys.Issuers))
	if issuer != "" {
		issuers = slices.DeleteFunc(issuers, func(name string) bool { return name != issuer }) // another may serve more of them
	}
	if kind == store.ChangedRevocations && issuer != "" {
		issuers = []string{issuer} // also one that a reload is about to add, and has read before
	}
	if kind == store.ChangedRevocations && ids == nil {
		return e.revocations.Load(ctx, issuers)
	}
	if kind == store.ChangedRevocations {
		return e.revocations.Learn(ctx, issuer, ids)
	}
	var errs []error
	for _, issuer := range issuers {
		err := h.keys.Refresh(ctx, issuer)
		e.complaints.tell("open the signing keys of "+issuer, err)
		if !errors.Is(err, keyring.ErrUnopened) { // it does not sign here, and all the rest is known
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// silence is how long nothing was heard of what other replicas change.
func (e *estate) silence() time.Duration {
	until, _ := e.db.Heard()
	return e.now().Sub(until)
}
