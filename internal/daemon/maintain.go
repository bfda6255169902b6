package daemon

import (
	"context"
	"time"

	"moneyer/internal/store"
)

// maintain does what is due by the clock. What fails is tried again at the next tick.
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

// maxKeyWait is how long a rotation may wait for the store: a reload waits for it.
const maxKeyWait = 10 * time.Second

// refresh rotates the signing keys and reads TLS files that have changed, and
// returns how long the ledger's entries are kept.
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

// clockSlack keeps a consumed assertion on record beyond its end: the clock may be
// set back a little, and a profile's leeway may grow by so much. When the clock
// goes back further the store refuses what it may have forgotten.
const clockSlack = 5 * time.Minute

// distrust is how long nothing is forgotten after the clock leapt forward: whoever
// sets it right then finds everything remembered.
const distrust = time.Hour

// clock watches the machine's.
type clock struct {
	minute time.Time // when forget was called last
	leapt  time.Time // when the clock last leapt forward
}

// forget lets the store forget assertions that are refused for their age.
func (s *Server) forget(ctx context.Context) {
	now, c := s.now(), &s.clock
	leap := now.Round(0).Sub(c.minute.Round(0)) - now.Sub(c.minute) // Round strips the time that no clock changes
	if c.minute = now; leap > clockSlack {
		c.leapt = now
		s.log.Warn("the clock leapt forward: used assertions are kept", "by", leap, "for", distrust)
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

// prune removes the entries of the ledger that are older than retention.
func (s *Server) prune(ctx context.Context, retention time.Duration) error {
	past, err := s.db.Past(ctx, s.now())
	if err != nil {
		return err
	}
	before := past.Add(-retention)
	if store.IsPostgres(s.Config().Store) {
		before = before.UTC().Truncate(24 * time.Hour) // whole days go at once, as partitions
	}
	_, err = s.db.Prune(ctx, before)
	return err
}
