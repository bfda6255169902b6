package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A process is a postmaster.
type process struct {
	pid   int
	ended chan struct{} // closed when the process has ended
}

// startProcess starts a program whose output is appended to a file.
func startProcess(command *exec.Cmd, log string) (*process, error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	command.Stdout, command.Stderr = file, file
	err = errors.Join(command.Start(), file.Close()) // the program has its own descriptor
	if err != nil {
		return nil, err
	}
	p := &process{pid: command.Process.Pid, ended: make(chan struct{})}
	go func() {
		_ = command.Wait() // the cause is in its log
		close(p.ended)
	}()
	return p, nil
}

// stop sends a signal and waits for the end of the process.
func (p *process) stop(signal syscall.Signal) error {
	if err := syscall.Kill(p.pid, signal); err != nil {
		return err
	}
	select {
	case <-p.ended:
		return nil
	case <-time.After(stopTimeout):
		return fmt.Errorf("PostgreSQL did not end within %v of %v", stopTimeout, signal)
	}
}

// kill kills the postmaster and its children, and returns when all are gone.
func (p *process) kill() error {
	select {
	case <-p.ended:
		return nil
	default:
	}
	// While the postmaster is stopped it cannot start or end children.
	if err := syscall.Kill(p.pid, syscall.SIGSTOP); err != nil {
		return err
	}
	if err := awaitState(p.pid, 'T'); err != nil {
		return err
	}
	children := children(p.pid)
	for _, pid := range append(children, p.pid) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	<-p.ended
	for _, pid := range children {
		if err := awaitState(pid, 0); err != nil {
			return err
		}
	}
	return nil
}

// children returns the child processes of a process. Without /proc it finds none, and PostgreSQL's
// children end by themselves after the postmaster.
func children(parent int) (found []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well formed
	for _, file := range files {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			continue
		}
		if _, of := status(pid); of == parent {
			found = append(found, pid)
		}
	}
	return found
}

// status returns the state of a process and its parent, or zeros if there is none.
func status(pid int) (state byte, parent int) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0
	}
	// 1234 (name, which may contain anything) S 1 ...
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 2 {
		return 0, 0
	}
	parent, err = strconv.Atoi(string(fields[1]))
	if err != nil {
		return 0, 0
	}
	return fields[0][0], parent
}

// awaitState waits until a process is in the state want, or has ended; 0 waits for the end only.
func awaitState(pid int, want byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for {
		if state, _ := status(pid); state == want || state == 'Z' || state == 'X' || state == 0 {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("process %d did not change within %v", pid, stopTimeout)
		}
	}
}

// removeSharedMemory removes the shared memory of a killed server, which its next start would also
// do.
func removeSharedMemory(data string) {
	text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return // it was shut down, or never started
	}
	lines := strings.Split(string(text), "\n")
	const sharedMemory = 6 // "key id", written once there is one
	if len(lines) <= sharedMemory {
		return
	}
	if words := strings.Fields(lines[sharedMemory]); len(words) == 2 {
		_ = exec.CommandContext(context.Background(), "ipcrm", "-m", words[1]).Run() // it may be gone already
	}
}
