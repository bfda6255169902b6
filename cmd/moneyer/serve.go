package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"moneyer/internal/config"
	"moneyer/internal/store"
)

func (a *app) serveCommand() *cobra.Command {
	var file string
	var check bool
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve the issuers that a configuration file names",
		Long: `Serve the issuers that a configuration file names, until SIGTERM or SIGINT.

SIGHUP reads the configuration, the profiles and the TLS files anew without
dropping a request; when something in them is wrong, all that was in force stays.
SIGTERM lets /readyz fall first, goes on for limits.drain_delay, then finishes
the requests in flight; a second one cuts the waiting short.`,
		Example: `  moneyer init --dir /etc/moneyer        write a configuration to start from
  moneyer serve --config /etc/moneyer/moneyer.toml
  moneyer serve --config moneyer.toml --check`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if check {
				return a.checkConfig(file)
			}
			return a.serve(cmd.Context(), serving{read: func() (*config.Config, error) { return config.Load(file) }})
		},
	}
	c.Flags().StringVar(&file, "config", "moneyer.toml", "the configuration `file`")
	c.Flags().BoolVar(&check, "check", false, "only say whether the configuration, and the files that it names, are good")
	return c
}

// checkConfig looks at all that a start reads before it opens the store.
func (a *app) checkConfig(file string) error {
	cfg, err := config.Load(file)
	if err != nil {
		return usage(err)
	}
	_, papersErr := readPapers(cfg)
	_, masterErr := readMasterKey(cfg)
	if err := errors.Join(papersErr, masterErr); err != nil {
		return usage(err)
	}
	if a.json {
		return a.printJSON(map[string]any{"good": true, "issuers": len(cfg.Issuers)})
	}
	fmt.Fprintf(a.out, "%s is good: %s\n", file, count(len(cfg.Issuers), "issuer"))
	return nil
}

// serving is what a server is asked to do.
type serving struct {
	// read reads the configuration, at the start and on SIGHUP.
	read func() (*config.Config, error)
	// front, when not nil, answers on the public listener in a house's stead.
	front func(*house) http.Handler
	// opened, when not nil, is called once the server answers.
	opened func(context.Context, *running) error
}

// running is a server at work.
type running struct {
	*estate
	serving
	public, private *door

	// minute is when forget was called last, and leapt when the clock last leapt
	// forward; only forget knows them.
	minute, leapt time.Time

	mu    sync.Mutex // one at a time reloads or rotates; guards what follows
	cfg   *config.Config
	house *house
}

// serve opens everything, answers until ctx ends, and closes everything.
func (a *app) serve(ctx context.Context, s serving) error {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP) // from the first: one that comes early must not end the process
	defer signal.Stop(hangups)
	r, err := a.start(ctx, s)
	if err != nil {
		if ctx.Err() != nil {
			return nil // it was told to stop while it started
		}
		return err
	}
	weight := ballast()
	err = errors.Join(r.run(ctx, hangups), r.close())
	runtime.KeepAlive(weight)
	if err != nil {
		return trouble(err)
	}
	r.log.Info("stopped")
	return nil
}

// start opens everything, or leaves nothing open.
func (a *app) start(ctx context.Context, s serving) (*running, error) {
	cfg, err := s.read()
	if err != nil {
		return nil, usage(err)
	}
	p, err := readPapers(cfg)
	if err != nil {
		return nil, usage(err)
	}
	e, err := a.openEstate(ctx, cfg, newLog(a.err, cfg.Log))
	if err != nil {
		return nil, err
	}
	r := &running{estate: e, serving: s, cfg: cfg, minute: a.now()}
	if err := r.open(ctx, p); err != nil {
		r.abandon()
		return nil, err
	}
	r.log.Info("serving", "version", version, "address", r.public.listener.Addr().String(),
		"admin", r.private.listener.Addr().String(), "issuers", len(cfg.Issuers))
	return r, nil
}

// open makes the house and its doors.
func (r *running) open(ctx context.Context, p papers) (err error) {
	if r.house, err = r.build(ctx, r.cfg, nil); err != nil {
		return err
	}
	if r.public, err = r.openDoor(ctx, r.cfg, "public", r.cfg.Listen, p.public); err != nil {
		return trouble(err)
	}
	if r.private, err = r.openDoor(ctx, r.cfg, "admin", r.cfg.AdminListener(), p.private); err != nil {
		return trouble(err)
	}
	r.move(r.house)
	return nil
}

// abandon closes what a start had opened when it failed, which is the error to tell.
func (r *running) abandon() {
	if r.public != nil {
		_ = r.public.listener.Close()
	}
	_ = r.close()
}

// move lets the doors lead into a house.
func (r *running) move(h *house) {
	r.current.Store(h)
	public := h.public
	if r.front != nil {
		public = r.front(h)
	}
	r.public.handler.Store(&public)
	r.private.handler.Store(&h.private)
}

// run answers, keeps house and reloads until asked ends or a listener fails, then
// drains.
func (r *running) run(asked context.Context, hangups <-chan os.Signal) error {
	ctx, stop := context.WithCancelCause(asked)
	defer stop(nil)
	var wg sync.WaitGroup
	for _, d := range r.doors() {
		wg.Go(func() { stop(d.serve()) })
	}
	wg.Go(func() { r.keepHouse(ctx) })
	url := storeURL(r.cfg)
	wg.Go(func() { r.tellOfStore(ctx, url) }) // callers need not wait for it
	if r.opened != nil {
		if err := r.opened(ctx, r); err != nil {
			stop(err)
		}
	}
	for ctx.Err() == nil {
		select {
		case <-hangups:
			r.reload(ctx)
		case <-ctx.Done():
		}
	}
	var failed error
	if asked.Err() == nil {
		failed = context.Cause(ctx)
	}
	cut := r.drain()
	wg.Wait()
	last, done := context.WithTimeout(context.Background(), time.Second)
	defer done()
	r.complaints.tell("record refusals", r.refusals.Flush(last, r.now()))
	r.complaints.tell("sign a checkpoint", r.db.Checkpoint(last, r.master.SignCheckpoint))
	return errors.Join(failed, cut)
}

