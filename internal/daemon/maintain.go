package daemon

import (
	"context"
	"errors"
	"time"

	"moneyer/internal/ledger"
	"moneyer/internal/store"
)

// countEvery is how often the number of refusals that were only counted is recorded. In an
// attack it is an entry each time.
const countEvery = 10 * time.Second

// maintain does the periodic work. What fails is tried again at the next tick.
func (s *Server) maintain(ctx context.Context) {
	second, count, minute := time.NewTicker(time.Second), time.NewTicker(countEvery), time.NewTicker(time.Minute)
	defer second.Stop()
	defer count.Stop()
	defer minute.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-second.C:
			s.problems.report("keep the store's file", s.db.Intact())
			for _, l := range s.listeners() {
				s.reportRefused(l)
			}
			s.refreshTrusted(ctx)
		case <-count.C:
			s.problems.report("record refusals", s.refusals.Flush(ctx, s.now()))
		case <-minute.C:
			s.everyMinute(ctx)
		}
	}
}

// refreshTrusted reads the keys of trusted issuers before they are stale, and logs what cannot be read.
func (s *Server) refreshTrusted(ctx context.Context) {
	keys := s.current.Load().trustedKeys
	keys.Refresh(ctx)
	for what, err := range keys.Errors() {
		s.problems.report(what, err)
	}
}

func (s *Server) everyMinute(ctx context.Context) {
	s.observeClock()
	retention := s.refresh(ctx)
	_ = s.verified() // which logs it
	past, err := s.db.Past(ctx, s.confirmed())
	s.problems.report("read the database's clock", err)
	if err == nil {
		s.problems.report("forget expired assertions", s.forget(ctx, past))
	}
	if err == nil && retention > 0 {
		s.problems.report("prune the ledger", s.prune(ctx, past, retention))
	}
}

// confirmLedger signs a checkpoint once a minute, and when the system clock was changed,
// however long other maintenance takes: the verifier of a ledger expects them.
func (s *Server) confirmLedger(ctx context.Context) {
	last := s.now()
	every(ctx, time.Second, func() {
		if now := s.now(); now.Round(0).Sub(last.Round(0)).Abs() >= time.Minute { // Round strips the monotonic reading
			last = now
			s.checkpoint(ctx)
		}
	})
}

// every calls do at each interval until ctx ends.
func every(ctx context.Context, interval time.Duration, do func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			do()
		}
	}
}

// checkpoint records the signed heads of the ledger's chains, and logs them.
func (s *Server) checkpoint(ctx context.Context) {
	heads, err := s.db.Checkpoint(ctx, s.master.SignCheckpoint)
	if s.problems.report("sign a checkpoint", err); len(heads) > 0 {
		s.log.Info("checkpoint", "heads", ledger.FormatHeads(heads))
	}
	if errors.Is(err, store.ErrSchema) {
		select {
		case s.auditNow <- struct{}{}:
		default: // asked for already
		}
	}
}

// maxKeyWait bounds how long a rotation waits for the store: a reload waits for it.
const maxKeyWait = 10 * time.Second

// refresh rotates the signing keys, reloads changed TLS files and authorities, and returns the retention of the
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
	s.snapshot.roots.reload(s.problems.report)
	return s.cfg.Ledger.Retention
}

// forget removes what has ended at past: revocations from memory; revocations and consumed
// assertions, which are refused as expired anyway, from the store.
func (s *Server) forget(ctx context.Context, past time.Time) error {
	past = past.Add(-clockSlack)
	s.revocations.Sweep(past)
	_, err := s.db.Forget(ctx, past)
	return err
}

// prune removes ledger entries that are older than retention at past.
func (s *Server) prune(ctx context.Context, past time.Time, retention time.Duration) error {
	before := past.Add(-retention)
	if store.IsPostgres(s.Config().Store) {
		before = before.UTC().Truncate(24 * time.Hour) // whole days are removed at once, as partitions
	}
	_, err := s.db.Prune(ctx, before, retention, s.master.SignCheckpoint)
	return err
}
