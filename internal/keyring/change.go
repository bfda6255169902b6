package keyring

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"moneyer/internal/ledger"
	"moneyer/internal/registry"
)

// The actions of ledger entries.
const (
	actionAnnounce = "signing-key.announce"
	actionSchedule = "signing-key.schedule"
	actionActivate = "signing-key.activate"
	actionRetire   = "signing-key.retire"
	actionRevoke   = "signing-key.revoke"
	actionForget   = "signing-key.forget"
)

// self is the actor of what happens by schedule.
const self = "moneyer"

// maxAttempts bounds how often a change is decided anew because others were
// faster. Each time one of them got its own change through.
const maxAttempts = 20

// NewKey says which key to announce.
type NewKey struct {
	// URI of a key that lives outside the store, for Open. Empty to have one
	// generated and sealed.
	URI string
	// ActiveAt is when it takes over, in whole seconds; zero for not decided yet.
	ActiveAt time.Time
}

// Announce publishes a new key, which signs from from.ActiveAt on or when it is
// activated.
func (k *Keyring) Announce(ctx context.Context, issuer, actor string, from NewKey) (KeyInfo, error) {
	var info KeyInfo
	err := k.once(ctx, issuer, actor, func(d *draft) (step, error) {
		at := from.ActiveAt.UTC().Truncate(time.Second)
		if !at.IsZero() && at.Before(d.now) {
			return step{}, fmt.Errorf("%w: active at %s is over", ErrState, at.Format(time.RFC3339))
		}
		kid, err := d.add(from.URI)
		if err != nil {
			return step{}, err
		}
		if !at.IsZero() {
			if err := d.wantKnown(kid, at); err != nil {
				return step{}, err
			}
			d.follow(kid, at)
		}
		info = infoOf(d.find(kid), d.now)
		return step{actionAnnounce, kid}, nil
	})
	if err != nil {
		return KeyInfo{}, err
	}
	return info, nil
}

// Activate lets an announced key sign from now on. The key that signed until now
// retires, and leaves the JWK set after Keep. While some verifiers may not know
// the key it does nothing but return an *EarlyError.
func (k *Keyring) Activate(ctx context.Context, issuer, actor, kid string) error {
	return k.activate(ctx, issuer, actor, kid, false)
}

// ActivateAtOnce is Activate for a key that some verifiers may not know yet: they
// refuse its tokens until they read the keys again.
func (k *Keyring) ActivateAtOnce(ctx context.Context, issuer, actor, kid string) error {
	return k.activate(ctx, issuer, actor, kid, true)
}

func (k *Keyring) activate(ctx context.Context, issuer, actor, kid string, atOnce bool) error {
	return k.once(ctx, issuer, actor, func(d *draft) (step, error) {
		if err := d.want(kid, Announced); err != nil {
			return step{}, err
		}
		if err := d.wantKnown(kid, d.now); err != nil && !atOnce {
			return step{}, err
		}
		d.follow(kid, d.now)
		return step{actionActivate, kid}, nil
	})
}

// Retire takes back an announced key, which leaves the JWK set after Keep. The
// key that signs cannot be retired: activate another, or revoke it.
func (k *Keyring) Retire(ctx context.Context, issuer, actor, kid string) error {
	return k.once(ctx, issuer, actor, func(d *draft) (step, error) {
		if err := d.want(kid, Announced, Signing); err != nil {
			return step{}, err
		}
		if signing := d.signing(); signing != nil && signing.Kid == kid {
			return step{}, fmt.Errorf("%w: %s is the only key that signs; activate another, or revoke it", ErrState, kid)
		}
		d.retire(d.find(kid), d.now)
		d.settle()
		return step{actionRetire, kid}, nil
	})
}

