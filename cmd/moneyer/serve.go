package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"moneyer/internal/config"
	"moneyer/internal/daemon"
)

func (a *app) serveCommand() *cobra.Command {
	var file string
	var check bool
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve the issuers that a configuration file names",
		Long: `Serve the issuers that a configuration file names, until SIGTERM or SIGINT.

SIGHUP reloads the configuration, the profiles and the TLS files without dropping
a request; if they contain an error, the previous configuration stays active.
SIGTERM makes /readyz fail, waits for limits.drain_delay, then finishes the
requests in flight; a second one ends the wait.`,
		Example: `  moneyer init --dir /etc/moneyer        write an initial configuration
  moneyer serve --config /etc/moneyer/moneyer.toml
  moneyer serve --config moneyer.toml --check`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if check {
				return a.checkConfig(cmd.Context(), file)
			}
			return a.serve(cmd.Context(), daemon.Options{Load: func() (*config.Config, error) { return config.Load(file) }}, nil)
		},
	}
	c.Flags().StringVar(&file, "config", "moneyer.toml", "the configuration `file`")
	c.Flags().BoolVar(&check, "check", false, "only check the configuration and the files that it names")
	return c
}

// checkConfig checks everything that a start reads before it opens the store.
func (a *app) checkConfig(ctx context.Context, file string) error {
	cfg, err := config.Load(file)
	if err != nil {
		return usage(err)
	}
	if err := daemon.Check(ctx, cfg); err != nil {
		return serverFailure(err)
	}
	return a.done(map[string]any{"good": true, "issuers": len(cfg.Issuers)}, "%s is good: %s", file, count(len(cfg.Issuers), "issuer"))
}

// serve runs a server until ctx ends. started, when not nil, is called once the
// server answers requests.
func (a *app) serve(ctx context.Context, o daemon.Options, started func(context.Context, *daemon.Server) error) error {
	hangups := notifyHangups()
	defer spareCollector()()
	o.Log, o.Version, o.Now = a.err, version, a.now
	server, err := daemon.Start(ctx, o)
	if err != nil {
		if ctx.Err() != nil {
			return nil // stopped during the start
		}
		return serverFailure(err)
	}
	if started != nil {
		err = started(ctx, server)
	}
	if err == nil {
		err = waitForStop(ctx, hangups, server.Failed(), func() { _ = server.Reload(ctx) }) // Reload logs its errors
	}
	bounded, done := untilSecondSignal()
	defer done()
	if err = errors.Join(err, server.Shutdown(bounded)); err != nil {
		return unavailable(err)
	}
	return nil
}

// serverFailure adds the exit code to an error of package daemon.
func serverFailure(err error) error {
	var wrong *daemon.ConfigError
	if errors.As(err, &wrong) {
		return usage(err)
	}
	return unavailable(err)
}

// notifyHangups delivers SIGHUP for as long as the process runs. It is called first: a
// SIGHUP during the start must not end the program, nor one that arrives as late as its
// end.
func notifyHangups() <-chan os.Signal {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	return hangups
}

// waitForStop reloads at each hangup, until ctx ends or an error arrives.
func waitForStop(ctx context.Context, hangups <-chan os.Signal, failed <-chan error, reload func()) error {
	for ctx.Err() == nil {
		select {
		case <-hangups:
			reload()
		case err := <-failed:
			return err
		case <-ctx.Done():
		}
	}
	return nil
}

// untilSecondSignal returns a context for the shutdown, which a second signal ends.
func untilSecondSignal() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
}
