package engine

import (
	"errors"
	"fmt"
	"time"

	"moneyer/internal/ledger"
)

// Status is how a store is, by what is cheap to know.
type Status struct {
	// Name is its URL without what is not for logs.
	Name string
	// Version of its schema; 0 if there is none. Oldest is what a program must know to
	// work with it, and Known what this one knows.
	Version, Oldest, Known int
	// Unfinished means that it is half of a copy.
	Unfinished bool
	Replicas   []ReplicaStatus
	Chains     []ChainStatus
	// Octets that it takes, of which Sizes are the largest parts of a database.
	Octets int64
	Sizes  []TableSize
}

// ReplicaStatus is a process that serves a database.
type ReplicaStatus struct {
	ID string
	// Silent is how long ago its last heartbeat was. It is gone when that is more than some seconds.
	Silent time.Duration
}

// ChainStatus is the end of a chain of the ledger.
type ChainStatus struct {
	ledger.Head
	// Holder is the replica that goes on with it, if any.
	Holder string
}

// TableSize is what a table takes with its indexes; the rows are an estimate.
type TableSize struct {
	Table        string
	Octets, Rows int64
}

// A Finding is what a check found of one thing.
type Finding struct {
	// What was looked at.
	What  string
	Level Level
	// Found is how it is, and Advice what to do where that is not good.
	Found, Advice string
}

// Level is how good a finding is.
type Level string

// The levels. What is bad must be put right before anybody relies on the store.
const (
	Good Level = "good"
	Warn Level = "warn"
	Bad  Level = "bad"
)

// Findings are gathered by a check.
type Findings []Finding

// Add adds a finding.
func (f *Findings) Add(what string, level Level, found, advice string) {
	*f = append(*f, Finding{what, level, found, advice})
}

// Judge adds a finding that is good if ok.
func (f *Findings) Judge(what string, ok bool, otherwise Level, found, advice string) {
	if ok {
		otherwise, advice = Good, ""
	}
	f.Add(what, otherwise, found, advice)
}

// Schema judges the version.
func (f *Findings) Schema(s *Status) {
	found := fmt.Sprintf("version %d, and this program knows %d", s.Version, s.Known)
	switch err := CheckVersion(s.Version, min(s.Oldest, s.Version), s.Known); {
	case s.Unfinished:
		f.Add("schema", Bad, ErrUnfinished.Error(), "make the copy again to its end")
	case s.Version == 0:
		f.Add("schema", Good, "none yet: the first start makes it", "")
	case err != nil:
		f.Add("schema", Bad, err.Error(), "bring the schema forward, or use the program that it is for")
	default:
		f.Add("schema", Good, found, "")
	}
}

// ErrUnfinished means that a store is half of a copy.
var ErrUnfinished = errors.New("it holds an unfinished copy of another store: run `moneyer store copy` again to its end")

// Migration is what was done to a schema.
type Migration struct{ From, To int }

// Where a migration is to bring a schema, if not to a version that is named.
const (
	Newest = -1 // every step that this program knows
	Back   = -2 // one step back
)

// CheckVersion returns an error unless a program that knows a number of steps can work
// with a schema of a version, which says from which step on programs can.
func CheckVersion(version, oldest, known int) error {
	switch {
	case version < known:
		return fmt.Errorf("its schema has version %d, and this program works with version %d: run `moneyer store migrate`, which does no harm to programs that run", version, known)
	case oldest > known:
		return fmt.Errorf("its schema has version %d, for programs that know %d, and this one knows %d: use a newer program", version, oldest, known)
	}
	return nil
}
