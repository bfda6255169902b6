package trial

import (
	"fmt"
	"maps"
	"slices"

	"moneyer/bench/subject"
)

// replicas writes the results of replicas on one store.
func (r *Report) replicas(p *page) {
	if len(r.Replicas) == 0 {
		return
	}
	p.printf("\n## Replicas on PostgreSQL with a synchronous standby\n\n" +
		"Connections are kept and spread evenly over the replicas. All of these programs share the servers' core, so the figure to compare is processor time per token, " +
		"in µs. Where one replica is asked the others run idle.\n")
	p.table(true, "kind", "connections", "replicas", "tokens/s", "replicas µs", "primary µs", "standby µs", "all µs", "core idle", "p50 ms", "p99 ms", "disturbed")
	for i := range r.Replicas {
		x := &r.Replicas[i]
		p.row(x.Kind, fmt.Sprint(x.Connections), fmt.Sprint(x.Replicas), spread(x.Rate), spread(x.CPU[subject.Replica]), spread(x.CPU[subject.Primary]),
			spread(x.CPU[subject.Standby]), figure(x.All()), percent(x.Idle), milliseconds(x.P50), milliseconds(x.P99), percent(x.Disturbed))
	}
	p.printf("\nA transaction executes statements and waits for both disks, and waits for its replica between its two messages; heartbeats are in these means, too.\n")
	p.table(true, "kind", "connections", "replicas", "appends per commit", "commits/s", "µs in PostgreSQL", "µs between", "WAL bytes per token")
	for i := range r.Replicas {
		x := &r.Replicas[i]
		p.row(x.Kind, fmt.Sprint(x.Connections), fmt.Sprint(x.Replicas), spread(x.Batch), spread(x.Commits), spread(x.Active), spread(x.Between), spread(x.WAL))
	}
	p.printf("\nProcessor time of PostgreSQL's processes in µs per token.\n")
	parts := r.parts()
	p.table(true, append([]string{"kind", "connections", "replicas"}, parts...)...)
	for i := range r.Replicas {
		x := &r.Replicas[i]
		cells := []string{x.Kind, fmt.Sprint(x.Connections), fmt.Sprint(x.Replicas)}
		for _, part := range parts {
			cells = append(cells, figure(x.Parts[part].Median))
		}
		p.row(cells...)
	}
}

// parts returns the processes that take 0.5 µs per token or more anywhere.
func (r *Report) parts() []string {
	most := map[string]float64{}
	for i := range r.Replicas {
		for part, s := range r.Replicas[i].Parts {
			most[part] = max(most[part], s.Median)
		}
	}
	maps.DeleteFunc(most, func(_ string, cpu float64) bool { return cpu < 0.5 })
	return slices.Sorted(maps.Keys(most))
}
