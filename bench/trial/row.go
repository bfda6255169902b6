package trial

import (
	"cmp"
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
	// client is the processor time of the load generator for each, and idle the share of the servers'
	// core that nobody used.
	client, idle float64
	handshakes   int
}

func newRow(c *contender, e *subject.Exchange) *row {
	r := &row{contender: c, exchange: e, judge: load.NewJudge(e), rate: map[int]float64{}, found: map[Step]figures{}}
	r.endpoint, r.err = load.NewEndpoint(e.URL, e.Header, e.TLS)
	return r
}

func (r *row) name() string {
	name := cmp.Or(r.contender.server.Plain, r.contender.server.Name)
	if !r.contender.reference {
		name += ", " + string(r.exchange.Kind)
		if r.exchange.Variant != "" {
			name += " (" + r.exchange.Variant + ")"
		}
	}
	if r.exchange.TLS != nil {
		name += ", " + string(r.exchange.TLS.Kind())
	}
	return name
}

// requests returns n requests that were never sent.
func (r *row) requests(ctx context.Context, n int) ([][]byte, error) {
	if r.exchange.Before != nil {
		if err := r.exchange.Before(ctx); err != nil {
			return nil, err
		}
		var err error
		if r.endpoint, err = load.NewEndpoint(r.exchange.URL, r.exchange.Header, r.exchange.TLS); err != nil {
			return nil, err
		}
	}
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
	watch, err := t.watch()
	if err != nil {
		return err
	}
	result, cpu, err := t.attend(r, func() (*load.Result, error) {
		defer load.Quiet()()
		return round.Closed(ctx)
	})
	if err != nil {
		return err
	}
	idle, err := t.idle(watch)
	if err != nil {
		return err
	}
	if err := r.judge.Round(ctx, result.Answers); err != nil {
		return err
	}
	if step.Connections == Compared || r.exchange.TLS != nil {
		if err := r.contender.weigh(ctx); err != nil {
			return err
		}
	}
	r.rate[step.Connections] = result.Rate()
	step.Row = 0
	f := figuresOf(result, cpu)
	f.idle = idle
	r.found[step] = f
	return nil
}

// attend runs a round of a row and returns the processor time that it cost the server. What others
// took of the servers' core meanwhile counts as disturbance.
func (t *Trial) attend(r *row, run func() (*load.Result, error)) (*load.Result, time.Duration, error) {
	before, err := r.contender.cpu()
	if err != nil {
		return nil, 0, err
	}
	watch, err := t.watch()
	if err != nil {
		return nil, 0, err
	}
	result, err := run()
	if err != nil {
		return nil, 0, err
	}
	after, err := r.contender.cpu()
	if err != nil {
		return nil, 0, err
	}
	return result, after - before, t.watched(watch, after-before)
}

func figuresOf(result *load.Result, cpu time.Duration) figures {
	latencies := result.Latencies()
	return figures{
		tokens: len(latencies), rate: result.Rate(), cpu: microseconds(cpu) / float64(len(latencies)),
		p50: microseconds(load.Quantile(latencies, 0.5)), p99: microseconds(load.Quantile(latencies, 0.99)),
		p999:   microseconds(load.Quantile(latencies, 0.999)),
		client: microseconds(result.CPU) / float64(len(latencies)), handshakes: result.Full + result.Resumed,
	}
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// report returns the results of the row at a number of connections. bound returns the ceiling in a
// round.
func (r *row) report(connections int, bound func(subject.Work, subject.Connection, Step) figures) Row {
	out := Row{Server: cmp.Or(r.contender.server.Plain, r.contender.server.Name), Kind: string(r.exchange.Kind), Variant: r.exchange.Variant,
		Note: r.exchange.Note, Reference: r.contender.reference, Connection: r.exchange.TLS.Kind(), Connections: connections}
	if r.err != nil {
		out.Error = r.err.Error()
		return out
	}
	work := subject.WorkOf(r.exchange.Kind, r.contender.setup.Signs)
	var rate, p50, p99, p999, cpu, client, idle, ratio, cpuRatio []float64
	for step, f := range r.found {
		if step.Connections != connections {
			continue
		}
		out.Tokens += f.tokens
		out.Handshakes += f.handshakes
		client, idle = append(client, f.client), append(idle, f.idle)
		rate, p50, p99, p999, cpu = append(rate, f.rate), append(p50, f.p50), append(p99, f.p99), append(p999, f.p999), append(cpu, f.cpu)
		if most := bound(work, out.Connection, step); most.rate > 0 && f.cpu > 0 {
			ratio, cpuRatio = append(ratio, f.rate/most.rate), append(cpuRatio, most.cpu/f.cpu)
		}
	}
	out.Rounds = len(rate)
	out.Rate, out.P50, out.P99 = SpreadOf(rate), SpreadOf(p50), SpreadOf(p99)
	out.P999, out.CPU = SpreadOf(p999), SpreadOf(cpu)
	out.Client, out.Idle = SpreadOf(client), SpreadOf(idle)
	if len(ratio) > 0 && !r.contender.reference {
		out.Ceiling, out.Ratio, out.CPURatio = string(work), new(SpreadOf(ratio)), new(SpreadOf(cpuRatio))
	}
	return out
}
