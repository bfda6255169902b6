package main

import (
	"os"
	"runtime/debug"
	"testing"
)

// TestGCPercent: a small heap may hold minGarbage, a large one as much garbage as is in use.
func TestGCPercent(t *testing.T) {
	for live, want := range map[uint64]int{0: 1200, 1 << 20: 1200, 8 << 20: 600, 24 << 20: 200, 48 << 20: 100, 1 << 30: 100, 1 << 40: 100} {
		if got := gcPercent(live); got != want {
			t.Errorf("%d bytes in use: %d %%, want %d", live, got, want)
		}
	}
}

// TestSpareCollector: the setting is made, ends with the server, and yields to GOGC.
func TestSpareCollector(t *testing.T) {
	percent := func() int {
		now := debug.SetGCPercent(100)
		debug.SetGCPercent(now)
		return now
	}
	t.Setenv("GOGC", "")
	was := percent()
	spareCollector()()
	if got := percent(); got != was {
		t.Errorf("GOGC is set and %d %% became %d", was, got)
	}
	if err := os.Unsetenv("GOGC"); err != nil { // Setenv puts it back
		t.Fatal(err)
	}
	stop := spareCollector()
	during := percent()
	stop()
	if during <= was || percent() != was {
		t.Errorf("%d %% before, %d with a server, %d after it", was, during, percent())
	}
}
