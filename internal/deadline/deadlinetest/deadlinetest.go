// Package deadlinetest makes times whose monotonic and wall readings differ, as after a suspend, for
// tests of what uses package deadline.
package deadlinetest

import (
	"time"
	"unsafe"
)

// reading has the fields of time.Time; TestReading fails if they change.
type reading struct {
	wall uint64
	ext  int64 // the monotonic reading, where there is one
	loc  *time.Location
}

// Suspend returns t after the machine slept for d: d later by the wall clock, and the same by the
// monotonic one. A negative d is a wall clock that was set back. t must have a monotonic reading, as
// time.Now has.
func Suspend(t time.Time, d time.Duration) time.Time {
	later := t.Add(d)
	(*reading)(unsafe.Pointer(&later)).ext = (*reading)(unsafe.Pointer(&t)).ext
	return later
}
