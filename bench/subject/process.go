package subject

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	startTimeout = 5 * time.Minute // on one core, with a new database
	stopTimeout  = 15 * time.Second
	// pollInterval is the interval for polling whether a program is ready.
	pollInterval = 2 * time.Millisecond
)

// A Process is a running program.
type Process struct {
	command *exec.Cmd
	log     *os.File
	// ended is closed when the program has ended; result is set before.
	ended  chan struct{}
	result error
}

// Start starts a program on the cores, with its output in the file named log, and returns when it
// is ready. It returns how long that took, and how long Prepare took.
func Start(ctx context.Context, program Program, log string, cores ...int) (p *Process, ready, prepared time.Duration, err error) {
	p, err = launch(program.Command, log, cores)
	if err != nil {
		return nil, 0, 0, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("%w%s", err, p.LogTail()), p.Stop())
			p = nil
		}
	}()
	begin := time.Now()
	if err := p.await(ctx, program.Ready); err != nil {
		return p, 0, 0, err
	}
	ready = time.Since(begin)
	if program.Prepare == nil {
		return p, ready, 0, nil
	}
	begin = time.Now()
	err = program.Prepare(ctx)
	return p, ready, time.Since(begin), err
}

func launch(command *exec.Cmd, log string, cores []int) (*Process, error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	if command.Stdout == nil {
		command.Stdout = file
	}
	if command.Stderr == nil {
		command.Stderr = file
	}
	if command.SysProcAttr == nil {
		command.SysProcAttr = &syscall.SysProcAttr{}
	}
	// A separate process group identifies what its leader leaves behind.
	command.SysProcAttr.Setpgid = true
	if err := StartOn(command, cores...); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	p := &Process{command: command, log: file, ended: make(chan struct{})}
	go func() {
		p.result = command.Wait()
		close(p.ended)
	}()
	return p, nil
}

// await polls ready until it succeeds.
func (p *Process) await(ctx context.Context, ready func(context.Context) error) error {
	if ready == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("%s ended before it was ready: %w", p.name(), p.outcome())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready after %v: %w", p.name(), startTimeout, err)
		case <-time.After(pollInterval):
		}
	}
}

// Alive returns nil while the program runs.
func (p *Process) Alive() error {
	select {
	case <-p.ended:
		return fmt.Errorf("%s has ended: %w%s", p.name(), p.outcome(), p.LogTail())
	default:
		return nil
	}
}

func (p *Process) outcome() error {
	if p.result == nil {
		return errors.New("exit status 0")
	}
	return p.result
}

// Stop stops the program with SIGTERM and waits for it. It kills what does not end in time, which
// is an error, and what the program leaves behind.
func (p *Process) Stop() error {
	defer func() { _ = p.log.Close() }()
	group := -p.command.Process.Pid
	_ = p.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
		_ = syscall.Kill(group, syscall.SIGKILL)
		return nil
	case <-time.After(stopTimeout):
		_ = syscall.Kill(group, syscall.SIGKILL)
		<-p.ended
		return fmt.Errorf("%s did not end within %v of SIGTERM", p.name(), stopTimeout)
	}
}

func (p *Process) name() string { return filepath.Base(p.command.Path) }

// LogTail returns the end of the program's output, to explain a failure.
func (p *Process) LogTail() string {
	const most = 2000
	info, err := p.log.Stat()
	if err != nil || info.Size() == 0 {
		return ""
	}
	end := io.NewSectionReader(p.log, max(0, info.Size()-most), most)
	text, err := io.ReadAll(end)
	if err != nil {
		return ""
	}
	return "\nit wrote:\n" + strings.TrimSpace(string(text))
}
