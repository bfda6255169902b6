package engine

import (
	"context"
	"time"
)

// Engine is an open SQLite file or PostgreSQL database: the operations in which they differ.
type Engine interface {
	// Reads returns the reader for queries outside of transactions. A read sees every
	// write that was acknowledged before it.
	Reads() *Reader
	// Writes returns the only session that writes. It is not safe for concurrent use:
	// only the writer uses it, and calls Leave at the end.
	Writes() Session
	// ForgetConsumed deletes the consumed values that have expired at now and returns
	// how many. Later, a value that does not expire after all of those is refused with
	// ErrForgotten.
	ForgetConsumed(ctx context.Context, w Writer, now time.Time) (int64, error)
	// Refuse makes values that expire by until refused with ErrForgotten, also after a
	// restart, because some that were consumed may be missing.
	Refuse(ctx context.Context, w Writer, until time.Time) error
	// HoldOldEntries takes a lock on the old entries of the ledger: a shared one to read
	// them, an exclusive one to remove them. ok is false while a conflicting lock is
	// held. An error of release means that the lock was lost earlier.
	HoldOldEntries(ctx context.Context, remove bool) (release func() error, ok bool, err error)
	// DropWhole drops the partitions of the ledger of which every entry is in ranges.
	// An engine without partitions does nothing.
	DropWhole(ctx context.Context, ranges []Range) error
	// WriteLastUsed stores times of last use, in Unix milliseconds. A stored time that
	// is later stays.
	WriteLastUsed(ctx context.Context, w Writer, times map[Credential]int64) error
	// Follow calls learn with the changes of other processes until ctx ends; nil means
	// that anything may have changed. While learn returns an error, the changes count as
	// not applied, and Known does not advance.
	Follow(ctx context.Context, learn func(ctx context.Context, changes []Change) error)
	// Known returns the time up to which the changes of all other processes are applied.
	Known(now time.Time) time.Time
	// Healthy returns an error if the database is known to be unavailable or inconsistent.
	Healthy(now time.Time) error
	// Past returns now, or the time of the database's clock if that is earlier.
	Past(ctx context.Context, now time.Time) (time.Time, error)
	// Clocks compares the clock of this process with those of the others.
	Clocks() Clocks
	// Close closes everything except the session that writes.
	Close() error
}

// Clocks is how the clocks of the processes that serve a store differ. It is zero if there
// is only this process.
type Clocks struct {
	// Ahead is by how much the clock that is furthest ahead is ahead of this process's, at
	// most. Processes that left or were lost within the last minute count.
	Ahead time.Duration
	// Off is by how much this process's clock is ahead of the median, or behind it if
	// negative. With an even number of processes the database's clock counts, too.
	Off time.Duration
}

// MaxClockOff is how far the clock of a process may be off, either way, for it to be ready.
const MaxClockOff = time.Second

// Writer runs a change in a transaction of its own and waits for its commit.
type Writer interface {
	// Change returns the error of change, in which case nothing is written, or of the commit.
	Change(ctx context.Context, change func(exec Exec) error) error
}

// Exec runs a statement and returns how many rows it changed.
type Exec func(query string, args ...any) (int64, error)

// Range is the entries of a chain that are to be removed: from First to the entry before
// Keep, which begins a batch. It is empty if Keep is First.
type Range struct{ First, Keep int64 }

// Credential identifies a key or secret of a client.
type Credential struct{ Issuer, Client, ID string }

// MaxStaleness is how stale the cache may be before reads go to the database.
const MaxStaleness = time.Second

// Staleness is the time since known, by the monotonic or the wall clock, whichever gives
// more: the monotonic clock stops while the machine sleeps.
func Staleness(now, known time.Time) time.Duration {
	return max(now.Sub(known), now.Round(0).Sub(known.Round(0)).Abs()) // Round strips the monotonic reading
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
