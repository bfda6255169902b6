package trial

import (
	"errors"
	"io"
	"testing"
	"time"

	"moneyer/bench/subject"
)

// TestWarmUp: a server is requested for as long as it says before its first round, by all exchanges
// that give tokens, and no other server is.
func TestWarmUp(t *testing.T) {
	trial, err := New(Settings{Rounds: 1, Duration: 50 * time.Millisecond, Connections: []int{1}, Folder: t.TempDir(), Progress: NewProgress(io.Discard, false)})
	if err != nil {
		t.Fatal(err)
	}
	_, others := servers(t)
	good, wrong := others[0], others[1]
	cold := good
	cold.Name, good.WarmUp, wrong.WarmUp = "cold", 200*time.Millisecond, time.Hour
	defer trial.stop()
	if err := errors.Join(trial.Install(t.Context(), []subject.Server{good, cold, wrong}, false), trial.start(t.Context()), trial.calibrate(t.Context())); err != nil {
		t.Fatal(err)
	}
	before := map[string]int{}
	for _, r := range trial.rows {
		before[r.contender.server.Name] = r.made
	}
	begin := time.Now()
	if err := trial.warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took < good.WarmUp {
		t.Errorf("warmed up for %v", took)
	}
	for _, r := range trial.rows {
		name := r.contender.server.Name
		more := r.made - before[name]
		if warmed := more >= Compared; warmed != (name == good.Name) {
			t.Errorf("%s was requested %d times", name, more)
		}
	}
}