func (r *running) doors() []*door { return []*door{r.public, r.private} }

// drain stops in order: readiness falls, requests go on for a while on
// connections that are closed behind them, then those in flight are finished. A
// second signal cuts the waiting short.
func (r *running) drain() error {
	hurry, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	limits := r.cfg.Limits
	r.draining.Store(true)
	r.log.Info("stopping", "delay", limits.DrainDelay.String())
	select {
	case <-time.After(limits.DrainDelay):
	case <-hurry.Done():
	}
	ctx, cancel := context.WithTimeout(hurry, limits.DrainTimeout)
	defer cancel()
	return errors.Join(r.public.shut(ctx), r.private.shut(ctx))
}

// reload moves to a house built of the configuration as it stands now. Whatever
// is wrong leaves all as it was.
func (r *running) reload(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.renew(ctx); err != nil {
		r.log.Error("reload refused: what was in force stays", "cause", err.Error())
		return
	}
	r.log.Info("reloaded", "issuers", len(r.cfg.Issuers))
}

// renew reads everything before it changes anything.
func (r *running) renew(ctx context.Context) error {
	cfg, err := r.read()
	if err != nil {
		return err
	}
	if err := sameGround(r.cfg, cfg); err != nil {
		return err
	}
	p, err := readPapers(cfg)
	if err != nil {
		return err
	}
	h, err := r.build(ctx, cfg, r.house)
	if err != nil {
		return err
	}
	r.cfg, r.house = cfg, h
	r.public.tls.Store(p.public)
	r.private.tls.Store(p.private)
	r.move(h)
	r.complaints.tell("read the signing keys", h.keys.Load(ctx)) // which another replica may have changed meanwhile
	return nil
}

// sameGround refuses what only a restart can change.
func sameGround(was, is *config.Config) error {
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
		{"limits.in_flight", was.Limits.InFlight, is.Limits.InFlight},
		{"limits.refusals_recorded", was.Limits.RefusalsRecorded, is.Limits.RefusalsRecorded},
	} {
		if s.was != s.is {
			return fmt.Errorf("a change of %s needs a restart", s.name)
		}
	}
	return nil
}

// keepHouse does what is due by the clock. What fails is tried again at the next
// tick.
func (r *running) keepHouse(ctx context.Context) {
	second, minute := time.NewTicker(time.Second), time.NewTicker(time.Minute)
	defer second.Stop()
	defer minute.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-second.C:
			r.complaints.tell("record refusals", r.refusals.Flush(ctx, r.now()))
		case <-minute.C:
			r.everyMinute(ctx)
		}
	}
}

// clockSlack keeps a used-up assertion on record beyond its end: the clock may be
// set back a little, and a profile's leeway may grow by so much. When the clock
// goes back further the store refuses what it may have forgotten.
const clockSlack = 5 * time.Minute

// distrust is how long nothing is forgotten after the clock leapt forward: whoever
// sets it right then finds everything remembered.
const distrust = time.Hour

// forget lets the store forget assertions that are refused for their age.
func (r *running) forget(ctx context.Context) {
	now := r.now()
	leap := now.Round(0).Sub(r.minute.Round(0)) - now.Sub(r.minute) // Round strips the time that no clock changes
	if r.minute = now; leap > clockSlack {
		r.leapt = now
		r.log.Warn("the clock leapt forward: used assertions are kept", "by", leap, "for", distrust)
	}
	if !r.leapt.IsZero() && now.Sub(r.leapt) < distrust {
		return
	}
	past, err := r.db.Past(ctx, now)
	if err == nil {
		_, err = r.db.Forget(ctx, past.Add(-clockSlack))
	}
	r.complaints.tell("forget expired assertions", err)
}

func (r *running) everyMinute(ctx context.Context) {
	retention := r.refresh(ctx)
	r.revocations.Sweep(r.now())
	r.forget(ctx)
	if retention > 0 {
		r.complaints.tell("prune the ledger", r.prune(ctx, retention))
	}
	r.complaints.tell("sign a checkpoint", r.db.Checkpoint(ctx, r.master.SignCheckpoint))
}

// prune removes the entries of the ledger that are older than retention.
func (r *running) prune(ctx context.Context, retention time.Duration) error {
	past, err := r.db.Past(ctx, r.now())
	if err != nil {
		return err
	}
	before := past.Add(-retention)
	if store.IsPostgres(r.cfg.Store) {
		before = before.UTC().Truncate(24 * time.Hour) // whole days go at once, as partitions
	}
	_, err = r.db.Prune(ctx, before)
	return err
}

// mostForKeys is how long a rotation may wait for the store: a reload waits for it.
const mostForKeys = 10 * time.Second

// refresh rotates the signing keys and reads TLS files that have changed, and
// returns how long the ledger's entries are kept.
func (r *running) refresh(ctx context.Context) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	due, cancel := context.WithTimeout(ctx, mostForKeys)
	defer cancel()
	r.complaints.tell("rotate signing keys", r.house.keys.Rotate(due))
	for _, d := range r.doors() {
		r.complaints.tell("read the TLS files of the "+d.name+" listener", d.refresh())
	}
	return r.cfg.Ledger.Retention
}
