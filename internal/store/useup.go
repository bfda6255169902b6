package store

import (
	"slices"
	"time"

	"moneyer/internal/authority"
)

// lostTo is what the second use of an assertion in one batch gets.
func lostTo(winner *appending) error {
	return &authority.UsedError{Sealed: slices.Clone(winner.use.Sealed)}
}

// ceilMilli is the first whole Unix millisecond not before t.
func ceilMilli(t time.Time) int64 {
	return t.Add(time.Millisecond - time.Nanosecond).UnixMilli()
}
