//go:build !linux

package load

import "time"

func processorTime() time.Duration { return 0 }

func sleepUntil(due time.Time) { time.Sleep(time.Until(due)) }
