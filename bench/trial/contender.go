package trial

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"moneyer/bench/subject"
)

// contender is a server in the comparison.
type contender struct {
	server    subject.Server
	version   string
	reference bool

	folder string
	cores  []int
	setup  *subject.Setup
	beside []*subject.Process
	main   *subject.Process

	memory    int64
	heap      int64
	coldStart []float64 // milliseconds
}

// start starts the programs beside the server, and then the server.
func (c *contender) start(ctx context.Context) error {
	for i, program := range c.setup.Beside {
		p, _, _, err := subject.Start(ctx, program, c.log("beside-"+strconv.Itoa(i)), c.cores...)
		if err != nil {
			return err
		}
		c.beside = append(c.beside, p)
	}
	_, err := c.startMain(ctx)
	return err
}

// startMain starts the server itself and returns how long it took to be ready.
func (c *contender) startMain(ctx context.Context) (time.Duration, error) {
	p, ready, _, err := subject.Start(ctx, c.setup.Server, c.log("server"), c.cores...)
	c.main = p
	// A command can run only once, so the next start needs a copy.
	c.setup.Server.Command = again(c.setup.Server.Command)
	return ready, err
}

func (c *contender) log(name string) string { return filepath.Join(c.folder, name+".log") }

// again returns a copy of the command that can be run.
func again(command *exec.Cmd) *exec.Cmd {
	return &exec.Cmd{Path: command.Path, Args: command.Args, Env: command.Env, Dir: command.Dir, SysProcAttr: command.SysProcAttr}
}

// stop stops the server and then the programs beside it, last first.
func (c *contender) stop() error {
	var err error
	if c.main != nil {
		err = c.main.Stop()
		c.main = nil
	}
	for _, p := range slices.Backward(c.beside) {
		err = errors.Join(err, p.Stop())
	}
	c.beside = nil
	return err
}

// logTail returns the end of the server's output.
func (c *contender) logTail() string {
	if c.main == nil {
		return ""
	}
	return strings.TrimSpace(c.main.LogTail())
}

// family returns all processes of the server.
func (c *contender) family() ([]int, error) {
	if c.main == nil {
		return nil, errors.New("the server does not run")
	}
	var all []int
	for _, p := range append([]*subject.Process{c.main}, c.beside...) {
		if err := p.Alive(); err != nil {
			return nil, err
		}
		some, err := p.Family()
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// cpu returns the processor time of all processes of the server so far.
func (c *contender) cpu() (time.Duration, error) {
	family, err := c.family()
	if err != nil {
		return 0, err
	}
	return subject.CPU(family)
}

// weigh measures the memory of the server's processes, and keeps the most.
func (c *contender) weigh(ctx context.Context) error {
	family, err := c.family()
	if err != nil {
		return err
	}
	memory, err := subject.Memory(family)
	if err != nil {
		return err
	}
	c.memory = max(c.memory, memory)
	if c.setup.Heap == nil {
		return nil
	}
	heap, err := c.setup.Heap(ctx)
	c.heap = max(c.heap, heap)
	return err
}

func (c *contender) report() Server {
	s := Server{Name: c.server.Name, Version: c.version, Keeps: c.server.Keeps, Reference: c.reference,
		Memory: c.memory, Heap: c.heap, ColdStart: SpreadOf(c.coldStart)}
	for kind, why := range c.server.Cannot {
		if s.Cannot == nil {
			s.Cannot = map[string]string{}
		}
		s.Cannot[string(kind)] = why
	}
	return s
}

// freeAddress returns an address with a port below the ephemeral range, so that no connection of
// the load takes it.
func (t *Trial) freeAddress(ctx context.Context) (string, error) {
	const first, last = 18100, 32000
	if t.port == 0 { // each trial its own: a server that is started again wants the port that it had
		t.port = first + rand.IntN((last-first)/2)
	}
	for ; t.port < last; t.port++ {
		address := fmt.Sprintf("127.0.0.1:%d", t.port)
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		if err != nil {
			continue
		}
		t.port++
		return address, l.Close()
	}
	return "", errors.New("no free port")
}
