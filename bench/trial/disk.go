package trial

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"moneyer/bench/load"
	"moneyer/bench/subject"
)

// Ledger measures how much a server's files grow per token of a kind, between two clean stops.
func (t *Trial) Ledger(ctx context.Context, s subject.Server, kinds ...subject.Kind) ([]Ledger, error) {
	var found []Ledger
	err := t.alone(ctx, s, func(c *contender) error {
		for i := range c.setup.Exchanges {
			e := &c.setup.Exchanges[i]
			if len(found) == len(kinds) || e.Kind != kinds[len(found)] {
				continue
			}
			l, err := t.grow(ctx, c, e)
			if err != nil {
				return err
			}
			found = append(found, *l)
		}
		return nil
	})
	return found, err
}

// grow requests tokens between two stops of the server.
func (t *Trial) grow(ctx context.Context, c *contender, e *subject.Exchange) (*Ledger, error) {
	before, err := t.sizeStopped(ctx, c)
	if err != nil {
		return nil, err
	}
	r := newRow(c, e)
	if err := t.calibrateRow(ctx, r); err != nil {
		return nil, err
	}
	if _, err := t.ask(ctx, r, Compared, int(r.rate[0]*2*t.Duration.Seconds())+1); err != nil {
		return nil, err
	}
	after, err := t.sizeStopped(ctx, c)
	if err != nil {
		return nil, err
	}
	return &Ledger{Kind: string(e.Kind), Tokens: r.made, Bytes: float64(after-before) / float64(r.made)}, nil
}

// sizeStopped stops the server, returns the size of its files, and starts it again.
func (t *Trial) sizeStopped(ctx context.Context, c *contender) (int64, error) {
	err := c.main.Stop()
	c.main = nil
	if err != nil {
		return 0, err
	}
	size, err := folderSize(c.folder)
	if err != nil {
		return 0, err
	}
	_, err = c.startMain(ctx)
	return size, err
}

// folderSize returns the size of the files in a folder without logs.
func folderSize(folder string) (int64, error) {
	var sum int64
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".log") {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	return sum, err
}

// Prune sends requests at a fixed rate while the server removes old ledger entries, which it does
// once a minute, and returns the longest request before and during that.
func (t *Trial) Prune(ctx context.Context, s subject.Server, entries int, kind subject.Kind, rate float64) (*Prune, error) {
	const quiet, whole = 55 * time.Second, 75 * time.Second
	p := &Prune{Entries: entries, Rate: rate}
	return only(p, t.alone(ctx, s, func(c *contender) error {
		started := time.Now()
		i := slices.IndexFunc(c.setup.Exchanges, func(e subject.Exchange) bool { return e.Kind == kind })
		if i < 0 {
			return fmt.Errorf("%s has no %s", s.Name, kind)
		}
		r := newRow(c, &c.setup.Exchanges[i])
		requests, err := r.requests(ctx, int(rate*whole.Seconds())+1)
		if err != nil {
			return err
		}
		t.Progress.Say("asking for %v at %.0f requests/s", whole, rate)
		round := &load.Round{Endpoint: r.endpoint, Connections: Compared, Duration: whole - time.Since(started), Requests: requests}
		late := time.Since(started)
		result, err := open(ctx, round, rate)
		if err != nil {
			return err
		}
		if err := r.judge.Round(ctx, result.Answers); err != nil {
			return err
		}
		before, during := partAt(result.Answers, quiet-late)
		p.Before = microseconds(load.Quantile(load.Latencies(before), 1)) / 1000
		p.During = microseconds(load.Quantile(load.Latencies(during), 1)) / 1000
		p.P999 = microseconds(load.Quantile(load.Latencies(during), 0.999)) / 1000
		return nil
	}))
}

// partAt splits answers at an instant of the round.
func partAt(answers []load.Answer, at time.Duration) (before, after []load.Answer) {
	for _, a := range answers {
		if a.At < at {
			before = append(before, a)
		} else {
			after = append(after, a)
		}
	}
	return before, after
}
