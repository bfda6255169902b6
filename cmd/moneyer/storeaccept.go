package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"moneyer/internal/config"
	"moneyer/internal/daemon"
	"moneyer/internal/store"
)

func (a *app) storeAccept() *cobra.Command {
	var file string
	var yes bool
	c := &cobra.Command{
		Use:   "accept",
		Short: "Show why a server does not trust the store, and accept the store as it is",
		Long: `Show why a server does not trust the store, and with --yes accept the store as it is.
Stop every server of the store first. These are the reasons:

  - The store went back: it does not hold the end of the ledger that is noted beside
    it in FILE.head, because an older file or a backup was put in its place, or its
    WAL was lost. Or there is no such note, or it is not of this store.
  - The clock is behind the newest entry of the ledger: it was ahead when the entry
    was recorded, or is wrong now.
  - Consumed assertions up to a time in the future may be missing, for one of those
    reasons.

Until it is accepted, a server refuses every assertion that may have been used before,
for as long as an assertion may live; secrets and API keys are accepted. Accepting
ends that at once. The risk: an assertion that was used, and of which this store does
not know, gets one more token until it expires. If you can wait, wait instead. What
was registered, disabled or revoked after the state of this store is lost in any case.

It needs the master key, and is recorded in the ledger. The exit code without --yes is
1 if there is something to accept.`,
		Example: `  systemctl stop moneyer
  moneyer store accept --config /etc/moneyer/moneyer.toml          show what is wrong
  moneyer store accept --config /etc/moneyer/moneyer.toml --yes    accept it
  systemctl start moneyer`,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := config.Load(file)
			if err != nil {
				return usage(err)
			}
			return a.acceptStore(c.Context(), cfg, yes)
		},
	}
	c.Flags().StringVar(&file, "config", "moneyer.toml", "the configuration `file`, which names the store and the master key")
	c.Flags().BoolVar(&yes, "yes", false, "accept the store")
	return c
}

func (a *app) acceptStore(ctx context.Context, cfg *config.Config, yes bool) error {
	doubts, err := daemon.Accept(ctx, cfg, yes, a.now)
	wrong := (*daemon.ConfigError)(nil)
	switch {
	case errors.As(err, &wrong):
		return usage(err)
	case err != nil:
		return storeFailure(err)
	}
	accepted := yes && len(doubts) > 0
	if a.json {
		err = a.printJSON(map[string]any{"findings": findingsJSON(doubts), "accepted": accepted})
	} else {
		a.printDoubts(doubts, accepted)
	}
	if err == nil && len(doubts) > 0 && !yes {
		return refused(errSilent)
	}
	return err
}

func (a *app) printDoubts(doubts []store.Finding, accepted bool) {
	for i := range doubts {
		a.printFinding(&doubts[i])
	}
	switch {
	case accepted:
		fmt.Fprintln(a.out, a.paint(good, "accepted, and recorded in the ledger"))
	case len(doubts) == 0:
		fmt.Fprintln(a.out, "nothing is wrong with the store: nothing to accept")
	default:
		fmt.Fprintln(a.out, "nothing was changed: --yes accepts the store as it is; see --help for the risk")
	}
}

func findingsJSON(findings []store.Finding) []map[string]any {
	list := []map[string]any{}
	for _, f := range findings {
		list = append(list, map[string]any{"what": f.What, "level": f.Level, "found": f.Found, "advice": f.Advice})
	}
	return list
}
