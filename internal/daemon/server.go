package daemon

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"moneyer/internal/config"
	"moneyer/internal/keyring"
	"moneyer/internal/openssl"
	"moneyer/internal/registry"
	"moneyer/internal/store"
)

// Server is a running server, returned by Start. Its methods are safe for concurrent use.
type Server struct {
	*state
	options         Options
	public, private *listener

	stop   context.CancelFunc // ends the maintenance
	work   sync.WaitGroup
	failed chan error

	mu       sync.Mutex // serializes reloads and rotations; guards the fields below
	cfg      *config.Config
	snapshot *Snapshot
}

// Check validates a configuration, the files that it names and what this process may do, as Start
// does before it opens the store. Its errors are ConfigErrors.
func Check(ctx context.Context, cfg *config.Config) error {
	if _, _, err := prepare(cfg); err != nil {
		return err
	}
	for _, l := range []struct{ name, address string }{{"public", cfg.Listen.Address}, {"admin", cfg.Admin.Address}} {
		if err := mayListen(ctx, l.name, l.address); err != nil {
			return err
		}
	}
	return nil
}

// prepare reads everything that a start needs beside the store and the ports. Its errors are
// ConfigErrors.
func prepare(cfg *config.Config) (files files, master *keyring.MasterKey, err error) {
	if files, err = loadFiles(cfg); err != nil {
		return files, nil, &ConfigError{err}
	}
	if master, err = ReadMasterKey(cfg); err != nil {
		return files, nil, &ConfigError{err}
	}
	if err := store.CheckURL(cfg.StoreURL()); err != nil {
		return files, nil, &ConfigError{err}
	}
	limits := cfg.Limits.Overload()
	if err := limits.FitDescriptors(descriptors()); err != nil {
		return files, nil, &ConfigError{err}
	}
	return files, master, nil
}

// Start opens everything and begins to serve; on an error nothing stays open. ctx bounds the start,
// not the server.
func Start(ctx context.Context, o Options) (*Server, error) {
	cfg, err := o.Load()
	if err != nil {
		return nil, &ConfigError{err}
	}
	files, master, err := prepare(cfg)
	if err != nil {
		return nil, err
	}
	st, err := open(ctx, cfg, master, o)
	if err != nil {
		return nil, err
	}
	s := &Server{state: st, options: o, cfg: cfg, failed: make(chan error, 2)}
	if err := s.open(ctx, files); err != nil {
		if s.public != nil {
			_ = s.public.Close()
		}
		_ = s.close()
		return nil, err
	}
	s.log.Info("serving", "version", o.Version, "crypto", openssl.Version(), "address", s.Addr(), "admin", s.private.Addr().String(), "issuers", len(cfg.Issuers))
	s.begin()
	return s, nil
}

// open builds the first snapshot and listens.
func (s *Server) open(ctx context.Context, files files) (err error) {
	if s.snapshot, err = s.build(ctx, s.cfg, nil); err != nil {
		return err
	}
	if err := s.guardStore(ctx); err != nil { // after build, which refuses another master key
		return err
	}
	s.checkpoint(ctx) // it confirms what a server that was killed could not
	if s.public, err = s.listen(ctx, s.cfg, "public", s.cfg.Listen, files.public); err != nil {
		return err
	}
	if s.private, err = s.listen(ctx, s.cfg, "admin", s.cfg.AdminListener(), files.private); err != nil {
		return err
	}
	for _, l := range s.listeners() {
		s.metrics.Connections(l.name, l.connections.Counts)
	}
	s.swap(s.snapshot)
	s.try(ctx, s.db.Ping)
	return nil
}

// swap makes the listeners serve with a snapshot.
func (s *Server) swap(snapshot *Snapshot) {
	s.current.Store(snapshot)
	public := snapshot.Public
	if s.options.Public != nil {
		public = s.options.Public(snapshot)
	}
	s.public.handler.Store(&public)
	s.private.handler.Store(&snapshot.private)
}

// begin serves and maintains until Shutdown.
func (s *Server) begin() {
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	compared := make(chan struct{})
	s.work.Go(func() { s.watchRegistry(ctx, func() { close(compared) }) })
	select {
	case <-compared:
	case <-time.After(auditWait):
	}
	for _, l := range s.listeners() {
		s.work.Go(func() {
			if err := l.serve(); err != nil {
				s.failed <- err
			}
		})
	}
	s.work.Go(func() { s.maintain(ctx) })
	s.work.Go(func() { s.confirmLedger(ctx) })
	s.work.Go(func() { every(ctx, trialInterval, func() { s.try(ctx, s.db.Ping) }) })
	url := s.cfg.StoreURL()
	s.work.Go(func() { s.reportStore(ctx, url) }) // callers need not wait for it
}

