package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"moneyer/internal/authority"
	"moneyer/internal/config"
	"moneyer/internal/keyring"
	"moneyer/internal/metrics"
	"moneyer/internal/overload"
	"moneyer/internal/store"
)

// state is what outlives a reload of the configuration: the store, the master
// key, and what counts.
type state struct {
	db       *store.DB
	copyPath string // where a copy of the store is made for a backup; "" is a new folder for each
	copying  sync.Mutex
	master   *keyring.MasterKey
	atWork   *overload.ConcurrencyLimit
	delay    *overload.QueueDelay // of requests that nobody has read yet
	metrics  *metrics.Metrics
	refusals *authority.Refusals
	// revocations are the same for every snapshot.
	revocations *authority.Revocations
	log         *slog.Logger
	problems    edgeLog
	now         func() time.Time
	draining    atomic.Bool
	// current is the snapshot by which the listeners answer; nil until there is one.
	current atomic.Pointer[Snapshot]
}

// open reads the master key and opens the store.
func open(ctx context.Context, cfg *config.Config, o Options) (*state, error) {
	master, err := readMasterKey(cfg)
	if err != nil {
		return nil, &ConfigError{err}
	}
	limits := cfg.Limits.Overload()
	delay, err := overload.NewQueueDelay(limits.QueueDelay, o.Now)
	if err != nil {
		return nil, err
	}
	log := cfg.Log.New(o.Log)
	s := &state{delay: delay, copyPath: copyPath(cfg), master: master,
		atWork: overload.NewConcurrencyLimit(limits.AtWork), log: log, problems: edgeLog{log: log, failing: map[string]bool{}}, now: o.Now}
	s.db, err = store.Open(ctx, cfg.StoreURL(), store.Options{Now: o.Now, Changed: s.changedElsewhere})
	if err != nil {
		return nil, errors.Join(err, delay.Close())
	}
	s.refusals, s.revocations = authority.NewRefusals(s.db, limits.Refusals), authority.NewRevocations(s.db)
	s.metrics = metrics.New(o.Version, s.atWork.InUse, s.storeUp, s.silence)
	if err := os.Remove(s.copyPath); s.copyPath != "" && err != nil && !errors.Is(err, fs.ErrNotExist) { // a process that was killed may have left it
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// reportStore tells the log what of a database cannot be relied on: it serves all the
// same, and nobody looks as long as nothing is lost.
func (s *state) reportStore(ctx context.Context, url string) {
	if !store.IsPostgres(url) {
		return
	}
	findings, err := store.Check(ctx, url, s.now)
	s.problems.report("check the store", err)
	for _, f := range findings {
		if f.Level != store.Good && f.What != "replicas" { // of which this may be the first
			s.log.Warn("the store is not as it should be", "what", f.What, "found", f.Found, "advice", f.Advice)
		}
	}
}

// close gives back what the state holds.
func (s *state) close() error { return errors.Join(s.db.Close(), s.delay.Close()) }

func (s *state) storeUp() bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return s.db.Ping(ctx) == nil
}

// ready says why the process should get no requests now. Anybody may ask, so
// what ails the store goes to the log.
func (s *state) ready(ctx context.Context) error {
	if s.draining.Load() {
		return errors.New("shutting down")
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	err := s.db.Ping(ctx)
	s.problems.report("write to the store", err)
	if err != nil {
		return errors.New("the store takes no writes")
	}
	return nil
}

func readMasterKey(cfg *config.Config) (*keyring.MasterKey, error) {
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
