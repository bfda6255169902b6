package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"moneyer/internal/config"
)

func (a *app) serveCommand() *cobra.Command {
	var file string
	var check bool
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve the issuers that a configuration file names",
		Long: `Serve the issuers that a configuration file names, until SIGTERM or SIGINT.

SIGHUP reads the configuration, the profiles and the certificates anew without
dropping a request; when something in them is wrong, what was in force stays.
SIGTERM lets /readyz fall first, goes on for limits.drain_delay, then finishes
the requests in flight.`,
		Example: `  moneyer init --dir /etc/moneyer        write a configuration to start from
  moneyer serve --config /etc/moneyer/moneyer.toml
  moneyer serve --config moneyer.toml --check`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(file)
			if err != nil {
				return usage(err)
			}
			if check {
				fmt.Fprintf(a.out, "%s is good: %d issuers\n", file, len(cfg.Issuers))
				return nil
			}
			return a.serve(cmd.Context(), cfg, func() (*config.Config, error) { return config.Load(file) }, nil)
		},
	}
	c.Flags().StringVar(&file, "config", "moneyer.toml", "the configuration `file`")
	c.Flags().BoolVar(&check, "check", false, "only say whether the configuration is good")
	return c
}

// running is a server at work.
type running struct {
	*estate
	cfg             *config.Config
	public, private *door
	house           *house
	mu              sync.Mutex // one reload at a time
}

// serve opens everything, answers until ctx ends, and closes everything. opened,
// when not nil, is called once the server answers.
func (a *app) serve(ctx context.Context, cfg *config.Config, reload func() (*config.Config, error), opened func(*running) error) error {
	log := newLog(a.err, cfg.Log)
	e, err := a.openEstate(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer e.db.Close()
	r := &running{estate: e, cfg: cfg}
	if r.house, err = e.build(ctx, cfg); err != nil {
		return trouble(err)
	}
	if r.public, err = openDoor(ctx, cfg, "public", cfg.Listen, log); err != nil {
		return trouble(err)
	}
	if r.private, err = openDoor(ctx, cfg, "admin", cfg.AdminListener(), log); err != nil {
		r.public.listener.Close()
		return trouble(err)
	}
	r.move(r.house)
	log.Info("serving", "version", version, "address", cfg.Listen.Address, "admin", cfg.Admin.Address, "issuers", len(cfg.Issuers))
	if err := r.run(ctx, reload, opened); err != nil {
		return trouble(err)
	}
	log.Info("stopped")
	return nil
}

// move lets the doors lead into a house.
func (r *running) move(h *house) {
	r.public.handler.Store(&h.public)
	r.private.handler.Store(&h.private)
}

// run answers, keeps house and reloads until ctx ends, then drains.
func (r *running) run(ctx context.Context, reload func() (*config.Config, error), opened func(*running) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for _, d := range []*door{r.public, r.private} {
		wg.Go(func() { cancel(d.serve()) })
	}
	wg.Go(func() { r.keepHouse(ctx) })
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	if opened != nil {
		if err := opened(r); err != nil {
			cancel(err)
		}
	}
	for ctx.Err() == nil {
		select {
		case <-hangups:
			r.reload(ctx, reload)
		case <-ctx.Done():
		}
	}
	err := errors.Join(r.drain(), context.Cause(ctx))
	wg.Wait()
	last, done := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer done()
	r.complain("count refusals", r.refusals.Flush(last, r.now()))
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// drain stops in order: readiness falls, requests go on for a while, then those
// in flight are finished. A second signal cuts the wait short.
func (r *running) drain() error {
	r.draining.Store(true)
	hurry, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r.log.Info("stopping", "delay", r.cfg.Limits.DrainDelay.String())
	select {
	case <-time.After(r.cfg.Limits.DrainDelay):
	case <-hurry.Done():
	}
	ctx, cancel := context.WithTimeout(hurry, r.cfg.Limits.DrainTimeout)
	defer cancel()
	return errors.Join(r.public.server.Shutdown(ctx), r.private.server.Shutdown(ctx))
}

// reload moves to a house built of the configuration as it stands now. Whatever
// is wrong leaves all as it was.
func (r *running) reload(ctx context.Context, read func() (*config.Config, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := errors.Join(r.public.certificate.refresh(), r.private.certificate.refresh())
	var cfg *config.Config
	if err == nil {
		cfg, err = read()
	}
	if err == nil {
		err = r.sameGround(cfg)
	}
	var h *house
	if err == nil {
		h, err = r.build(ctx, cfg)
	}
	if err != nil {
		r.log.Error("reload refused: what was in force stays", "cause", err.Error())
		return
	}
	r.cfg, r.house = cfg, h
	r.move(h)
	r.log.Info("reloaded", "issuers", len(cfg.Issuers))
}

// sameGround refuses what only a restart can change.
func (r *running) sameGround(cfg *config.Config) error {
	was, is := *r.cfg, *cfg
	was.Listen.TrustedProxies, is.Listen.TrustedProxies = nil, nil
	for _, s := range []struct {
		name string
		same bool
	}{
		{"store", was.Store == is.Store}, {"master_key", was.MasterKey == is.MasterKey}, {"log", was.Log == is.Log},
		{"listen", was.Listen.Address == is.Listen.Address && was.Listen.TLSCert == is.Listen.TLSCert && was.Listen.TLSKey == is.Listen.TLSKey && was.Listen.ClientCA == is.Listen.ClientCA},
		{"admin", was.Admin == is.Admin}, {"limits.in_flight", was.Limits.InFlight == is.Limits.InFlight},
	} {
		if !s.same {
			return fmt.Errorf("a change of %s needs a restart", s.name)
		}
	}
	return nil
}

// keepHouse does what is due by the clock.
func (r *running) keepHouse(ctx context.Context) {
	second, minute := time.NewTicker(time.Second), time.NewTicker(time.Minute)
	defer second.Stop()
	defer minute.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-second.C:
			r.complain("count refusals", r.refusals.Flush(ctx, r.now()))
		case <-minute.C:
			r.everyMinute(ctx)
		}
	}
}

// clockSlack keeps a used-up assertion on record beyond its end, in case the
// clock is set back.
const clockSlack = 10 * time.Minute

func (r *running) everyMinute(ctx context.Context) {
	r.mu.Lock()
	h, cfg := r.house, r.cfg
	r.mu.Unlock()
	r.complain("rotate signing keys", h.keys.Rotate(ctx))
	r.revocations.Sweep(r.now())
	_, err := r.db.Forget(ctx, r.now().Add(-clockSlack))
	r.complain("forget expired assertions", err)
	if cfg.Ledger.Retention > 0 {
		_, err := r.db.Prune(ctx, r.now().Add(-cfg.Ledger.Retention))
		r.complain("prune the ledger", err)
	}
	for _, d := range []*door{r.public, r.private} {
		r.complain("read the TLS certificate", d.certificate.refresh())
	}
}

func (r *running) complain(what string, err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		r.log.Error(what, slog.String("cause", err.Error()))
	}
}
