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

// The actions that ledger entries record.
const (
	actionAnnounce = "signing-key.announce"
	actionSchedule = "signing-key.schedule"
	actionActivate = "signing-key.activate"
	actionRetire   = "signing-key.retire"
	actionRevoke   = "signing-key.revoke"
	actionForget   = "signing-key.forget"
)

// scheduleActor is the actor of scheduled changes.
const scheduleActor = "moneyer"

// maxAttempts bounds how often a change is retried after a conflict with another process.
const maxAttempts = 20

// NewKey describes the key to announce.
type NewKey struct {
	// URI of a private key outside the store, as for Open. Empty to generate a key and seal it in
	// the store.
	URI string
	// ActiveAt is when the key starts to sign, in whole seconds; zero if that is not decided yet.
	ActiveAt time.Time
}

// Announce publishes a new key. It signs from from.ActiveAt on, or when it is activated.
func (k *Keyring) Announce(ctx context.Context, issuer, actor string, from NewKey) (KeyInfo, error) {
	var info KeyInfo
	err := k.changeOnce(ctx, issuer, actor, func(d *draft) (step, error) {
		at := from.ActiveAt.UTC().Truncate(time.Second)
		if !at.IsZero() && at.Before(d.now) {
			return step{}, fmt.Errorf("%w: the activation time %s is in the past", ErrState, at.Format(time.RFC3339))
		}
		kid, err := d.add(from.URI)
		if err != nil {
			return step{}, err
		}
		if !at.IsZero() {
			if err := d.requireKnown(kid, at); err != nil {
				return step{}, err
			}
			d.schedule(kid, at)
		}
		info = infoOf(d.find(kid), d.now)
		return step{actionAnnounce, kid}, nil
	})
	if err != nil {
		return KeyInfo{}, err
	}
	return info, nil
}

// Activate makes an announced key sign from now on. The current key is retired, and leaves the JWK
// set after Keep. If some verifiers may not know the key yet, Activate changes nothing and returns
// an *EarlyError.
func (k *Keyring) Activate(ctx context.Context, issuer, actor, kid string) error {
	return k.activate(ctx, issuer, actor, kid, false)
}

// ActivateAtOnce is Activate without that check: verifiers that do not know the key yet refuse its
// tokens until they fetch the JWK set again.
func (k *Keyring) ActivateAtOnce(ctx context.Context, issuer, actor, kid string) error {
	return k.activate(ctx, issuer, actor, kid, true)
}

func (k *Keyring) activate(ctx context.Context, issuer, actor, kid string, atOnce bool) error {
	return k.changeOnce(ctx, issuer, actor, func(d *draft) (step, error) {
		if err := d.requireState(kid, Announced); err != nil {
			return step{}, err
		}
		if err := d.requireKnown(kid, d.now); err != nil && !atOnce {
			return step{}, err
		}
		d.schedule(kid, d.now)
		return step{actionActivate, kid}, nil
	})
}

// Retire withdraws an announced key, which leaves the JWK set after Keep. The signing key cannot be
// retired: activate another one, or revoke it.
func (k *Keyring) Retire(ctx context.Context, issuer, actor, kid string) error {
	return k.changeOnce(ctx, issuer, actor, func(d *draft) (step, error) {
		if err := d.requireState(kid, Announced, Signing); err != nil {
			return step{}, err
		}
		if signing := d.signing(); signing != nil && signing.Kid == kid {
			return step{}, fmt.Errorf("%w: %s is the only key that signs; activate another, or revoke it", ErrState, kid)
		}
		d.retire(d.find(kid), d.now)
		d.alignRetirements()
		return step{actionRetire, kid}, nil
	})
}

// Revoke removes a compromised key from the JWK set at once, and in the same step puts its tokens
// among the revoked ones ([Keyring.Revoked]). If it is the signing key, the newest
// announced key takes over at the same instant, or a generated one.
func (k *Keyring) Revoke(ctx context.Context, issuer, actor, kid string) error {
	return k.changeOnce(ctx, issuer, actor, func(d *draft) (step, error) {
		if err := d.requireState(kid, Announced, Signing, Retired, Removed); err != nil {
			return step{}, err
		}
		signing := d.signing()
		key := d.find(kid)
		key.RevokedAt, key.Sealed = d.now, nil
		d.alignRetirements()
		if signing == nil || signing.Kid != kid {
			return step{actionRevoke, kid}, nil
		}
		_, err := d.activateNext()
		return step{actionRevoke, kid}, err
	})
}

// Ensure does for one issuer what Rotate does for all.
func (k *Keyring) Ensure(ctx context.Context, issuer string) error {
	for {
		taken, err := k.change(ctx, issuer, scheduleActor, (*draft).rotate)
		if err != nil || taken == (step{}) {
			return err
		}
	}
}

// Rotate does for every issuer what is due. An issuer without a signing key gets one. A signing key
// that nears its end, or whose algorithm is not the configured one, gets a successor. Keys that
// were removed long ago are forgotten. Changes by other processes are loaded. Every process calls
// it periodically. Issuers whose keys do not verify are left alone: see Unverified.
func (k *Keyring) Rotate(ctx context.Context) error {
	var errs []error
	for _, issuer := range k.issuers() {
		err := k.Ensure(ctx, issuer)
		if registry.IsUnverified(err) {
			err = k.Refresh(ctx, issuer)
		}
		if !registry.IsUnverified(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// step is one change of the keys: an action and the kid. The zero step means no change.
type step struct{ action, kid string }

// changeOnce makes a change of one step.
func (k *Keyring) changeOnce(ctx context.Context, issuer, actor string, decide func(*draft) (step, error)) error {
	_, err := k.change(ctx, issuer, actor, decide)
	return err
}

// change applies decide to the issuer's keys, stores the result with its ledger entry, and loads
// it. After a conflict with another process it runs decide again on the new state.
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
	d := &draft{issuer: issuer, settings: settings, master: k.Master, now: k.now(), jumped: k.jumped(), keys: slices.Clone(stored.Keys)}
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
		Kind: ledger.KindAdmin, Time: k.Now().UTC(), Issuer: issuer, Actor: actor, Action: taken.action, Object: taken.kid,
	})
	if err != nil {
		return step{}, fmt.Errorf("keys of issuer %q: %w", issuer, err)
	}
	k.log().LogAttrs(ctx, slog.LevelInfo, "signing keys changed", slog.String("issuer", issuer),
		slog.String("action", taken.action), slog.String("kid", taken.kid), slog.String("actor", actor))
	if err := k.Refresh(ctx, issuer); err != nil {
		return step{}, fmt.Errorf("%s is recorded, but the keys cannot be loaded: %w", taken.action, err)
	}
	return taken, nil
}
