// Package deadline compares times by both clocks of a machine. The monotonic clock, by which package
// time compares, stands still while the machine is suspended; the wall clock may be set. A life that
// must not be longer than it was given has ended once either clock says so: a suspend does not
// lengthen it, and neither does a wall clock that is set back. One that is set forward by mistake only
// makes what it bounds end early.
//
// It reads no clock. Times without a monotonic reading, as of fake clocks or from a file, are compared by the
// wall clock alone.
package deadline

import "time"

// Passed reports whether end has come at now, by either clock.
func Passed(end, now time.Time) bool { return Left(end, now) <= 0 }

// Left returns the time from now to end, by the clock that says less. It is negative after end.
func Left(end, now time.Time) time.Duration {
	return min(end.Sub(now), end.Round(0).Sub(now.Round(0))) // Round strips the monotonic reading
}
