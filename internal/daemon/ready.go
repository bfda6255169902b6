package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"moneyer/internal/registry"
	"moneyer/internal/store"
)

// ready returns why the process should get no requests now, or nil. The answer is public, so
// details of a store failure go to the log.
func (s *state) ready(context.Context) error {
	if s.draining.Load() {
		return errors.New("shutting down")
	}
	err := s.health.get(s.now())
	s.problems.report("write to the store", err)
	if err != nil {
		return errors.New("the store takes no writes")
	}
	err = s.db.Distrusted()
	s.problems.report("trust the store", err)
	return cmp.Or(err, s.verified(), s.clockAgrees())
}

// storeUp reports whether the store takes writes.
func (s *state) storeUp() bool { return s.health.get(s.now()) == nil }

// clockAgrees returns an error while the clock differs from the other replicas'.
func (s *state) clockAgrees() (err error) {
	if off := s.db.ClockOff(); off.Abs() > store.MaxClockOff {
		err = fmt.Errorf("the clock is %+.3f s off the other replicas': set it, or theirs", off.Seconds())
	}
	s.problems.report("agree with the other replicas' clocks", err)
	return err
}

// verified returns an error while signing keys or revocations in the store do not verify under the
// master key, or the registry is not as the ledger records it. It logs the former when they begin
// and when they end; auditRegistry logs the latter.
func (s *state) verified() error {
	revocations := s.revocations.Unverified()
	s.problems.report("verify the revocations", revocations)
	keys := s.keysVerified()
	switch audit := s.audit.Load(); {
	case keys != nil:
		return keys
	case revocations != nil:
		return errors.New("revocations in the store do not verify")
	case audit != nil && audit.Difference != "":
		return errors.New("the registry in the store is not as the ledger records it")
	}
	return nil
}

// keysVerified returns an error while signing keys do not verify.
func (s *state) keysVerified() error {
	snapshot := s.current.Load()
	if snapshot == nil {
		return nil
	}
	unverified := snapshot.keys.Unverified()
	for issuer := range snapshot.keys.Issuers {
		var cause error
		if slices.Contains(unverified, issuer) {
			cause = &registry.UnverifiedError{Kind: "signing keys", Issuer: issuer}
		}
		s.problems.report("verify the signing keys of "+issuer, cause)
	}
	if len(unverified) > 0 {
		return errors.New("the signing keys in the store do not verify: issuer " + strings.Join(unverified, ", "))
	}
	return nil
}
