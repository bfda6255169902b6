package trial

import (
	"fmt"
	"strings"
)

// paced writes the results at a fixed rate.
func (r *Report) paced(p *page) {
	if len(r.Paced) == 0 {
		return
	}
	p.printf("\n## At a fixed rate\n\n64 connections, at half of what Moneyer reaches with them; latency from the instant at which a request was due.\n")
	p.table(true, "server", "kind", "offered/s", "p50 ms", "p99 ms", "p99.9 ms")
	for i := range r.Paced {
		row := &r.Paced[i]
		title := row.Server
		if row.Variant != "" {
			title += " · " + row.Variant
		}
		if row.Error != "" {
			p.row(title, row.Kind, figure(row.Rate), cut(row.Error), "", "")
			continue
		}
		p.row(title, row.Kind, figure(row.Rate), milliseconds(row.P50), milliseconds(row.P99), milliseconds(row.P999))
	}
}

// overload writes the results of overload and of one noisy client.
func (r *Report) overload(p *page) {
	p.overload("Overload", "", r.Overload)
	p.overload("Overload over TLS", ", each request on a new TLS 1.3 connection with a full handshake", r.OverloadTLS)
	if n := r.Noisy; n != nil {
		p.printf("\n## One noisy client among %d\n", n.Clients)
		p.table(true, "", "offered/s", "granted/s", "p99 ms")
		p.row(fmt.Sprintf("the noisy client, whose limit including its burst is %s/s", figure(n.Limit)), figure(n.Sent), figure(n.Got), "")
		p.row("all other clients", figure(n.Others), fmt.Sprintf("%s (%.1f %%)", figure(n.Others*n.OthersGot), 100*n.OthersGot), figure(n.OthersP99))
		if n.OthersRefused > 0 || n.OthersUnsent > 0 {
			p.printf("\nOf the other clients' requests %.1f %% were refused, and %.1f %% were never sent because their connections waited.\n", 100*n.OthersRefused, 100*n.OthersUnsent)
		}
	}
}

// overload writes a result of overload, if there is one.
func (p *page) overload(title, how string, o *Overload) {
	if o == nil {
		return
	}
	p.printf("\n## %s\n\n%s with the limits as they come, %.0f s, %d connections from many addresses%s.\n", title, o.Kind, o.Seconds, o.Connections, how)
	p.table(true, "", "")
	p.row("capacity", fmt.Sprintf("%s/s, %s µs of processor time each", figure(o.Capacity), figure(o.TokenCPU)))
	p.row("offered", fmt.Sprintf("%s/s of %s due, %.1f times the capacity; the load generator's core was %.0f %% busy", figure(o.Asked), figure(o.Due), o.Asked/o.Capacity, 100*o.Busy))
	p.row("granted", fmt.Sprintf("%s/s, %.0f %% of capacity", figure(o.Goodput), 100*o.Goodput/o.Capacity))
	p.row("refused with 429 or 503", fmt.Sprintf("%s/s, %.0f %% of them with Retry-After", figure(o.Refused), 100*o.RetryAfter))
	if o.Broken > 0 {
		p.row("connections that ended without an answer", figure(o.Broken)+"/s: "+cut(o.FirstBroken))
	}
	p.row("other answers", strings.TrimSpace(fmt.Sprint(o.Other, " ", cut(o.FirstOther))))
	p.row("p99 of granted requests, since sending", figure(o.P99)+" ms")
	p.row("p99 of refused requests", figure(o.P99Refused)+" ms")
	if o.Left > 0 {
		p.row("left of the capacity if each refusal were an empty handler's answer, of "+figure(o.EmptyCPU)+" µs", fmt.Sprintf("%s/s, of which %.0f %% was granted", figure(o.Left), 100*o.Goodput/o.Left))
	}
	if b := o.Beside; b != nil {
		p.row(b.Server+", the rest an empty 503, under the same load", fmt.Sprintf("%s/s granted, p99 %s ms, %s/s refused, %s/s without an answer", figure(b.Goodput), figure(b.P99), figure(b.Refused), figure(b.Broken)))
	}
	p.row("five seconds later, at half of capacity", fmt.Sprintf("%.0f %% granted, p99 %s ms", 100*o.After, figure(o.P99After)))
}

// disk writes the size of the ledger and the cost of pruning it.
func (r *Report) disk(p *page) {
	if len(r.Ledger) > 0 {
		p.printf("\n## The ledger on the disk\n\nHow much the store grew, from one clean stop to the next, at 64 connections.\n")
		p.table(true, "kind", "tokens", "bytes per token")
		for _, l := range r.Ledger {
			p.row(l.Kind, figure(float64(l.Tokens)), figure(l.Bytes))
		}
	}
	if n := r.Prune; n != nil {
		p.printf("\n## Removing old entries\n\nAbout %s entries past their retention are removed a minute after the start, while %s requests/s are sent.\n",
			figure(float64(n.Entries)), figure(n.Rate))
		p.table(true, "", "ms")
		p.row("longest request in the minute before", figure(n.Before))
		p.row("longest request while and after", figure(n.During))
		p.row("p99.9 while and after", figure(n.P999))
	}
}
