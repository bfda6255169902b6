package store

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"moneyer/internal/store/engine"
)

// freshFor is how long a commit, or the outcome of a trial, shows that the store can be
// written or not: a trial flushes the disk.
const freshFor = time.Second

// trialLimit is how long a trial is repeated after temporary failures, such as a lost
// connection. Appends wait for it.
const trialLimit = 500 * time.Millisecond

// trial is the last trial of a store.
type trial struct {
	// write is what it writes; see sqlite.File.Trial and postgres.Database.Trial.
	write   func(engine.Exec) error
	running singleflight.Group

	mu  sync.Mutex
	at  time.Time // when it began; zero if there was none
	err error
}

// last returns the outcome of the last trial, and whether it began less than freshFor ago.
func (t *trial) last(now time.Time) (err error, recent bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err, !t.at.IsZero() && engine.Staleness(now, t.at) < freshFor
}

func (t *trial) done(at time.Time, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at, t.err = at, err
}

// Ping returns an error unless the store can be written and the changes of other processes
// are applied. The outcome of the last append decides, or of a trial that came after it: at
// most one a second, which writes a value of its own to the disk.
func (d *DB) Ping(ctx context.Context) error {
	if err := d.engine.Healthy(d.now()); err != nil {
		return err
	}
	if d.writer.fresh() {
		return ctx.Err()
	}
	outcome := d.trial.running.DoChan("", func() (any, error) { return nil, d.try() })
	select {
	case o := <-outcome:
		return o.Err
	case <-ctx.Done():
		return fmt.Errorf("the store cannot be written in time: %w", ctx.Err())
	}
}

// try runs a trial, unless the last began a moment ago. It goes on if its caller has gone, so
// that callers who leave early neither start many trials nor decide the outcome of one.
func (d *DB) try() error {
	now := d.now()
	err, recent := d.trial.last(now)
	if !recent {
		err = d.writer.attempt(trialLimit, func(t *tx) error { return d.trial.write(t.Exec) })
		d.trial.done(now, err)
	} else if failed := d.writer.failed.Load(); failed != nil {
		err = *failed
	}
	if err != nil {
		return fmt.Errorf("the store cannot be written: %w", err)
	}
	return nil
}

// Intact returns an error once the file of the store was replaced or removed, or another process
// has written to it. From then on nothing is recorded until the store is opened again. It is cheap. A
// database has no such file.
func (d *DB) Intact() error {
	if !d.reads.Local() {
		return nil
	}
	return d.engine.Healthy(d.now())
}
