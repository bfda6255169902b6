package engine

import (
	"errors"
	"fmt"
	"time"

	"moneyer/internal/ledger"
)

// Status is what can be read of a store at little cost.
type Status struct {
	// Name is its URL without secrets.
	Name string
	// Version of its schema; 0 if there is none. Oldest is the version that a program
	// must know to work with it, and Known the newest that this program knows.
	Version, Oldest, Known int
	// Unfinished means that it is an incomplete copy.
	Unfinished bool
	Replicas   []ReplicaStatus
	Chains     []ChainStatus
	// Bytes is its size on disk. Sizes are the largest tables of a PostgreSQL database.
	Bytes int64
	Sizes []TableSize
}

// Process says which program has a store open, for people: nothing is decided by it.
type Process struct {
	// Host is the name of the machine or the container, Address where it listens, and
	// Version that of the program. All may be empty.
	Host, Address, Version string
}

// ReplicaStatus is a process that serves a database.
type ReplicaStatus struct {
	ID string
	Process
	// HeartbeatAge is the time since its last heartbeat. After some seconds without one
	// the replica is down.
	HeartbeatAge time.Duration
	// ClockAhead is by how much its clock is ahead of the database's, or behind it if
	// negative.
	ClockAhead time.Duration
}

// ChainStatus is the end of a chain of the ledger.
type ChainStatus struct {
	ledger.Head
	// Holder is the replica that writes it, if any.
	Holder string
}

// TableSize is the size of a table with its indexes; Rows is an estimate.
type TableSize struct {
	Table       string
	Bytes, Rows int64
}

// A Finding is the result of one check.
type Finding struct {
	// What was checked.
	What  string
	Level Level
	// Found describes it, and Advice says what to do if it is not good.
	Found, Advice string
}

// Level is the severity of a finding.
type Level string

// The levels. A bad finding must be fixed before the store is used.
const (
	Good Level = "good"
	Warn Level = "warn"
	Bad  Level = "bad"
)

// Findings collects the findings of a check.
type Findings []Finding

// Add appends a finding.
func (f *Findings) Add(what string, level Level, found, advice string) {
	*f = append(*f, Finding{what, level, found, advice})
}

// Judge appends a finding, which is good if ok and has the level otherwise if not.
func (f *Findings) Judge(what string, ok bool, otherwise Level, found, advice string) {
	if ok {
		otherwise, advice = Good, ""
	}
	f.Add(what, otherwise, found, advice)
}

// Schema appends the finding on the schema's version.
func (f *Findings) Schema(s *Status) {
	found := fmt.Sprintf("version %d, and this program knows %d", s.Version, s.Known)
	switch err := CheckVersion(s.Version, min(s.Oldest, s.Version), s.Known); {
	case s.Unfinished:
		f.Add("schema", Bad, ErrUnfinished.Error(), "make the copy again to its end")
	case s.Version == 0:
		f.Add("schema", Good, "none yet: `moneyer init` or `moneyer store migrate` makes it", "")
	case err != nil:
		f.Add("schema", Bad, err.Error(), "bring the schema forward, or use the program that it is for")
	default:
		f.Add("schema", Good, found, "")
	}
}

// ErrSchema means that the schema has a part that Moneyer did not make and that decides what
// its statements read and write, such as a trigger.
var ErrSchema = errors.New("something other than Moneyer changed the schema: drop what it added, find out what it did, and see `moneyer store check`")

// ErrNoStore means that a file or database holds no store. A server does not make one: it
// would serve without its clients, keys and consumed assertions where a disk is not mounted.
var ErrNoStore = errors.New("it holds no store: mount its disk, or restore a backup; `moneyer init` makes a new one")

// ErrUnfinished means that a store is an incomplete copy.
var ErrUnfinished = errors.New("it is an unfinished copy of a store: run the `moneyer store copy` or `moneyer backup` that made it again, to its end")

// Migration is the versions of a schema before and after a migration.
type Migration struct{ From, To int }

// Targets of a migration other than a version number.
const (
	Newest = -1 // the newest version that this program knows
	Back   = -2 // one step back
)

// CheckVersion returns an error unless a program that knows the versions up to known can
// work with a schema of that version, which requires a program that knows at least oldest.
func CheckVersion(version, oldest, known int) error {
	switch {
	case version < known:
		return fmt.Errorf("its schema has version %d, and this program works with version %d: run `moneyer store migrate`, which does no harm to programs that run", version, known)
	case oldest > known:
		return fmt.Errorf("its schema has version %d, for programs that know %d, and this one knows %d: use a newer program", version, oldest, known)
	}
	return nil
}
