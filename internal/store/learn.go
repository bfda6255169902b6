package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"moneyer/internal/store/engine"
)

// ChangeKind is the kind of a change by another process: see Options.Changed.
type ChangeKind = engine.ChangeKind

// What Options.Changed is called for.
const (
	ChangedSigningKeys = engine.ChangedSigningKeys
	ChangedRevocations = engine.ChangedRevocations
)

const (
	// changedTimeout bounds a call of Options.Changed, which reloads what was changed.
	changedTimeout = 10 * time.Second
	// maxChangedIDs bounds the IDs that one call of Options.Changed gets; beyond it the
	// call stands for all of the issuer.
	maxChangedIDs = 100
)

// invalidate drops the changes of other processes from the cache, nil for everything, and
// calls Options.Changed for signing keys and revocations, which the cache does not hold.
func (d *DB) invalidate(ctx context.Context, changes []engine.Change) error {
	if changes == nil {
		d.cache.clear()
		changes = []engine.Change{{Kind: engine.ChangedSigningKeys}, {Kind: engine.ChangedRevocations}}
	}
	d.cache.drop(changes)
	if d.changed == nil {
		return nil
	}
	// The feed waits for the call, and a read on a dead connection could block for long.
	ctx, cancel := context.WithTimeout(ctx, changedTimeout)
	defer cancel()
	type of struct {
		kind   engine.ChangeKind
		issuer string
	}
	ids := map[of][]string{}
	for _, c := range changes {
		if c.Kind == engine.ChangedSigningKeys || c.Kind == engine.ChangedRevocations {
			ids[of{c.Kind, c.Issuer}] = append(ids[of{c.Kind, c.Issuer}], c.ID)
		}
	}
	for what, ids := range ids {
		if len(ids) > maxChangedIDs || slices.Contains(ids, "") {
			ids = nil
		}
		if err := d.changed(ctx, what.kind, what.issuer, ids); err != nil {
			return fmt.Errorf("%s of issuer %q: %w", what.kind, what.issuer, err)
		}
	}
	return nil
}
