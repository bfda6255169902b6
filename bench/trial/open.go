package trial

import (
	"context"
	"runtime"
	"time"

	"moneyer/bench/load"
)

// open sends requests at a fixed rate. The pacing goroutine sleeps in a system call, which blocks a
// scheduler thread, so there are two meanwhile.
func open(ctx context.Context, round *load.Round, rate float64) (*load.Result, error) {
	processors := runtime.GOMAXPROCS(2)
	defer runtime.GOMAXPROCS(processors)
	defer load.Quiet()()
	return round.Open(ctx, rate)
}

// settle waits until a server has finished its background work.
func settle(ctx context.Context, pause time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(pause):
		return nil
	}
}
