package authority

import (
	"context"
	"errors"
	"fmt"
	"time"

	"moneyer/internal/registry"
)

// MaxStale is how old the knowledge behind an answer may be while the store is
// unavailable. After that there is no answer but temporarily_unavailable. It is what
// package bearer does by itself with a revocation list that nobody confirms.
const MaxStale = 5 * time.Minute

// staleTimeout bounds how long a registry that is not up to date is asked before the
// stale one answers.
const staleTimeout = 250 * time.Millisecond

// snapshot is the registry as one question sees it: the current one, and where that is
// unavailable and the question changes nothing, the stale one (RFC 5861 §4).
type snapshot struct {
	Registry
	stale Registry // nil where nothing but the current state will do
	// until is the time until which all changes are known, and fresh whether that was
	// now when the question came.
	until time.Time
	fresh bool
	now   time.Time
	// fellBack is true once the current registry was unavailable.
	fellBack bool
}

// current is the snapshot of a question that may lead to a change.
func (a *Authority) current(now time.Time) *snapshot {
	until, fresh := a.staleness(now)
	return &snapshot{Registry: a.Registry, until: until, fresh: fresh, now: now}
}

// staleIfError is the snapshot of a question that changes nothing.
func (a *Authority) staleIfError(now time.Time) *snapshot {
	s := a.current(now)
	s.stale = a.Stale
	return s
}

func (a *Authority) staleness(now time.Time) (until time.Time, fresh bool) {
	if a.Staleness == nil {
		return now, true
	}
	return a.Staleness()
}

// KnownUntil is the time until which every revocation is known, on whatever
// replica it was made. Beyond MaxStale it is an error.
func (a *Authority) KnownUntil(now time.Time) (time.Time, error) {
	until, fresh := a.staleness(now)
	if !fresh && now.Sub(until) > MaxStale {
		return time.Time{}, tooStale(until)
	}
	return until, nil
}

func tooStale(until time.Time) error {
	return fmt.Errorf("what changed since %s is not known", until.UTC().Format(time.RFC3339))
}

// asOf is the time until which an answer is surely right; zero means now. The error
// says that this is too long ago, or longer than the snapshot allows.
func (a *Authority) asOf(s *snapshot) (time.Time, error) {
	_, fresh := a.staleness(s.now)
	switch {
	case s.fresh && fresh && !s.fellBack:
		return time.Time{}, nil
	case s.stale == nil || s.now.Sub(s.until) > MaxStale:
		return time.Time{}, tooStale(s.until)
	}
	return s.until, nil
}

// ask asks the current registry, and where it is unavailable the stale one. After
// that the current one is not asked again for the same question.
func ask[T any](ctx context.Context, s *snapshot, question func(context.Context, Registry) (T, error)) (T, error) {
	var unavailable error
	if !s.fellBack {
		bounded, cancel := s.deadline(ctx)
		found, err := question(bounded, s.Registry)
		cancel()
		if err == nil || isAnswer(err) || s.stale == nil || s.now.Sub(s.until) > MaxStale {
			return found, err
		}
		unavailable, s.fellBack = err, true
	}
	found, err := question(ctx, s.stale)
	if err != nil && !errors.Is(err, registry.ErrNotFound) && unavailable != nil {
		err = fmt.Errorf("%w; and of what was known last: %w", unavailable, err)
	}
	return found, err
}

// isAnswer reports whether the registry was read: what it says now counts, and not what
// was known before.
func isAnswer(err error) bool {
	return errors.Is(err, registry.ErrNotFound) || registry.IsUnverified(err)
}

// deadline bounds the time of a registry that is not up to date, where there is
// another answer.
func (s *snapshot) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if s.fresh || s.stale == nil {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, staleTimeout)
}

// foundClient is the answer of a Registry about a client.
type foundClient struct {
	*registry.Client
	asked bool
}

// FindClient implements Registry.
func (s *snapshot) FindClient(ctx context.Context, issuer, id string) (c *registry.Client, asked bool, err error) {
	found, err := ask(ctx, s, func(ctx context.Context, r Registry) (found foundClient, err error) {
		found.Client, found.asked, err = r.FindClient(ctx, issuer, id)
		return found, err
	})
	return found.Client, found.asked, err
}

// FindClientByDigest implements Registry.
func (s *snapshot) FindClientByDigest(ctx context.Context, issuer string, key registry.Digest) (c *registry.Client, asked bool, err error) {
	found, err := ask(ctx, s, func(ctx context.Context, r Registry) (found foundClient, err error) {
		found.Client, found.asked, err = r.FindClientByDigest(ctx, issuer, key)
		return found, err
	})
	return found.Client, found.asked, err
}

// Account implements Registry.
func (s *snapshot) Account(ctx context.Context, issuer, id string) (*registry.Account, error) {
	return ask(ctx, s, func(ctx context.Context, r Registry) (*registry.Account, error) { return r.Account(ctx, issuer, id) })
}
