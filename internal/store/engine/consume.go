package engine

import (
	"errors"
	"math"
	"slices"
	"time"

	"moneyer/internal/ledger"
)

// Key identifies a consumed value in memory and on disk: the first half of its
// ledger.Consumed.Value. A client that wants a collision between two of its own
// assertions needs 2^64 hashes and gains a refusal; a collision with a value of
// another client needs 2^128.
type Key [16]byte

// KeyOf returns the key of a value.
func KeyOf(c *ledger.Consumed) Key { return Key(c.Value[:len(Key{})]) }

// ErrForgotten means that a value expires before the time up to which consumed values may
// be missing, so it may have been consumed before: they were deleted and the clock was set
// back, or the store went back.
var ErrForgotten = errors.New("it is unknown whether the assertion was used before, because the clock was set back or the store went back:" +
	" assertions that end as early are refused; see `moneyer store accept`")

var errSameValue = errors.New("two of the values to be consumed with one entry are the same")

// Distinct returns an error if two of the values are equal, which is a bug of the caller.
func Distinct(consumed []ledger.Consumed) error {
	for i := range consumed {
		for j := range i {
			if KeyOf(&consumed[i]) == KeyOf(&consumed[j]) {
				return errSameValue
			}
		}
	}
	return nil
}

// History looks up the values that were consumed before a batch.
type History interface {
	// Refusal returns why the value at index i of an append may not be consumed: a
	// *ledger.ReplayedError, or an error if that is unknown. It is nil if the value may
	// be consumed. An err means that the transaction failed.
	Refusal(i int, c *ledger.Consumed) (refusal, err error)
}

// Judge decides in the order of the batch which appends consume their values, all of
// them or none, and sets Lost on the others. It returns the consumed values by key.
func Judge(batch []*Append, before History) (map[Key]*ledger.Consumed, error) {
	winners := make(map[Key]*ledger.Consumed, len(batch))
	for _, a := range batch {
		var err error
		if a.Lost, err = a.judge(winners, before); err != nil {
			return nil, err
		}
		if a.Lost != nil {
			continue
		}
		for i := range a.Consumed {
			winners[KeyOf(&a.Consumed[i])] = &a.Consumed[i]
		}
	}
	return winners, nil
}

func (a *Append) judge(winners map[Key]*ledger.Consumed, before History) (lost, err error) {
	for i := range a.Consumed {
		c := &a.Consumed[i]
		if winner := winners[KeyOf(c)]; winner != nil {
			return &ledger.ReplayedError{Index: i, Sealed: slices.Clone(winner.Sealed)}, nil
		}
		if lost, err := before.Refusal(i, c); lost != nil || err != nil {
			return lost, err
		}
	}
	return nil, nil
}

// CeilSecond is the first whole Unix second not before t.
func CeilSecond(t time.Time) uint32 {
	return uint32(min(max(t.Add(time.Second-time.Nanosecond).Unix(), 0), math.MaxUint32))
}

// CeilMilli is the first whole Unix millisecond not before t.
func CeilMilli(t time.Time) int64 {
	return t.Add(time.Millisecond - time.Nanosecond).UnixMilli()
}
