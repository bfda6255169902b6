package subject

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// Cores returns the cores on which this process may run.
func Cores() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("ask for the allowed cores: %w", err)
	}
	var cores []int
	for core := 0; len(cores) < set.Count(); core++ {
		if set.IsSet(core) {
			cores = append(cores, core)
		}
	}
	return cores, nil
}

// Pin moves every thread of this process to the cores. New threads inherit them.
func Pin(cores ...int) error {
	set := setOf(cores)
	// A thread created while the list is read may have inherited the old cores: the second pass
	// finds it.
	for range 2 {
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, thread := range threads {
			id, err := strconv.Atoi(thread.Name())
			if err != nil {
				return err
			}
			if err := unix.SchedSetaffinity(id, &set); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("move a thread to cores %v: %w", cores, err)
			}
		}
	}
	return nil
}

// StartOn starts a command on the cores, which it and its children inherit. The caller's cores do
// not change.
func StartOn(command *exec.Cmd, cores ...int) error {
	if len(cores) == 0 {
		return command.Start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return err
	}
	set := setOf(cores)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("move to cores %v: %w", cores, err)
	}
	return errors.Join(command.Start(), unix.SchedSetaffinity(0, &before))
}

func setOf(cores []int) unix.CPUSet {
	var set unix.CPUSet
	for _, core := range cores {
		set.Set(core)
	}
	return set
}
