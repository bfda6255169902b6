package daemon

import (
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
	"moneyer/internal/openssl"
	"moneyer/internal/overload"
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
	// auditNow asks for the next comparison; it has room for one request.
	auditNow chan struct{}
	// publishedKids are those that the keyrings of this process logged.
	publishedKids sync.Map
	// current is the snapshot that the listeners serve; nil until there is one.
	current atomic.Pointer[Snapshot]
}

// open opens the store.
func open(ctx context.Context, cfg *config.Config, master *keyring.MasterKey, o Options) (*state, error) {
	limits := cfg.Limits.Overload()
	delay, err := overload.NewQueueDelay(limits.QueueDelay, o.Now)
	if err != nil {
		return nil, err
	}
	lines := cfg.Log.New(o.Log)
	log := slog.New(newLineBudget(lines.Handler(), limits.Lines, o.Now))
	s := &state{delay: delay, copyPath: copyPath(cfg), master: master,
		atWork: overload.NewConcurrencyLimit(limits.AtWork), log: log, lines: lines, auditNow: make(chan struct{}, 1), problems: edgeLog{log: log, failing: map[string]bool{}}, now: o.Now}
	s.db, err = store.Open(ctx, cfg.StoreURL(), store.Options{Now: o.Now, Process: process(cfg, o), RowKey: master.RowKey(), Changed: s.changedElsewhere})
	if err != nil {
		return nil, errors.Join(err, delay.Close())
	}
	if err := s.startClock(ctx, o); err != nil {
		return nil, errors.Join(err, s.close())
	}
	s.refusals, s.revocations = authority.NewRefusals(s.db, limits.Refusals), authority.NewRevocations(s.db)
	s.metrics = metrics.New(o.Version, openssl.Library(), s.atWork.InUse, s.storeUp, s.staleness)
	if err := removeCopy(s.copyPath); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// process is what the store's status shows of this server.
func process(cfg *config.Config, o Options) store.Process {
	host, _ := os.Hostname() // it is for people alone
	return store.Process{Host: host, Address: cfg.Listen.Address, Version: o.Version}
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
