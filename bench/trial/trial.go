// Package trial starts servers, measures them alternately ([Trial]), and writes the results as
// Markdown, as JSON and as pictures in SVG ([Report]).
//
// It does not depend on particular servers: [subject.Server] describes each. Answers are checked by
// [load.Judge].
package trial

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	"moneyer/bench/subject"
)

// Settings of a run.
type Settings struct {
	Rounds      int
	Duration    time.Duration // of a round
	Connections []int
	// Wanted reports whether an exchange is measured; nil means all.
	Wanted func(server string, kind subject.Kind, variant string) bool
	// Sparse reports whether an exchange is measured only with the first and the main number of
	// connections; nil means none.
	Sparse func(server string, kind subject.Kind, variant string) bool
	// Restarts is the number of cold starts to measure.
	Restarts int
	// Folder for the servers' files.
	Folder   string
	Progress *Progress
}

// A Trial is a set of running servers and their results so far.
type Trial struct {
	Settings
	// ServerCores and LoadCores are disjoint; both are empty without pinning.
	ServerCores, LoadCores []int

	contenders []*contender
	rows       []*row
	micro      *microFigures
	generator  []generatorRound
	disturbed  disturbance
	failed     []string
	port       int
}

// New prepares a trial, and warns if there is only one core.
func New(s Settings) (*Trial, error) {
	cores, err := subject.Cores()
	if err != nil {
		return nil, err
	}
	t := &Trial{Settings: s, micro: &microFigures{}}
	if len(cores) < 2 {
		s.Progress.Say("There is one core only: servers and load share it, and the figures say little.")
		return t, nil
	}
	t.ServerCores, t.LoadCores = cores[:1], cores[1:2]
	return t, nil
}

// Pin moves this process to the load's core, after everything is installed.
func (t *Trial) Pin() error {
	if len(t.LoadCores) == 0 {
		return nil
	}
	if err := subject.Pin(t.LoadCores...); err != nil {
		return err
	}
	runtime.GOMAXPROCS(len(t.LoadCores))
	return nil
}

// Install installs the servers. Failures are reported and the server left out.
func (t *Trial) Install(ctx context.Context, servers []subject.Server, reference bool) error {
	for _, s := range servers {
		if !reference {
			t.Progress.Say("installing %s", s.Name)
		}
		log := t.Progress.Detail()
		version, err := s.Install(ctx, log)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			t.Fail("%s cannot be installed: %v", s.Name, err)
			continue
		}
		t.contenders = append(t.contenders, &contender{server: s, version: version, reference: reference})
	}
	return nil
}

// Fail reports what could not be measured.
func (t *Trial) Fail(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	t.failed = append(t.failed, text)
	t.Progress.Say("✗ %s", text)
}

// Run starts the servers, measures them alternately, and stops them. after, if not nil, is called
// with the results while they still run.
func (t *Trial) Run(ctx context.Context, after func(context.Context, *Report) error) (*Report, error) {
	defer t.stop()
	if err := t.start(ctx); err != nil {
		return nil, err
	}
	if err := t.calibrate(ctx); err != nil {
		return nil, err
	}
	if err := t.restart(ctx); err != nil {
		return nil, err
	}
	if err := t.warm(ctx); err != nil {
		return nil, err
	}
	if err := t.quiet(ctx); err != nil {
		return nil, err
	}
	if err := t.rounds(ctx); err != nil {
		return nil, err
	}
	r := t.report(ctx)
	if after == nil {
		return r, nil
	}
	err := after(ctx, r)
	r.Failed, r.Others = t.failed, t.disturbed.share()
	return r, err
}

// start starts every server, and drops those that fail.
func (t *Trial) start(ctx context.Context) error {
	var started []*contender
	for _, c := range t.contenders {
		if !c.reference {
			t.Progress.Say("starting %s", c.server.Name)
		}
		err := t.raise(ctx, c)
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), c.stop())
		}
		if err != nil {
			t.Fail("%s does not start: %v", c.server.Name, errors.Join(err, c.stop()))
			continue
		}
		started = append(started, c)
		for i := range c.setup.Exchanges {
			e := &c.setup.Exchanges[i]
			if t.Wanted == nil || c.reference || t.Wanted(c.server.Name, e.Kind, e.Variant) {
				t.rows = append(t.rows, newRow(c, e))
			}
		}
	}
	t.contenders = started
	return nil
}

// raise configures a server in a new folder and starts all its programs.
func (t *Trial) raise(ctx context.Context, c *contender) error {
	folder, err := os.MkdirTemp(t.Folder, "server-")
	if err != nil {
		return err
	}
	if err := os.Chmod(folder, 0o755); err != nil { // some databases run as another user
		return err
	}
	address, err := t.freeAddress(ctx)
	if err != nil {
		return err
	}
	c.folder, c.cores = folder, t.ServerCores
	if c.setup, err = c.server.Configure(ctx, folder, address); err != nil {
		return err
	}
	return c.start(ctx)
}

func (t *Trial) stop() {
	for _, c := range t.contenders {
		if err := c.stop(); err != nil {
			t.Fail("%s: %v", c.server.Name, err)
		}
	}
}

// Compared is the number of connections by which servers are compared.
const Compared = 64

// Together is the number of requests at once where each has a new connection.
const Together = 32

// numbers returns all numbers of connections.
func (t *Trial) numbers() []int {
	return slices.Compact(slices.Sorted(slices.Values(append([]int{Together}, t.Connections...))))
}

// asks reports whether a row is measured at a number of connections.
func (t *Trial) asks(r *row, connections int) bool {
	if r.exchange.TLS != nil || !slices.Contains(t.Connections, connections) {
		return r.exchange.TLS != nil && connections == Together
	}
	return connections == t.Connections[0] || connections == Compared || t.Sparse == nil || r.contender.reference ||
		!t.Sparse(r.contender.server.Name, r.exchange.Kind, r.exchange.Variant)
}

// rounds measures every row at every number of connections, alternating between rows.
func (t *Trial) rounds(ctx context.Context) error {
	steps := Interleave(t.Rounds, t.numbers(), len(t.rows))
	steps = slices.DeleteFunc(steps, func(s Step) bool { return !t.asks(t.rows[s.Row], s.Connections) })
	t.Progress.Begin(len(steps))
	last := -1
	for _, step := range steps {
		if step.Round != last {
			last = step.Round
			if err := t.bare(ctx); err != nil {
				return err
			}
		}
		row := t.rows[step.Row]
		t.Progress.Step("round %d of %d, %d connections: %s", step.Round+1, t.Rounds, step.Connections, row.name())
		if row.err != nil {
			continue
		}
		err := t.measure(ctx, row, step)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			row.err = err
			t.Fail("%s, %d connections: %v", row.name(), step.Connections, err)
			t.Progress.Say("%s", row.contender.logTail())
		}
	}
	t.Progress.End()
	return nil
}
