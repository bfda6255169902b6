package trial

import (
	"context"
	"fmt"
	"time"

	"moneyer/bench/load"
	"moneyer/bench/subject"
)

// row is one exchange of one server.
type row struct {
	contender *contender
	exchange  *subject.Exchange
	judge     *load.Judge
	endpoint  *load.Endpoint
	made      int // number of bodies so far
	// rate of the last round by number of connections; the calibration is under 0.
	rate map[int]float64
	// found holds the figures by step.
	found map[Step]figures
	err   error
}

// figures are the results of one round. Times are in microseconds.
type figures struct {
	tokens                    int
	rate, p50, p99, p999, cpu float64
}

func newRow(c *contender, e *subject.Exchange) *row {
	r := &row{contender: c, exchange: e, judge: load.NewJudge(e), rate: map[int]float64{}, found: map[Step]figures{}}
	r.endpoint, r.err = load.NewEndpoint(e.URL, e.Header)
	return r
}

func (r *row) name() string {
	name := r.contender.server.Name
	if r.contender.reference {
		return name
	}
	name += ", " + string(r.exchange.Kind)
	if r.exchange.Variant != "" {
		name += " (" + r.exchange.Variant + ")"
	}
	return name
}

// requests returns n requests that were never sent.
func (r *row) requests(ctx context.Context, n int) ([][]byte, error) {
	requests := make([][]byte, n)
	for i := range requests {
		if i%1000 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		body, err := r.exchange.Body(r.made)
		if err != nil {
			return nil, fmt.Errorf("make a request: %w", err)
		}
		r.made++
		requests[i] = r.endpoint.Request(body)
	}
	return requests, nil
}

// wanted estimates how many requests a round needs.
func (r *row) wanted(connections int, duration time.Duration) int {
	rate, known := r.rate[connections]
	if !known {
		rate = 1.5 * r.rate[0]
	}
	return int(1.25*rate*duration.Seconds()) + connections + 20
}

// calibrate measures the approximate rate of each exchange, which also warms it up. Failing ones
// are excluded, with the reason.
func (t *Trial) calibrate(ctx context.Context) error {
	t.Progress.Say("trying %d exchanges", len(t.rows))
	for _, r := range t.rows {
		if r.err == nil {
			r.err = t.calibrateRow(ctx, r)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if r.err != nil {
			t.Fail("%s: %v", r.name(), r.err)
			t.Progress.Say("%s", r.contender.logTail())
		}
	}
	return nil
}

func (t *Trial) calibrateRow(ctx context.Context, r *row) error {
	const connections = 16
	warm := min(t.Duration, 400*time.Millisecond)
	for n := 1; ; n *= 4 {
		result, err := t.ask(ctx, r, connections, n)
		if err != nil {
			return err
		}
		r.rate[0] = result.Rate()
		if n >= connections && result.Elapsed >= warm/4 {
			return nil
		}
	}
}

// ask sends n requests as fast as possible, and checks the answers.
func (t *Trial) ask(ctx context.Context, r *row, connections, n int) (*load.Result, error) {
	requests, err := r.requests(ctx, n)
	if err != nil {
		return nil, err
	}
	round := load.Round{Endpoint: r.endpoint, Connections: min(connections, n), Duration: time.Minute, Requests: requests}
	result, err := round.Closed(ctx)
	if err != nil {
		return nil, err
	}
	return result, r.judge.Round(ctx, result.Answers)
}

// measure runs one round.
func (t *Trial) measure(ctx context.Context, r *row, step Step) error {
	requests, err := r.requests(ctx, r.wanted(step.Connections, t.Duration))
	if err != nil {
		return err
	}
	round := load.Round{Endpoint: r.endpoint, Connections: step.Connections, Duration: t.Duration, Requests: requests}
	family, err := r.contender.family()
	if err != nil {
		return err
	}
	watch, err := t.watch()
	if err != nil {
		return err
	}
	before, err := subject.CPU(family)
	if err != nil {
		return err
	}
	restore := load.Quiet()
	result, err := round.Closed(ctx)
	restore()
	if err != nil {
		return err
	}
	if family, err = r.contender.family(); err != nil {
		return err
	}
	cpu, err := subject.CPU(family)
	if err != nil {
		return err
	}
	if err := t.watched(watch, cpu-before); err != nil {
		return err
	}
	if err := r.judge.Round(ctx, result.Answers); err != nil {
		return err
	}
	if step.Connections == Compared && step.Round == 0 {
		memory, err := subject.Memory(family)
		if err != nil {
			return err
		}
		r.contender.memory = max(r.contender.memory, memory)
	}
	r.rate[step.Connections] = result.Rate()
	step.Row = 0
	r.found[step] = figuresOf(result, cpu-before)
	return nil
}

func figuresOf(result *load.Result, cpu time.Duration) figures {
	latencies := result.Latencies()
	return figures{
		tokens: len(latencies), rate: result.Rate(), cpu: microseconds(cpu) / float64(len(latencies)),
		p50: microseconds(load.Quantile(latencies, 0.5)), p99: microseconds(load.Quantile(latencies, 0.99)),
		p999: microseconds(load.Quantile(latencies, 0.999)),
	}
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// report returns the results of the row at a number of connections. bound returns the ceiling in a
// round.
func (r *row) report(connections int, bound func(subject.Work, Step) figures) Row {
	out := Row{Server: r.contender.server.Name, Kind: string(r.exchange.Kind), Variant: r.exchange.Variant,
		Note: r.exchange.Note, Reference: r.contender.reference, Connections: connections}
	if r.err != nil {
		out.Error = r.err.Error()
		return out
	}
	work := subject.WorkOf(r.exchange.Kind)
	var rate, p50, p99, p999, cpu, ratio, cpuRatio []float64
	for step, f := range r.found {
		if step.Connections != connections {
			continue
		}
		out.Tokens += f.tokens
		rate, p50, p99, p999, cpu = append(rate, f.rate), append(p50, f.p50), append(p99, f.p99), append(p999, f.p999), append(cpu, f.cpu)
		if most := bound(work, step); most.rate > 0 && f.cpu > 0 {
			ratio, cpuRatio = append(ratio, f.rate/most.rate), append(cpuRatio, most.cpu/f.cpu)
		}
	}
	out.Rounds = len(rate)
	out.Rate, out.P50, out.P99 = SpreadOf(rate), SpreadOf(p50), SpreadOf(p99)
	out.P999, out.CPU = SpreadOf(p999), SpreadOf(cpu)
	if len(ratio) > 0 && !r.contender.reference {
		out.Ceiling, out.Ratio, out.CPURatio = string(work), new(SpreadOf(ratio)), new(SpreadOf(cpuRatio))
	}
	return out
}
