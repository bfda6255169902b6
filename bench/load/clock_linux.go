package load

import (
	"time"

	"golang.org/x/sys/unix"
)

// processorTime is what this process has taken.
func processorTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// sleepUntil sleeps to the microsecond. The runtime's own timers wake up to a
// millisecond late when nothing else happens.
func sleepUntil(due time.Time) {
	for {
		left := time.Until(due)
		if left <= 0 {
			return
		}
		t := unix.NsecToTimespec(left.Nanoseconds())
		_ = unix.Nanosleep(&t, nil) // a signal may cut it short: then once more
	}
}
