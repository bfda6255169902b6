package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"moneyer/internal/store/engine"
)

// ChangeKind is what another process changed: see Options.Changed.
type ChangeKind = engine.ChangeKind

// What Options.Changed is called for.
const (
	ChangedSigningKeys = engine.ChangedSigningKeys
	ChangedRevocations = engine.ChangedRevocations
)

const (
	// tellTimeout is how long those who remember may take to read anew what was changed.
	changedTimeout = 10 * time.Second
	// mostTold is how many revocations of an issuer are told one by one.
	maxChangedIDs = 100
)

// learn drops from memory what other processes changed, nil for anything, and tells
// those who remember what is not in the cache.
func (d *DB) invalidate(ctx context.Context, changes []engine.Change) error {
	if changes == nil {
		d.cache.clear()
		changes = []engine.Change{{Kind: engine.ChangedSigningKeys}, {Kind: engine.ChangedRevocations}}
	}
	d.cache.drop(changes)
	if d.changed == nil {
		return nil
	}
	// The feed waits for it, and who reads by a connection that died would wait for long.
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
