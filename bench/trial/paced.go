package trial

import (
	"context"
	"fmt"
	"time"

	"moneyer/bench/load"
	"moneyer/bench/subject"
)

// pacedRow is a row measured at a fixed rate.
type pacedRow struct {
	*row
	rate           float64
	p50, p99, p999 []float64
	err            error
}

// Paced measures each server at half of the rate of the model server with the kind at 64
// connections. Rows of the kinds in also are included.
func (t *Trial) Paced(ctx context.Context, model, variant string, kind subject.Kind, also ...subject.Kind) ([]Paced, error) {
	rate := t.median(func(r *row) bool {
		return r.contender.server.Name == model && r.exchange.Kind == kind && r.exchange.Variant == variant
	}) / 2
	if rate == 0 {
		return nil, nil
	}
	rows := t.pacedRows(rate, func(r *row) bool { return compares(r, model, variant, kind, also) })
	t.Progress.Begin(t.Rounds * len(rows))
	for round := range t.Rounds {
		for _, r := range rows {
			t.Progress.Step("%.0f requests/s, round %d of %d: %s", rate, round+1, t.Rounds, r.name())
			if r.err == nil {
				r.err = t.pace(ctx, r)
			}
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
		}
	}
	t.Progress.End()
	var found []Paced
	for _, r := range rows {
		found = append(found, r.report())
	}
	return found, nil
}

// pacedRows returns the selected rows that get tokens. Rows that do not reach the rate are included
// with the reason.
func (t *Trial) pacedRows(rate float64, wanted func(*row) bool) []*pacedRow {
	var rows []*pacedRow
	for _, r := range t.rows {
		if r.err != nil || r.contender.reference || r.exchange.TLS != nil || !wanted(r) {
			continue
		}
		p := &pacedRow{row: r, rate: rate}
		if reaches := t.median(func(other *row) bool { return other == r }); reaches < rate {
			p.err = fmt.Errorf("reaches %.0f/s", reaches)
		}
		rows = append(rows, p)
	}
	return rows
}

// compares reports whether a row is compared with the model's: one row of the model itself, and of
// the others all rows of the kind or of a similar one.
func compares(r *row, model, variant string, kind subject.Kind, also []subject.Kind) bool {
	if r.contender.server.Name == model {
		return r.exchange.Kind == kind && r.exchange.Variant == variant
	}
	if r.exchange.Kind == kind {
		return r.exchange.Variant == variant || r.exchange.Variant == ""
	}
	for _, k := range also {
		if r.exchange.Kind == k && r.exchange.Variant == "" {
			return true
		}
	}
	return false
}

// median returns the median rate of the first matching row, at the number of connections by which
// servers are compared.
func (t *Trial) median(of func(*row) bool) float64 {
	for _, r := range t.rows {
		if of(r) {
			return r.report(Compared, t.bound).Rate.Median
		}
	}
	return 0
}

func (t *Trial) pace(ctx context.Context, r *pacedRow) error {
	duration := max(t.Duration, time.Second)
	requests, err := r.requests(ctx, int(r.rate*duration.Seconds())+1)
	if err != nil {
		return err
	}
	round := &load.Round{Endpoint: r.endpoint, Connections: Compared, Duration: duration, Requests: requests}
	result, _, err := t.attend(r.row, func() (*load.Result, error) { return open(ctx, round, r.rate) })
	if err != nil {
		return err
	}
	if result.Unsent > 0 {
		return fmt.Errorf("%d requests of %d were never sent: it does not keep up", result.Unsent, len(requests))
	}
	if err := r.judge.Round(ctx, result.Answers); err != nil {
		return err
	}
	f := figuresOf(result, 0)
	r.p50, r.p99, r.p999 = append(r.p50, f.p50), append(r.p99, f.p99), append(r.p999, f.p999)
	return nil
}

func (r *pacedRow) report() Paced {
	out := Paced{Server: r.contender.server.Name, Kind: string(r.exchange.Kind), Variant: r.exchange.Variant, Rate: r.rate}
	if r.err != nil {
		out.Error = r.err.Error()
		return out
	}
	out.P50, out.P99, out.P999 = SpreadOf(r.p50), SpreadOf(r.p99), SpreadOf(r.p999)
	return out
}
