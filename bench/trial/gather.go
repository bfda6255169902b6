package trial

import (
	"context"
	"time"

	"moneyer/bench/subject"
)

// report collects the results.
func (t *Trial) report(ctx context.Context) *Report {
	r := &Report{
		Date:     time.Now().UTC().Truncate(time.Second),
		Machine:  machine(ctx, len(t.LoadCores) > 0),
		Others:   t.disturbed.share(),
		Settings: RunSettings{Rounds: t.Rounds, Seconds: t.Duration.Seconds(), Connections: t.Connections},
		Ceiling:  t.micro.operations(),
		Failed:   t.failed,
	}
	var rate, cpu []float64
	for _, g := range t.generator {
		rate, cpu = append(rate, g.rate), append(cpu, g.cpu)
	}
	r.Generator = Generator{Connections: Compared, Rate: SpreadOf(rate), CPU: SpreadOf(cpu)}
	for _, c := range t.contenders {
		r.Servers = append(r.Servers, c.report())
	}
	for _, row := range t.rows {
		for _, connections := range t.numbers() {
			if t.asks(row, connections) {
				r.Rows = append(r.Rows, row.report(connections, t.bound))
			}
		}
	}
	return r
}

// bound returns the ceiling of a work in the round of a step: the reference server with the same kind
// and number of connections.
func (t *Trial) bound(work subject.Work, over subject.Connection, step Step) figures {
	for _, r := range t.rows {
		if r.contender.reference && r.exchange.Kind == subject.Kind(work) && r.exchange.TLS.Kind() == over {
			return r.found[step]
		}
	}
	return figures{}
}
