package trial

import (
	"fmt"
	"slices"

	"moneyer/bench/subject"
)

// connectionTitles names the kinds of connection, in the order of the tables.
var connectionTitles = []struct {
	kind  subject.Connection
	title string
}{
	{subject.TLSFull, "Full handshake, X25519MLKEM768"},
	{subject.TLSClassic, "Full handshake without ML-KEM, X25519"},
	{subject.TLSResumed, "Resumed by a ticket"},
	{subject.MutualTLS, "Full handshake with a client certificate"},
}

// overTLS writes one table for each kind of connection with TLS.
func (r *Report) overTLS(p *page) {
	if !slices.ContainsFunc(r.Rows, func(row Row) bool { return row.Connection != subject.Kept }) {
		return
	}
	p.printf("\n## Each request on a new TLS 1.3 connection\n\n%d requests at once. P-256 certificates. A reference and a peer without TLS of its own are "+
		"served by Go's\nhttp.Server with its defaults. Compare the processor time: idle is the share of the servers' core that nobody used, and\n"+
		"where it is more than a few percent the load generator bounds the rate, or the disk. Client: the generator's own processor time.\n", Together)
	for _, c := range connectionTitles {
		r.connection(p, c.kind, c.title)
	}
}

// connection writes the table of a kind of connection, the references first.
func (r *Report) connection(p *page, kind subject.Connection, title string) {
	begun := false
	for i := range r.Rows {
		row := &r.Rows[i]
		if row.Connection != kind {
			continue
		}
		if !begun {
			begun = true
			p.printf("\n### %s\n", title)
			p.table(true, "server", "request", "requests/s", "p50 ms", "p99 ms", "CPU µs/token", "of the ceiling", "by CPU", "idle", "client µs")
		}
		name, request := row.title(), row.Kind
		if row.Reference {
			request = ""
		}
		if row.Error != "" {
			p.row(name, request, "error: "+cut(row.Error), "", "", "", "", "", "", "")
			continue
		}
		ratio, byCPU := "", ""
		if row.Ratio != nil {
			ratio, byCPU = percent(*row.Ratio), fmt.Sprintf("%.0f %%", 100*row.CPURatio.Median)
		}
		p.row(name, request, spread(row.Rate), milliseconds(row.P50), milliseconds(row.P99), figure(row.CPU.Median), ratio, byCPU,
			fmt.Sprintf("%.0f %%", 100*row.Idle.Median), figure(row.Client.Median))
	}
}