// Revoke takes a compromised key out of the JWK set at once. If it was the key
// that signs, the newest announced key takes over in the same instant, or one
// that is made for it.
func (k *Keyring) Revoke(ctx context.Context, issuer, actor, kid string) error {
	return k.once(ctx, issuer, actor, func(d *draft) (step, error) {
		if err := d.want(kid, Announced, Signing, Retired, Removed); err != nil {
			return step{}, err
		}
		signing := d.signing()
		key := d.find(kid)
		key.RevokedAt, key.Sealed = d.now, nil
		d.settle()
		if signing == nil || signing.Kid != kid {
			return step{actionRevoke, kid}, nil
		}
		_, err := d.takeOver()
		return step{actionRevoke, kid}, err
	})
}

// Ensure gives the issuer a key that signs, if it has none, and otherwise does
// what Rotate does.
func (k *Keyring) Ensure(ctx context.Context, issuer string) error {
	for {
		taken, err := k.change(ctx, issuer, self, (*draft).rotate)
		if err != nil || taken == (step{}) {
			return err
		}
	}
}

// Rotate does for every issuer what is due: an issuer without a signing key gets
// one; a signing key that nears the end of its time, or is of another algorithm
// than the settings', gets a successor; keys long removed are forgotten; and what
// other processes changed is loaded. It is to be called often, by every process.
func (k *Keyring) Rotate(ctx context.Context) error {
	var errs []error
	for _, issuer := range k.issuers() {
		errs = append(errs, k.Ensure(ctx, issuer))
	}
	return errors.Join(errs...)
}

// step is one change of the keys: what was done to which. The zero step is none.
type step struct{ action, kid string }

// once makes a change that consists of one step.
func (k *Keyring) once(ctx context.Context, issuer, actor string, decide func(*draft) (step, error)) error {
	_, err := k.change(ctx, issuer, actor, decide)
	return err
}

// change lets decide work on the issuer's keys, stores the outcome with its
// ledger entry, and loads it. If somebody else changes the keys in between, it
// decides anew on what they left.
func (k *Keyring) change(ctx context.Context, issuer, actor string, decide func(*draft) (step, error)) (step, error) {
	for range maxAttempts {
		taken, err := k.attempt(ctx, issuer, actor, decide)
		if !errors.Is(err, registry.ErrConflict) {
			return taken, err
		}
	}
	return step{}, fmt.Errorf("keys of issuer %q: %w, %d times in a row", issuer, registry.ErrConflict, maxAttempts)
}

func (k *Keyring) attempt(ctx context.Context, issuer, actor string, decide func(*draft) (step, error)) (step, error) {
	settings, err := k.settings(issuer)
	if err != nil {
		return step{}, err
	}
	stored, err := k.Store.SigningKeys(ctx, issuer)
	if err != nil {
		return step{}, fmt.Errorf("keys of issuer %q: %w", issuer, err)
	}
	d := &draft{issuer: issuer, settings: settings, master: k.Master, now: k.now(), keys: slices.Clone(stored.Keys)}
	taken, err := decide(d)
	if err != nil {
		return step{}, fmt.Errorf("issuer %q: %w", issuer, err)
	}
	if taken == (step{}) {
		if r := k.ring(issuer); r != nil && r.revision == stored.Revision {
			return step{}, nil
		}
		return step{}, k.Refresh(ctx, issuer)
	}
	next := registry.SigningKeys{Issuer: issuer, Revision: stored.Revision, Keys: d.keys}
	err = k.Store.PutSigningKeys(ctx, next, &ledger.Entry{
		Kind: ledger.KindAdmin, Time: d.now, Issuer: issuer, Actor: actor, Action: taken.action, Object: taken.kid,
	})
	if err != nil {
		return step{}, fmt.Errorf("keys of issuer %q: %w", issuer, err)
	}
	k.log().LogAttrs(ctx, slog.LevelInfo, "signing keys changed", slog.String("issuer", issuer),
		slog.String("action", taken.action), slog.String("kid", taken.kid), slog.String("actor", actor))
	if err := k.Refresh(ctx, issuer); err != nil {
		return step{}, fmt.Errorf("%s is recorded, but the keys do not load: %w", taken.action, err)
	}
	return taken, nil
}
