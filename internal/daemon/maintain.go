package daemon

import (
	"context"
	"time"

	"moneyer/internal/store"
)

// maintain does the periodic work. What fails is tried again at the next tick.
func (s *Server) maintain(ctx context.Context) {
	second, minute := time.NewTicker(time.Second), time.NewTicker(time.Minute)
	defer second.Stop()
	defer minute.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-second.C:
			s.problems.report("record refusals", s.refusals.Flush(ctx, s.now()))
			for _, l := range s.listeners() {
				s.reportRefused(l)
			}
		case <-minute.C:
			s.everyMinute(ctx)
		}
	}
}

func (s *Server) everyMinute(ctx context.Context) {
	retention := s.refresh(ctx)
	s.revocations.Sweep(s.now())
	s.forget(ctx)
	if retention > 0 {
		s.problems.report("prune the ledger", s.prune(ctx, retention))
	}
	s.problems.report("sign a checkpoint", s.db.Checkpoint(ctx, s.master.SignCheckpoint))
}

// maxKeyWait bounds how long a rotation waits for the store: a reload waits for it.
const maxKeyWait = 10 * time.Second

// refresh rotates the signing keys, reloads changed TLS files, and returns the retention of the
// ledger.
func (s *Server) refresh(ctx context.Context) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	bounded, cancel := context.WithTimeout(ctx, maxKeyWait)
	defer cancel()
	s.problems.report("rotate signing keys", s.snapshot.keys.Rotate(bounded))
	for _, l := range s.listeners() {
		s.problems.report("read the TLS files of the "+l.name+" listener", l.reloadTLS())
	}
	return s.cfg.Ledger.Retention
}

// clockSlack is how long a consumed assertion is kept beyond its expiry: the clock may be set back
// a little, and a profile's leeway may grow by as much. If the clock is set back further, the store
// refuses assertions that it may have forgotten.
const clockSlack = 5 * time.Minute

// distrust is how long nothing is forgotten after the clock jumped forward, in case it is set back.
const distrust = time.Hour

// clock detects jumps of the system clock.
type clock struct {
	minute time.Time // when forget was last called
	leapt  time.Time // when the clock last jumped forward
}

// forget removes from the store consumed assertions that are refused as expired anyway.
func (s *Server) forget(ctx context.Context) {
	now, c := s.now(), &s.clock
	leap := now.Round(0).Sub(c.minute.Round(0)) - now.Sub(c.minute) // Round strips the monotonic reading
	if c.minute = now; leap > clockSlack {
		c.leapt = now
		s.log.Warn("the clock jumped forward: consumed assertions are kept", "by", leap, "for", distrust)
	}
	if !c.leapt.IsZero() && now.Sub(c.leapt) < distrust {
		return
	}
	past, err := s.db.Past(ctx, now)
	if err == nil {
		_, err = s.db.Forget(ctx, past.Add(-clockSlack))
	}
	s.problems.report("forget expired assertions", err)
}

// prune removes ledger entries older than retention.
func (s *Server) prune(ctx context.Context, retention time.Duration) error {
	past, err := s.db.Past(ctx, s.now())
	if err != nil {
		return err
	}
	before := past.Add(-retention)
	if store.IsPostgres(s.Config().Store) {
		before = before.UTC().Truncate(24 * time.Hour) // whole days are removed at once, as partitions
	}
	_, err = s.db.Prune(ctx, before)
	return err
}
