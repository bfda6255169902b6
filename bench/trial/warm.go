package trial

import (
	"context"
	"time"
)

// warm requests the exchanges of servers that need it, for as long as they say, after their last
// restart.
func (t *Trial) warm(ctx context.Context) error {
	for _, c := range t.contenders {
		if c.server.WarmUp == 0 || t.firstRow(c) == nil {
			continue
		}
		t.Progress.Say("warming up %s for %v", c.server.Name, c.server.WarmUp)
		for end := time.Now().Add(c.server.WarmUp); time.Now().Before(end) && t.firstRow(c) != nil; {
			if err := t.warmOnce(ctx, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// restless is how long the servers may go on after their start before they are measured all the same.
const restless = 5 * time.Minute

// quiet waits until nine tenths of the servers' core are idle. What servers do after their start, such as reading a million
// clients into memory, would take time from the one that is measured.
func (t *Trial) quiet(ctx context.Context) error {
	if len(t.ServerCores) == 0 {
		return nil
	}
	t.Progress.Say("waiting for the servers to come to rest")
	for end := time.Now().Add(restless); time.Now().Before(end); {
		w, err := t.watch()
		if err != nil {
			return err
		}
		if err := settle(ctx, 2*time.Second); err != nil {
			return err
		}
		if idle, err := t.idle(w); err != nil || idle > 0.9 {
			return err
		}
	}
	t.Progress.Say("the servers' core is still in use")
	return nil
}

// warmOnce requests each exchange of a server for about a second. The rates of before are those of a
// server that had just started.
func (t *Trial) warmOnce(ctx context.Context, c *contender) error {
	for _, r := range t.rows {
		if r.contender != c || r.err != nil {
			continue
		}
		result, err := t.ask(ctx, r, Compared, max(Compared, int(r.rate[0])))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			r.err = err
			t.Fail("%s: %v", r.name(), err)
			t.Progress.Say("%s", c.logTail())
			continue
		}
		r.rate[0] = result.Rate()
	}
	return nil
}
