package authority

import (
	"context"
	"errors"
	"fmt"
	"time"

	"moneyer/internal/registry"
)

// This file is what goes on while the store cannot be asked: questions about
// tokens that change nothing are answered by what was known last, and say so.

// MaxStale is how old may be what an answer about a token goes by. A store that is
// away longer leaves nothing to go by: what is asked then gets
// temporarily_unavailable. It is what package bearer does by itself with a
// revocation list that nobody confirms.
const MaxStale = 5 * time.Minute

// patience is how long a registry that was not heard is asked, before what was
// known last has to do.
const patience = 250 * time.Millisecond

// view is what one question sees of the registry and of revocations.
type view struct {
	registry Registry
	// last is asked when registry cannot tell; nil where the question is about to
	// change something, or nothing is known.
	last Registry
	// since is until when all was known that had changed, and fresh whether that was
	// now, when the question came.
	since time.Time
	fresh bool
	now   time.Time
	// fellBack tells that the registry could not tell.
	fellBack bool
}

// viewOf is the view of a question that changes nothing.
func (a *Authority) viewOf(now time.Time) *view {
	v := a.strictView(now)
	v.last = a.LastKnown
	return v
}

// strictView sees nothing that may have changed meanwhile.
func (a *Authority) strictView(now time.Time) *view {
	since, fresh := a.known(now)
	return &view{registry: a.Registry, since: since, fresh: fresh, now: now}
}

// known is until when all is known that has changed, and whether that is now.
func (a *Authority) known(now time.Time) (since time.Time, fresh bool) {
	if a.Fresh == nil {
		return now, true
	}
	return a.Fresh()
}

// KnownUntil is until when every revocation is known, whoever made it where. Beyond
// MaxStale it is an error.
func (a *Authority) KnownUntil(now time.Time) (time.Time, error) {
	since, fresh := a.known(now)
	if !fresh && now.Sub(since) > MaxStale {
		return time.Time{}, tooStale(since)
	}
	return since, nil
}

func tooStale(since time.Time) error {
	return fmt.Errorf("what changed since %s is not known", since.UTC().Format(time.RFC3339))
}

// asOf is until when an answer is surely right; zero means now. The error says that
// it is too old, or older than the view allows.
func (a *Authority) asOf(v *view) (time.Time, error) {
	_, fresh := a.known(v.now)
	switch {
	case v.fresh && fresh && !v.fellBack:
		return time.Time{}, nil
	case v.last == nil || v.now.Sub(v.since) > MaxStale:
		return time.Time{}, tooStale(v.since)
	}
	return v.since, nil
}

// see asks the registry, or where it cannot tell, what was known last. Once it
// could not tell it is not asked again for the same question.
func see[T any](ctx context.Context, v *view, ask func(context.Context, Registry) (T, error)) (T, error) {
	var trouble error
	if !v.fellBack {
		asked, cancel := v.hurry(ctx)
		found, err := ask(asked, v.registry)
		cancel()
		if err == nil || errors.Is(err, registry.ErrNotFound) || v.last == nil || v.now.Sub(v.since) > MaxStale {
			return found, err
		}
		trouble, v.fellBack = err, true
	}
	found, err := ask(ctx, v.last)
	if err != nil && !errors.Is(err, registry.ErrNotFound) && trouble != nil {
		err = fmt.Errorf("%w; and of what was known last: %w", trouble, err)
	}
	return found, err
}

// hurry bounds the time of a registry that was not heard, where there is something
// else to go by.
func (v *view) hurry(ctx context.Context) (context.Context, context.CancelFunc) {
	if v.fresh || v.last == nil {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, patience)
}

// client finds a client by its identifier.
func (v *view) client(ctx context.Context, issuer, id string) (*registry.Client, error) {
	return see(ctx, v, func(ctx context.Context, r Registry) (*registry.Client, error) { return r.Client(ctx, issuer, id) })
}

// clientByAPIKey finds the client that holds a key.
func (v *view) clientByAPIKey(ctx context.Context, issuer string, key registry.Digest) (*registry.Client, error) {
	return see(ctx, v, func(ctx context.Context, r Registry) (*registry.Client, error) {
		return r.ClientByAPIKey(ctx, issuer, key)
	})
}

// merchant finds a merchant.
func (v *view) merchant(ctx context.Context, issuer, id string) (*registry.Merchant, error) {
	return see(ctx, v, func(ctx context.Context, r Registry) (*registry.Merchant, error) { return r.Merchant(ctx, issuer, id) })
}
