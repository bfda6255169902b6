package trial

import (
	"context"
	"time"
)

// slowStart is how long a start may take to be repeated.
const slowStart = 5 * time.Second

// restart measures how long each server takes from its start to its first token, with its existing
// store. The programs beside it keep running.
func (t *Trial) restart(ctx context.Context) error {
	if t.Restarts > 0 {
		t.Progress.Say("restarting each server %d times", t.Restarts)
	}
	for _, c := range t.contenders {
		first := t.firstRow(c)
		if c.reference || first == nil || first.exchange.TLS != nil {
			continue
		}
		if err := t.restartServer(ctx, c, first); err != nil {
			return err
		}
	}
	return nil
}

// restartServer reports what fails, and returns an error only if the context ended.
func (t *Trial) restartServer(ctx context.Context, c *contender, first *row) error {
	for range t.Restarts {
		took, err := t.coldStart(ctx, c, first)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			t.Fail("restart of %s: %v", c.server.Name, err)
			return nil
		}
		c.coldStart = append(c.coldStart, microseconds(took)/1000)
		if took > slowStart {
			return nil
		}
	}
	return nil
}

// coldStart excludes the registration of clients through an admin API.
func (t *Trial) coldStart(ctx context.Context, c *contender, first *row) (time.Duration, error) {
	err := c.main.Stop()
	c.main = nil
	if err != nil {
		return 0, err
	}
	prepare := c.setup.Server.Prepare
	c.setup.Server.Prepare = nil
	ready, err := c.startMain(ctx)
	c.setup.Server.Prepare = prepare
	if err != nil {
		return 0, err
	}
	result, err := t.ask(ctx, first, 1, 1)
	if err != nil && prepare != nil { // it keeps its clients in memory
		if err := prepare(ctx); err != nil {
			return 0, err
		}
		result, err = t.ask(ctx, first, 1, 1)
	}
	if err != nil {
		return 0, err
	}
	return ready + result.Elapsed, nil
}

// firstRow returns a row of a server that issues tokens.
func (t *Trial) firstRow(c *contender) *row {
	for _, r := range t.rows {
		if r.contender == c && r.err == nil {
			return r
		}
	}
	return nil
}
