package store

import (
	"context"
	"fmt"
	"time"

	"moneyer/internal/store/engine"
	"moneyer/internal/store/postgres"
	"moneyer/internal/store/sqlite"
)

// What is said of a store that nobody needs to open.
type (
	// Status is what can be read of a store at little cost.
	Status = engine.Status
	// ReplicaStatus is a process that serves a database.
	ReplicaStatus = engine.ReplicaStatus
	// ChainStatus is the end of a chain of the ledger.
	ChainStatus = engine.ChainStatus
	// TableSize is what a table takes with its indexes.
	TableSize = engine.TableSize
	// Finding is what Check found of one thing.
	Finding = engine.Finding
	// Level is how good a finding is.
	Level = engine.Level
	// Migration is what Migrate did to a schema.
	Migration = engine.Migration
)

// The levels of findings. What is bad must be put right before anybody relies on the store.
const (
	Good = engine.Good
	Warn = engine.Warn
	Bad  = engine.Bad
)

// Where Migrate is to bring a schema, if not to a version that is named.
const (
	Newest = engine.Newest // every step that this program knows
	Back   = engine.Back   // one step back
)

// ReadStatus returns how the store at url is, and changes nothing in it. Whoever has it
// open is not disturbed.
func ReadStatus(ctx context.Context, url string) (Status, error) {
	path, u, err := parseURL(url)
	var s Status
	switch {
	case err != nil:
	case u == nil:
		s, err = sqlite.Status(ctx, path)
	default:
		s, err = postgres.Status(ctx, u)
	}
	if err != nil {
		return Status{}, fmt.Errorf("store %s: %w", nameOf(url), err)
	}
	s.Name = nameOf(url)
	return s, nil
}

// Check looks at what must be so before a store can be relied on, and changes nothing
// in it. An error means that the URL is wrong, and all else is a finding.
func Check(ctx context.Context, url string, now func() time.Time) ([]Finding, error) {
	path, u, err := parseURL(url)
	switch {
	case err != nil:
		return nil, err
	case u == nil:
		return sqlite.Check(ctx, path)
	default:
		return postgres.Check(ctx, u, now), nil
	}
}

// Migrate brings the schema of the store at url to a version, all in one transaction,
// or leaves it as it was. A database may be in use meanwhile: programs that know one
// step less work on. Before one step back, those that need the step must have ended.
// A file must not be open, and has no way back.
func Migrate(ctx context.Context, url string, to int) (Migration, error) {
	path, u, err := parseURL(url)
	var m Migration
	switch {
	case err != nil:
	case u == nil:
		m, err = sqlite.Migrate(ctx, path, to)
	default:
		m, err = postgres.Migrate(ctx, u, to)
	}
	if err != nil {
		return Migration{}, fmt.Errorf("store %s: %w", nameOf(url), err)
	}
	return m, nil
}
