package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"moneyer/internal/authority"
	"moneyer/internal/config"
	"moneyer/internal/keyring"
	"moneyer/internal/metrics"
	"moneyer/internal/overload"
	"moneyer/internal/registry"
	"moneyer/internal/store"
)

// state is what a reload keeps: the store, the master key, limits and counters.
type state struct {
	db       *store.DB
	copyPath string // where the store is copied for a backup; "" means a new temporary folder
	copying  sync.Mutex
	master   *keyring.MasterKey
	atWork   *overload.ConcurrencyLimit
	delay    *overload.QueueDelay // of requests that have not been read yet
	metrics  *metrics.Metrics
	refusals *authority.Refusals
	// revocations are shared by all snapshots.
	revocations *authority.Revocations
	// log bounds the lines of each message. lines does not: it is for refusals, which have
	// budgets of their own.
	log, lines *slog.Logger
	problems   edgeLog
	health     health
	now        func() time.Time
	steady     func() time.Duration // since the start, whatever the wall clock does
	clock      *confirmedClock
	draining   atomic.Bool
	// audit is the last comparison of the registry with the ledger; nil before the first.
	audit atomic.Pointer[store.Audit]
	// publishedKids are those that the keyrings of this process logged.
	publishedKids sync.Map
	// current is the snapshot that the listeners serve; nil until there is one.
	current atomic.Pointer[Snapshot]
}

// open reads the master key and opens the store.
func open(ctx context.Context, cfg *config.Config, o Options) (*state, error) {
	master, err := ReadMasterKey(cfg)
	if err != nil {
		return nil, &ConfigError{err}
	}
	limits := cfg.Limits.Overload()
	delay, err := overload.NewQueueDelay(limits.QueueDelay, o.Now)
	if err != nil {
		return nil, err
	}
	lines := cfg.Log.New(o.Log)
	log := slog.New(newLineBudget(lines.Handler(), limits.Lines, o.Now))
	s := &state{delay: delay, copyPath: copyPath(cfg), master: master,
		atWork: overload.NewConcurrencyLimit(limits.AtWork), log: log, lines: lines, problems: edgeLog{log: log, failing: map[string]bool{}}, now: o.Now}
	s.db, err = store.Open(ctx, cfg.StoreURL(), store.Options{Now: o.Now, RowKey: master.RowKey(), Changed: s.changedElsewhere})
	if err != nil {
		return nil, errors.Join(err, delay.Close())
	}
	if err := s.startClock(ctx, o); err != nil {
		return nil, errors.Join(err, s.close())
	}
	s.refusals, s.revocations = authority.NewRefusals(s.db, limits.Refusals), authority.NewRevocations(s.db)
	s.metrics = metrics.New(o.Version, s.atWork.InUse, s.storeUp, s.staleness)
	if err := removeCopy(s.copyPath); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// startClock takes the first reading of the clocks. The newest entry of the ledger stands for the
// reading before it.
func (s *state) startClock(ctx context.Context, o Options) error {
	if s.steady = o.Steady; s.steady == nil {
		s.steady = steadyClock(o.Now)
	}
	newest, err := s.db.NewestEntry(ctx)
	if err != nil {
		return err
	}
	s.clock = newConfirmedClock(s.now(), newest)
	s.observeClock()
	return nil
}

// reportStore logs what the store's database does not guarantee: such a database works until a
// failure loses data.
func (s *state) reportStore(ctx context.Context, url string) {
	if !store.IsPostgres(url) {
		return
	}
	findings, err := store.Check(ctx, url, s.now)
	s.problems.report("check the store", err)
	for _, f := range findings {
		if f.Level != store.Good && !slices.Contains([]string{"replicas", "newest entry", "consumed assertions"}, f.What) { // this may be the first replica; Guard has told of the others
			s.log.Warn("the store is not as it should be", "what", f.What, "found", f.Found, "advice", f.Advice)
		}
	}
}

// close releases the store and the queue delay measurement.
func (s *state) close() error { return errors.Join(s.db.Close(), s.delay.Close()) }

func (s *state) storeUp() bool { return s.health.get(s.now()) == nil }

// ready returns why the process should get no requests now, or nil. The answer is public, so
// details of a store failure go to the log.
func (s *state) ready(context.Context) error {
	if s.draining.Load() {
		return errors.New("shutting down")
	}
	err := s.health.get(s.now())
	s.problems.report("write to the store", err)
	if err != nil {
		return errors.New("the store takes no writes")
	}
	err = s.db.Distrusted()
	s.problems.report("trust the store", err)
	return cmp.Or(err, s.verified(), s.clockAgrees())
}

// clockAgrees returns an error while the clock differs from the other replicas'.
func (s *state) clockAgrees() (err error) {
	if off := s.db.ClockOff(); off.Abs() > store.MaxClockOff {
		err = fmt.Errorf("the clock is %+.3f s off the other replicas': set it, or theirs", off.Seconds())
	}
	s.problems.report("agree with the other replicas' clocks", err)
	return err
}

// verified returns an error while signing keys or revocations in the store do not verify under the
// master key, or the registry is not as the ledger records it. It logs the former when they begin
// and when they end.
func (s *state) verified() error {
	err := s.revocations.Unverified()
	s.problems.report("verify the revocations", err)
	if err != nil {
		err = errors.New("revocations in the store do not verify")
	}
	if audit := s.audit.Load(); err == nil && audit != nil && audit.Difference != "" {
		err = errors.New("the registry in the store is not as the ledger records it")
	}
	snapshot := s.current.Load()
	if snapshot == nil {
		return err
	}
	unverified := snapshot.keys.Unverified()
	for issuer := range snapshot.keys.Issuers {
		var cause error
		if slices.Contains(unverified, issuer) {
			cause = &registry.UnverifiedError{Kind: "signing keys", Issuer: issuer}
		}
		s.problems.report("verify the signing keys of "+issuer, cause)
	}
	if len(unverified) > 0 {
		return errors.New("the signing keys in the store do not verify: issuer " + strings.Join(unverified, ", "))
	}
	return err
}

// ReadMasterKey reads the master key that a configuration names.
func ReadMasterKey(cfg *config.Config) (*keyring.MasterKey, error) {
	kind, where, _ := strings.Cut(cfg.MasterKey, ":")
	if kind != "env" {
		return keyring.ReadMasterKey(cfg.Path(where))
	}
	text, set := os.LookupEnv(where)
	if !set {
		return nil, fmt.Errorf("master key: the environment variable %s is not set", where)
	}
	key, err := keyring.ParseMasterKey(text)
	if err != nil {
		return nil, fmt.Errorf("master key in the environment variable %s: %w", where, err)
	}
	return key, nil
}