func (s *Server) listeners() []*listener { return []*listener{s.public, s.private} }

// Addr returns the address of the public listener.
func (s *Server) Addr() string { return s.public.Addr().String() }

// Config returns the current configuration.
func (s *Server) Config() *config.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cfg
}

// Store returns the server's store. Shutdown closes it.
func (s *Server) Store() *store.DB { return s.db }

// Pepper returns the key for the digests of secrets.
func (s *Server) Pepper() registry.Pepper { return s.master.Pepper() }

// Failed delivers the error of a listener that stopped by itself. Only Shutdown is useful then.
func (s *Server) Failed() <-chan error { return s.failed }

// Shutdown stops the server in order: /readyz fails, requests are accepted for limits.drain_delay
// on connections that are closed after their response, then the requests in flight are finished. It
// does not wait longer than ctx.
func (s *Server) Shutdown(ctx context.Context) error {
	s.draining.Store(true)
	s.stop() // before Config: a rotation that waits for the store holds s.mu
	limits := s.Config().Limits
	s.log.Info("stopping", "delay", limits.DrainDelay.String())
	select {
	case <-time.After(limits.DrainDelay):
	case <-ctx.Done():
	}
	bounded, cancel := context.WithTimeout(ctx, limits.DrainTimeout)
	defer cancel()
	cut := errors.Join(s.public.shutdown(bounded), s.private.shutdown(bounded))
	s.work.Wait()
	last, done := context.WithTimeout(context.Background(), time.Second)
	defer done()
	s.problems.report("record refusals", s.refusals.Flush(last, s.now()))
	s.checkpoint(last)
	if err := errors.Join(cut, s.close()); err != nil {
		return err
	}
	s.log.Info("stopped")
	return nil
}

// Reload builds a snapshot of the current configuration and swaps it in. On an error, which is
// logged, nothing changes.
func (s *Server) Reload(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.reload(ctx); err != nil {
		s.log.Error("reload refused: the previous configuration stays active", "cause", err.Error())
		return err
	}
	s.log.Info("reloaded", "issuers", len(s.cfg.Issuers))
	return nil
}

// reload reads everything before it changes anything.
func (s *Server) reload(ctx context.Context) error {
	cfg, err := s.options.Load()
	if err != nil {
		return err
	}
	if err := checkRestartOnly(s.cfg, cfg); err != nil {
		return err
	}
	files, err := loadFiles(cfg)
	if err != nil {
		return err
	}
	snapshot, err := s.build(ctx, cfg, s.snapshot)
	if err != nil {
		return err
	}
	s.cfg, s.snapshot = cfg, snapshot
	s.public.tls.Store(files.public)
	s.private.tls.Store(files.private)
	s.public.connections.Trust(prefixes(cfg.Listen.TrustedProxies))
	s.swap(snapshot)
	s.problems.report("read the signing keys", snapshot.keys.Load(ctx)) // another replica may have changed them meanwhile
	return nil
}

// checkRestartOnly refuses changes that need a restart.
func checkRestartOnly(was, is *config.Config) error {
	for _, s := range []struct {
		name    string
		was, is any
	}{
		{"store", was.Store, is.Store},
		{"master_key", was.MasterKey, is.MasterKey},
		{"log", was.Log, is.Log},
		{"listen.address", was.Listen.Address, is.Listen.Address},
		{"listen's TLS files", tlsFilesOf(was, was.Listen), tlsFilesOf(is, is.Listen)},
		{"admin", was.Admin, is.Admin},
		{"limits.connections", was.Limits.Connections, is.Limits.Connections},
		{"limits.address_connections", was.Limits.AddressConnections, is.Limits.AddressConnections},
		{"limits.in_flight", was.Limits.InFlight, is.Limits.InFlight},
		{"limits.refusals_recorded", was.Limits.RefusalsRecorded, is.Limits.RefusalsRecorded},
		{"limits.refusals_burst", was.Limits.RefusalsBurst, is.Limits.RefusalsBurst},
	} {
		if s.was != s.is {
			return fmt.Errorf("a change of %s needs a restart", s.name)
		}
	}
	return nil
}
