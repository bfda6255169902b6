package trial

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// page collects the output and the first error.
type page struct {
	to  io.Writer
	err error
}

func (p *page) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.to, format, args...)
	}
}

// table begins a table; columns after the first are right-aligned numbers if right is set.
func (p *page) table(right bool, columns ...string) {
	p.printf("\n| %s |\n|", strings.Join(columns, " | "))
	for i := range columns {
		if right && i > 0 {
			p.printf("---:|")
		} else {
			p.printf("---|")
		}
	}
	p.printf("\n")
}

func (p *page) row(cells ...string) {
	for i := range cells {
		cells[i] = strings.NewReplacer("|", "\\|", "\n", " ").Replace(cells[i])
	}
	p.printf("| %s |\n", strings.Join(cells, " | "))
}

// Markdown writes the report as Markdown, with links to plots.
func (r *Report) Markdown(w io.Writer, plots ...string) error {
	p := &page{to: w}
	p.printf("# Benchmarks\n\n<!-- Made by the benchmark itself: what is changed here is lost in its next run. -->\n")
	r.method(p)
	r.targets(p)
	r.ceiling(p)
	for _, plot := range plots {
		p.printf("\n![%s](%s)\n", strings.TrimSuffix(plot, ".svg"), plot)
	}
	r.kinds(p)
	r.servers(p)
	r.paced(p)
	r.overload(p)
	r.disk(p)
	if len(r.Failed) > 0 {
		p.printf("\n## What could not be measured\n\n")
		for _, f := range r.Failed {
			p.printf("- %s\n", strings.ReplaceAll(f, "\n", "\n  "))
		}
	}
	return p.err
}

// method describes where and how the figures were measured.
func (r *Report) method(p *page) {
	m := &r.Machine
	pinned := "servers on one core (each alone at its turn, with its database), the load generator on another"
	if !m.Pinned {
		pinned = "**servers and load share one core: the figures say little**"
	}
	openSSL := m.OpenSSL
	if openSSL == "" {
		openSSL = "not installed"
	}
	p.table(false, "", "")
	p.row("measured", r.Date.Format("2006-01-02 15:04 UTC"))
	p.row("by", "`"+r.Command+"`")
	p.row("machine", fmt.Sprintf("%s, %d cores, %.0f GB, %s", m.CPU, m.Cores, float64(m.Memory)/1e9, m.Kernel))
	p.row("pinned", pinned)
	if m.Pinned {
		p.row("disturbed", fmt.Sprintf("%.1f %% of the servers' core went to something else while they were asked (interrupts included)", 100*r.Others))
	}
	p.row("Go, OpenSSL", m.Go+", "+openSSL)
	p.row("rounds", fmt.Sprintf("%d of %v s for each figure, all in turns; each cell is the median, with least and greatest in brackets where there is room", r.Settings.Rounds, r.Settings.Seconds))
	p.printf("\nEvery answer is checked: status 200, a token of the right algorithm, none twice, and of each round some fifty\n" +
		"signatures with the published keys. Requests are made before a round and each assertion is sent once. Machines\n" +
		"drift: compare within one run only.\n")
}

func (r *Report) targets(p *page) {
	if len(r.Targets) == 0 {
		return
	}
	p.printf("\n## Targets\n")
	p.table(false, "", "target", "wanted", "measured")
	for i := range r.Targets {
		t := &r.Targets[i]
		mark, got, bound := "✗", "not measured", "at least"
		if t.AtMost {
			bound = "at most"
		}
		if t.Got == nil {
			mark = "?"
		} else {
			got = figure(*t.Got) + t.Unit
		}
		if t.Reached() {
			mark = "✓"
		}
		p.row(mark, t.What, bound+" "+figure(t.Want)+t.Unit, got)
	}
}

func (r *Report) ceiling(p *page) {
	p.printf("\n## The ceiling\n\nBare operations on one core, and what the load generator can do.\n")
	p.table(true, "operation", "per second", "µs each")
	for _, o := range r.Ceiling {
		if o.PerSecond.Median == 0 {
			p.row(o.Name, "not there", "")
			continue
		}
		p.row(o.Name, spread(o.PerSecond), figure(1e6/o.PerSecond.Median))
	}
	p.row(fmt.Sprintf("load generator, %d connections, against a server that parses nothing", r.Generator.Connections),
		spread(r.Generator.Rate), figure(r.Generator.CPU.Median)+" of its own core")
}

// kinds writes one table for each kind, the references first.
func (r *Report) kinds(p *page) {
	p.printf("\n## Requests\n\nClosed loop: each connection sends the next request when the last was answered.\n")
	for _, kind := range r.kindsInOrder() {
		title := kind
		if kind == "" {
			title = "reference servers"
		}
		p.printf("\n### %s\n", title)
		p.table(true, "server", "connections", "requests/s", "p50 ms", "p99 ms", "p99.9 ms", "CPU µs/token", "of the ceiling", "by CPU")
		for i := range r.Rows {
			row := &r.Rows[i]
			if row.group() != kind {
				continue
			}
			if row.Error != "" {
				p.row(row.title(), fmt.Sprint(row.Connections), "error: "+cut(row.Error), "", "", "", "", "", "")
				continue
			}
			ratio, byCPU := "", ""
			if row.Ratio != nil {
				ratio, byCPU = percent(*row.Ratio), fmt.Sprintf("%.0f %%", 100*row.CPURatio.Median)
			}
			p.row(row.title(), fmt.Sprint(row.Connections), spread(row.Rate), milliseconds(row.P50), milliseconds(row.P99), milliseconds(row.P999),
				figure(row.CPU.Median), ratio, byCPU)
		}
	}
	p.printf("\nThe ceiling of jwt-bearer and private_key_jwt is the reference server that parses the form, verifies and signs;\n" +
		"of client_credentials ES256 the one that parses and signs, at as many connections and in the same minutes. Of RS256\n" +
		"it is Go's bare signature. By CPU: the processor time that the ceiling takes for a request, in that of the row; what\n" +
		"else a machine does changes it less than the rate.\n")
}

// group returns the table of a row; references share one.
func (row *Row) group() string {
	if row.Reference {
		return ""
	}
	return row.Kind
}

func (row *Row) title() string {
	title := row.Server
	if row.Variant != "" {
		title += " · " + row.Variant
	}
	if row.Note != "" {
		title += " (" + row.Note + ")"
	}
	return title
}

func (r *Report) kindsInOrder() []string {
	var kinds []string
	for i := range r.Rows {
		if kind := r.Rows[i].group(); !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

func (r *Report) servers(p *page) {
	p.printf("\n## Servers\n")
	p.table(false, "server", "version", "keeps", "memory", "cold start to a token")
	for i := range r.Servers {
		s := &r.Servers[i]
		memory, start := "", ""
		if s.Memory > 0 {
			memory = fmt.Sprintf("%.0f MB", float64(s.Memory)/1e6)
		}
		if s.ColdStart.Median > 0 {
			start = spread(s.ColdStart) + " ms"
		}
		p.row(s.Name, s.Version, s.Keeps, memory, start)
	}
	p.printf("\nMemory is what all processes of a server hold after rounds with 64 connections, shared pages counted once.\n\n")
	for i := range r.Servers {
		for _, kind := range slices.Sorted(maps.Keys(r.Servers[i].Cannot)) {
			p.printf("- %s, %s: %s\n", r.Servers[i].Name, kind, r.Servers[i].Cannot[kind])
		}
	}
}
