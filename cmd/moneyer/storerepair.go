package main

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"slices"

	"github.com/spf13/cobra"

	"moneyer/internal/config"
	"moneyer/internal/daemon"
	"moneyer/internal/ledger"
	"moneyer/internal/store"
)

// repairFlags say what to do with what differs.
type repairFlags struct {
	accept, remove []string
	acceptState    bool
}

func (a *app) storeRepair() *cobra.Command {
	var file string
	var f repairFlags
	c := &cobra.Command{
		Use:   "repair",
		Short: "Show what something other than Moneyer wrote to the store, and repair it",
		Long: `Show each row of the registry (clients, accounts, items, signing keys, revocations)
that does not verify under the master key, or that is not as the ledger last records
it: something other than Moneyer wrote, deleted or set it back. Without flags nothing
is changed.

Find out first who could write to the store. If you do not know what such a row should
be, remove it and register the client again, or restore a backup. Then, for each row:

  --accept ROW   keep it as it is now: a row that does not verify is authenticated,
                 one that was set back stays, one that is missing stays missing
  --remove ROW   remove it

  --accept-state is for when the registry as a whole is not as the ledger states it,
                 such as a deleted table: it keeps the rows that verify, and no others

Stop the server of a SQLite file first; replicas of a database may run. It needs the
master key, and each change is recorded in the ledger. The exit code is 1 if
something is left to repair.`,
		Example: `  moneyer store repair --config /etc/moneyer/moneyer.toml
  moneyer store repair --config /etc/moneyer/moneyer.toml --remove client/d1/stranger
  moneyer store repair --config /etc/moneyer/moneyer.toml --accept revocation/d1/r-1 --remove signing-keys/d1/`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := config.Load(file)
			if err != nil {
				return usage(err)
			}
			return a.repairStore(c.Context(), cfg, &f)
		},
	}
	c.Flags().StringVar(&file, "config", "moneyer.toml", "the configuration `file`, which names the store and the master key")
	c.Flags().StringArrayVar(&f.accept, "accept", nil, "keep this `row` as it is")
	c.Flags().StringArrayVar(&f.remove, "remove", nil, "remove this `row`")
	c.Flags().BoolVar(&f.acceptState, "accept-state", false, "keep the rows that verify, and no others")
	return c
}

func (a *app) repairStore(ctx context.Context, cfg *config.Config, f *repairFlags) (err error) {
	master, err := daemon.ReadMasterKey(cfg)
	if err != nil {
		return usage(err)
	}
	db, err := store.Open(ctx, cfg.StoreURL(), store.Options{Now: a.now, RowKey: master.RowKey()})
	if err != nil {
		return storeFailure(err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	audit, rows, err := db.Differences(ctx)
	switch {
	case errors.Is(err, store.ErrOtherKey):
		return usage(fmt.Errorf("master_key %q: %w", cfg.MasterKey, err))
	case err != nil:
		return storeFailure(err)
	}
	done, err := a.repairRows(ctx, db, f, rows)
	if err != nil {
		return err
	}
	if len(done) > 0 {
		if audit, rows, err = db.Differences(ctx); err != nil {
			return storeFailure(err)
		}
	}
	return a.printRepair(&audit, rows, done)
}

// repairRows does what the flags say, and returns in words what it did.
func (a *app) repairRows(ctx context.Context, db *store.DB, f *repairFlags, rows []store.RowDifference) (done []string, err error) {
	for _, step := range []struct {
		names      []string
		verb, past string
		do         func(context.Context, *store.RowDifference, *ledger.Entry) error
	}{{f.accept, "accept", "accepted", db.AcceptRow}, {f.remove, "remove", "removed", db.RemoveRow}} {
		for _, name := range step.names {
			i := slices.IndexFunc(rows, func(r store.RowDifference) bool { return r.Name.String() == name })
			if i < 0 {
				return done, usagef("%s is not among the rows that differ: run the command without flags to see them", name)
			}
			e := a.repairEntry("repair."+step.verb, name)
			e.Issuer, e.Found = rows[i].Name.Issuer, string(rows[i].Problem)
			if err := step.do(ctx, &rows[i], e); err != nil {
				return done, refused(fmt.Errorf("%s %s: %w", step.verb, name, err))
			}
			done = append(done, step.past+" "+name)
		}
	}
	if !f.acceptState {
		return done, nil
	}
	if len(done) > 0 {
		if _, rows, err = db.Differences(ctx); err != nil {
			return done, err
		}
	}
	if err := db.AcceptState(ctx, rows, a.repairEntry("repair.state", "registry")); err != nil {
		return done, refused(err)
	}
	return append(done, "accepted the state of the registry"), nil
}

// repairEntry returns the ledger entry of a repair, whose actor is the user of this machine.
func (a *app) repairEntry(action, object string) *ledger.Entry {
	actor := "moneyer store repair"
	if who, err := user.Current(); err == nil {
		actor += " by " + who.Username
	}
	return &ledger.Entry{Kind: ledger.KindAdmin, Time: a.now().UTC(), Actor: actor, Action: action, Object: object}
}

func (a *app) printRepair(audit *store.Audit, rows []store.RowDifference, done []string) error {
	isGood := audit.Difference == "" && len(rows) == 0
	if a.json {
		list := []map[string]any{}
		for i := range rows {
			list = append(list, map[string]any{"row": rows[i].Name.String(), "problem": rows[i].Problem})
		}
		done = append([]string{}, done...)
		if err := a.printJSON(map[string]any{"good": isGood, "rows": audit.Rows, "difference": audit.Difference, "differing": list, "done": done}); err != nil {
			return err
		}
	} else {
		a.printDifferences(audit, rows, done)
	}
	if !isGood {
		return refused(errSilent)
	}
	return nil
}

func (a *app) printDifferences(audit *store.Audit, rows []store.RowDifference, done []string) {
	for _, what := range done {
		fmt.Fprintln(a.out, a.paint(good, what+", and recorded it in the ledger"))
	}
	if audit.Difference != "" {
		fmt.Fprintf(a.out, "%s  %s\n", a.paint(bad, "bad "), audit.Difference)
	}
	for i := range rows {
		fmt.Fprintf(a.out, "%s  %s %s\n", a.paint(bad, "bad "), rows[i].Name, rows[i].Problem)
	}
	switch {
	case audit.Difference == "" && len(rows) == 0:
		fmt.Fprintf(a.out, "%d rows are as the ledger records them: nothing to repair\n", audit.Rows)
	case len(rows) > 0:
		fmt.Fprintln(a.out, "--accept ROW keeps a row as it is, --remove ROW removes it: see --help")
	default:
		fmt.Fprintln(a.out, "--accept-state keeps the rows that verify, and no others: see --help")
	}
}
