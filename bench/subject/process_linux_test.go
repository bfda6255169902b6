package subject

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func program(t *testing.T, script string, ready func(context.Context) error) Program {
	t.Helper()
	return Program{Command: exec.CommandContext(t.Context(), "sh", "-c", script), Ready: ready}
}

func TestCountsChildren(t *testing.T) {
	var family []int
	log := filepath.Join(t.TempDir(), "log")
	// The child runs for a moment, then waits.
	p, _, _, err := Start(t.Context(), program(t, "sh -c 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 60' & wait", nil), log)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Stop() }()
	for begin := time.Now(); len(family) < 3 && time.Since(begin) < 10*time.Second; time.Sleep(time.Millisecond) {
		if family, err = p.Family(); err != nil {
			t.Fatal(err)
		}
	}
	cpu, err := CPU(family)
	if err != nil || cpu <= 0 {
		t.Errorf("CPU of %v: %v, %v", family, cpu, err)
	}
	memory, err := Memory(family)
	if err != nil || memory < 64<<10 {
		t.Errorf("memory of %v: %d, %v", family, memory, err)
	}
	if len(family) < 3 {
		t.Errorf("family %v, want the program, its child and that one's sleep", family)
	}
}

func TestStartTellsWhyItFailed(t *testing.T) {
	never := func(context.Context) error { return errors.New("nobody answers") }
	_, _, _, err := Start(t.Context(), program(t, "echo no such key >&2; exit 3", never), filepath.Join(t.TempDir(), "log"))
	if err == nil || !strings.Contains(err.Error(), "no such key") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("got %v", err)
	}
}

func TestParseStat(t *testing.T) {
	s, err := parseStat([]byte("42 (a) b (c) S 7 40 42 0 -1 4194304 1 2 3 4 10 20 30 40 20 0 1 0 5 6"))
	if want := (stat{id: 42, parent: 7, group: 40, children: 700 * time.Millisecond}); err != nil || s != want {
		t.Errorf("got %+v, %v; want %+v", s, err, want)
	}
	for _, text := range []string{"", "42 (a", "42 (a) S 1 2", "x (a) S 7 40 42 0 -1 4194304 1 2 3 4 10 20 30 40 20 0"} {
		if s, err := parseStat([]byte(text)); err == nil {
			t.Errorf("%q gave %+v", text, s)
		}
	}
}

func TestBusyOf(t *testing.T) {
	text := []byte("cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 1 2 3 100 100 4 5 6 0 0\ncpu11 1 1 1 1 1 1 1 1 0 0\ncpu1 x\n")
	if busy, interrupts, err := busyOf(text, 0); err != nil || busy != 210*time.Millisecond || interrupts != 90*time.Millisecond {
		t.Errorf("%v, %v, %v", busy, interrupts, err)
	}
	for _, core := range []int{1, 2} {
		if busy, _, err := busyOf(text, core); err == nil {
			t.Errorf("core %d: %v", core, busy)
		}
	}
}

func TestFamilyOf(t *testing.T) {
	all := []stat{{id: 1}, {id: 5, parent: 3}, {id: 2, parent: 1, group: 2}, {id: 3, parent: 2}, {id: 4, parent: 1}, {id: 9, parent: 1, group: 2}}
	got := familyOf(2, all)
	slices.Sort(got)
	if want := []int{2, 3, 5, 9}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestTitles(t *testing.T) {
	for text, want := range map[string]string{
		"/usr/lib/postgresql/15/bin/postgres\x00-D\x00data\x00":    "postgres",
		"postgres: walsender bench 127.0.0.1(1) streaming 0/1\x00": "walsender",
		"postgres: bench postgres 127.0.0.1(1) COMMIT":             "bench",
		"postgres:": "postgres:",
		"":          "",
	} {
		if got := titleOf([]byte(text)); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	sums, err := Titles([]int{os.Getpid()})
	if own := filepath.Base(os.Args[0]); err != nil || len(sums) != 1 || sums[own] <= 0 {
		t.Errorf("this process: %v, %v", sums, err)
	}
}
