package engine

import (
	"context"
	"time"
)

// Engine is an open SQLite file or PostgreSQL database, as far as each has its own way.
type Engine interface {
	// Reads returns what reads outside of transactions. A read sees all that was
	// acknowledged before it.
	Reads() *Reader
	// Writes returns the one session that writes, which is not safe for use by several
	// goroutines: only the writer uses it, and leaves it at the end.
	Writes() Session
	// ForgetConsumed removes the consumed values that are over at now and returns how
	// many. From then on a value that ends before now is refused with ErrClockBack.
	ForgetConsumed(ctx context.Context, w Writer, now time.Time) (int64, error)
	// HoldOldEntries keeps those away who would remove old entries of the ledger, or,
	// to remove them, those who read them from the start; ok is false while they are at
	// it. An error of release means that the hold was lost before.
	HoldOldEntries(ctx context.Context, remove bool) (release func() error, ok bool, err error)
	// DropWhole drops such parts of the ledger in which nothing has to stay, if it has parts.
	DropWhole(ctx context.Context, ranges []Range) error
	// WriteLastUsed notes times of last use, in Unix milliseconds; none is set back.
	WriteLastUsed(ctx context.Context, w Writer, times map[Credential]int64) error
	// Follow calls learn with what other processes changed, nil for anything, until
	// ctx ends. While learn returns an error the same is not known here.
	Follow(ctx context.Context, learn func(ctx context.Context, changes []Change) error)
	// Known returns until when all that other processes changed is known here.
	Known(now time.Time) time.Time
	// Healthy returns why the database cannot be relied on, as far as that is known.
	Healthy(now time.Time) error
	// Past returns now, or what the database's clock says where that is earlier.
	Past(ctx context.Context, now time.Time) (time.Time, error)
	// Close closes all but the session that writes.
	Close() error
}

// Writer runs a change in a transaction of its own and waits for its commit.
type Writer interface {
	// Change returns the error of change, when nothing is written, or of the commit.
	Change(ctx context.Context, change func(exec Exec) error) error
}

// Exec runs a statement and returns how many rows it changed.
type Exec func(query string, args ...any) (int64, error)

// Range are the entries of a chain that are to go, from First on, up to the batch that
// begins with Keep. It is empty when Keep is First.
type Range struct{ First, Keep int64 }

// Credential is what a client used.
type Credential struct{ Issuer, Client, ID string }

// Trust is how stale memory may be before it is read anew from the database.
const MaxStaleness = time.Second

// Staleness is how long ago everything was known, by the clock that says more: one of
// them stands still while the machine sleeps.
func Staleness(now, known time.Time) time.Duration {
	return max(now.Sub(known), now.Round(0).Sub(known.Round(0)).Abs()) // Round strips the time that no clock changes
}

// DeleteInSteps runs a statement that deletes up to atOnce rows, until it finds fewer, and
// returns how many it deleted.
func DeleteInSteps(ctx context.Context, w Writer, statement string, atOnce int64, args ...any) (total int64, err error) {
	for {
		var removed int64
		err := w.Change(ctx, func(exec Exec) (err error) {
			removed, err = exec(statement, args...)
			return err
		})
		if err != nil {
			return total, err
		}
		if total += removed; removed < atOnce {
			return total, nil
		}
	}
}
