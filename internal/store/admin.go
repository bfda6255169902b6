package store

import (
	"context"
	"fmt"
	"time"

	"moneyer/internal/store/engine"
	"moneyer/internal/store/postgres"
	"moneyer/internal/store/sqlite"
)

// Results of operations that do not need an open store.
type (
	// Status is what can be read of a store at little cost.
	Status = engine.Status
	// Process says which program has a store open.
	Process = engine.Process
	// ReplicaStatus is a process that serves a database.
	ReplicaStatus = engine.ReplicaStatus
	// ChainStatus is the end of a chain of the ledger.
	ChainStatus = engine.ChainStatus
	// TableSize is the size of a table with its indexes.
	TableSize = engine.TableSize
	// Finding is the result of one check.
	Finding = engine.Finding
	// Level is the severity of a finding.
	Level = engine.Level
	// Migration is the versions of a schema before and after Migrate.
	Migration = engine.Migration
)

// The levels of findings. A bad finding must be fixed before the store is used.
const (
	Good = engine.Good
	Warn = engine.Warn
	Bad  = engine.Bad
)

// Targets of Migrate other than a version number.
const (
	Newest = engine.Newest // the newest version that this program knows
	Back   = engine.Back   // one step back
)

// ReadStatus returns the state of the store at url. It changes nothing, and the store may
// be in use.
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

// Check checks the requirements of a store, and changes nothing in it. It returns an error
// only for a wrong URL; everything else is a finding.
func Check(ctx context.Context, url string, now func() time.Time) ([]Finding, error) {
	path, u, err := parseURL(url)
	switch {
	case err != nil:
		return nil, err
	case u == nil:
		return sqlite.Check(ctx, path, now)
	default:
		return postgres.Check(ctx, u, now), nil
	}
}

// Migrate migrates the schema of the store at url to a version in one transaction. A
// PostgreSQL database may be in use: programs that know one step less keep working. Before
// a step back, programs that need the step must be stopped. A file must not be open, and
// cannot go back.
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
