package main

import (
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// minGarbage is how many bytes of garbage may come together before the collector runs.
	minGarbage = 48 << 20
	// defaultPercent is Go's own: as much garbage as is in use.
	defaultPercent = 100
	// smallestHeap is what Go takes for the live heap where less is in use.
	smallestHeap = 4 << 20
)

// spareCollector keeps the collector from running thirty times a second in a server whose heap is small,
// and leaves it as it is where more than minGarbage is in use. A GOGC in the environment wins. The function
// that it returns ends it.
func spareCollector() (stop func()) {
	if _, set := os.LookupEnv("GOGC"); set {
		return func() {}
	}
	was := debug.SetGCPercent(gcPercent(0))
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		adjustCollector(quit)
	}()
	return func() {
		close(quit)
		<-ended
		debug.SetGCPercent(was)
	}
}

// adjustCollector follows the size of the live heap until quit is closed.
func adjustCollector(quit <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	set := gcPercent(0)
	for {
		select {
		case <-quit:
			return
		case <-tick.C:
		}
		metrics.Read(live)
		if want := gcPercent(live[0].Value.Uint64()); 10*want < 9*set || 10*want > 11*set { // setting it stops the program for an instant
			debug.SetGCPercent(want)
			set = want
		}
	}
}

// gcPercent returns the percentage of the live heap, in bytes, that may be garbage.
func gcPercent(live uint64) int {
	return max(defaultPercent, int(100*minGarbage/max(live, smallestHeap)))
}
