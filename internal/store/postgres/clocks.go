package postgres

import (
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"moneyer/internal/store/engine"
)

// offset bounds by how much a clock is ahead of the database's: it is at least min and at
// most max. The network and the commit take the time between.
type offset struct{ min, max time.Duration }

func (o offset) middle() time.Duration { return o.min + (o.max-o.min)/2 }

// measured is how many heartbeats an offset is chosen from.
const measured = 8

// offsets are the last measurements of this process's clock.
type offsets []offset

// add adds a measurement: the database's clock showed there between before and after. One
// that contradicts an earlier one means that a clock was set.
func (o *offsets) add(before, there, after time.Time) {
	m := offset{before.Round(0).Sub(there), after.Round(0).Sub(there)} // Round strips the monotonic reading
	if m.max < m.min {
		return // the clock was set back meanwhile
	}
	if slices.ContainsFunc(*o, func(e offset) bool { return e.max < m.min || m.max < e.min }) {
		*o = nil
	}
	*o = append(*o, m)
	*o = (*o)[max(0, len(*o)-measured):]
}

// best returns the bounds that all measurements agree on; ok is false without any.
func (o offsets) best() (best offset, ok bool) {
	for i, m := range o {
		if i == 0 {
			best = m
		}
		best = offset{max(best.min, m.min), min(best.max, m.max)}
	}
	return best, len(o) > 0
}

// compareClocks compares a clock with those of the processes that are up, and of those that
// were within the last minute.
func compareClocks(own offset, up, lately []offset) engine.Clocks {
	c := engine.Clocks{}
	for _, o := range slices.Concat(up, lately) {
		c.Ahead = max(c.Ahead, o.max-own.min)
	}
	if len(up) == 0 {
		return c
	}
	clocks := []time.Duration{own.middle()}
	for _, o := range up {
		clocks = append(clocks, o.middle())
	}
	if len(clocks)%2 == 0 {
		clocks = append(clocks, 0) // the database's
	}
	slices.Sort(clocks)
	c.Off = own.middle() - clocks[len(clocks)/2]
	return c
}

// queueClocks queues a query for the clocks of the other replicas.
func (f *feed) queueClocks(batch *pgx.Batch, p *state) {
	batch.Queue(`SELECT clock_timestamp()`).QueryRow(func(row pgx.Row) error { return row.Scan(&p.there) })
	batch.Queue(`SELECT clock_min, clock_max, seen > now() - interval '5 seconds' AND NOT has_left FROM replica
		WHERE id <> $1 AND clock_max IS NOT NULL AND seen > now() - interval '1 minute'`, f.replica).
		Query(func(rows pgx.Rows) error {
			var least, most int64
			var isUp bool
			_, err := pgx.ForEachRow(rows, []any{&least, &most, &isUp}, func() error {
				o := offset{time.Duration(least) * time.Microsecond, time.Duration(most) * time.Microsecond}
				if isUp {
					p.up = append(p.up, o)
				} else {
					p.lately = append(p.lately, o)
				}
				return nil
			})
			return err
		})
}

// compare takes the measurement of a heartbeat, and compares the clocks.
func (f *feed) compare(p *state) {
	f.offsets.add(p.began, p.there, f.now())
	if own, ok := f.offsets.best(); ok {
		c := compareClocks(own, p.up, p.lately)
		f.clocks.Store(&c)
	}
}

// ownClock returns the columns of the replica's row for its clock.
func (f *feed) ownClock() (least, most *int64) {
	own, ok := f.offsets.best()
	if !ok {
		return nil, nil
	}
	lower, upper := own.min.Microseconds()-1, own.max.Microseconds()+1
	return &lower, &upper
}
