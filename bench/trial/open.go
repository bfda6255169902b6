package trial

import (
	"context"
	"runtime"
	"time"

	"moneyer/bench/load"
)

// open asks at a fixed rate. What makes requests due sleeps in a system call,
// which would hold up a single scheduler: there are two on the core meanwhile.
func open(ctx context.Context, round *load.Round, rate float64) (*load.Result, error) {
	processors := runtime.GOMAXPROCS(2)
	defer runtime.GOMAXPROCS(processors)
	defer load.Quiet()()
	return round.Open(ctx, rate)
}

// settle lets what a server does after much work come to its end.
func settle(ctx context.Context, pause time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(pause):
		return nil
	}
}
