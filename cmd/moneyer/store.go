package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"moneyer/internal/config"
	"moneyer/internal/daemon"
	"moneyer/internal/keyring"
	"moneyer/internal/ledger"
	"moneyer/internal/store"
)

func (a *app) storeCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "store",
		Short: "Migrate, check, copy, repair and accept the store",
		Long: `The store is a SQLite file, which one server holds, or a PostgreSQL database, which
any number of replicas share. These commands open it directly, by the URL in the
configuration or in --store; they need no running server.`,
		Example: `  moneyer store check --config /etc/moneyer/moneyer.toml
  moneyer store copy --store sqlite:/var/lib/moneyer/moneyer.db postgres://moneyer@db1,db2,db3/moneyer?sslmode=verify-full`,
	}
	c.AddCommand(a.storeMigrate(), a.storeStatus(), a.storeCheck(), a.storeCopy(), a.storeRepair(), a.storeAccept())
	return c
}

// ofStore adds --config and --store to a command, and runs it with the URL.
func ofStore(c *cobra.Command, do func(ctx context.Context, url string, args []string) error) *cobra.Command {
	var configFile, url string
	c.Flags().StringVar(&configFile, "config", "moneyer.toml", "the configuration `file`, which names the store")
	c.Flags().StringVar(&url, "store", "", "the store itself: a `URL`, sqlite:FILE or postgres://HOST/DATABASE")
	c.MarkFlagsMutuallyExclusive("config", "store")
	c.RunE = func(c *cobra.Command, args []string) error {
		if url != "" {
			return do(c.Context(), urlOf(url), args)
		}
		cfg, err := config.Load(configFile)
		if err != nil {
			return usage(err)
		}
		return do(c.Context(), cfg.StoreURL(), args)
	}
	return c
}

// urlOf returns the URL of a store. A bare path is that of a SQLite file.
func urlOf(text string) string {
	if strings.HasPrefix(text, "sqlite:") || strings.Contains(text, "://") {
		return text
	}
	return "sqlite:" + text
}

// storeFailure adds the exit code to an error of package store: a missing file, or one that is
// not to be overwritten, is wrong usage.
func storeFailure(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) {
		return usage(err)
	}
	return unavailable(err)
}

func (a *app) storeMigrate() *cobra.Command {
	var back bool
	var to int
	c := ofStore(&cobra.Command{
		Use:   "migrate",
		Short: "Migrate the schema of the store forward, or one step back",
		Long: `Migrate the schema of the store to the newest version of this program, in one
transaction. A database may be in use: replicas that are one version behind still
work, so migrate first, and then replace the replicas one by one. A server
migrates a file when it starts; stop it before you migrate a file here.

--back goes one step back, where the step is reversible: first install the older
program everywhere, then run the newer program's migrate --back.`,
		Example: `  moneyer store migrate --config moneyer.toml
  moneyer store migrate --config moneyer.toml --back`,
	}, func(ctx context.Context, url string, _ []string) error {
		if back {
			to = store.Back
		}
		return a.migrateStore(ctx, url, to)
	})
	c.Flags().BoolVar(&back, "back", false, "go one step back")
	c.Flags().IntVar(&to, "to", store.Newest, "go to that `version`, instead of the newest")
	c.MarkFlagsMutuallyExclusive("back", "to")
	return c
}

func (a *app) migrateStore(ctx context.Context, url string, to int) error {
	m, err := store.Migrate(ctx, url, to)
	if err != nil {
		return storeFailure(err)
	}
	words := fmt.Sprintf("the schema went from version %d to %d", m.From, m.To)
	if m.From == m.To {
		words = fmt.Sprintf("the schema has version %d already", m.To)
	}
	return a.done(map[string]any{"from": m.From, "to": m.To}, "%s", words)
}

func (a *app) storeStatus() *cobra.Command {
	return ofStore(&cobra.Command{
		Use:   "status",
		Short: "Show the state of the store: schema, replicas, ledger heads, size",
		Long: `Show the state of the store, as far as that is cheap to read. Of a database it lists
the replicas: where each runs, where it listens, its version, and how far its clock is
ahead of the database's. It changes nothing, and does not disturb a server that has the
store open.`,
		Example: `  moneyer store status --config moneyer.toml
  moneyer store status --store sqlite:/backups/moneyer.db --json`,
	}, a.showStatus)
}

func (a *app) showStatus(ctx context.Context, url string, _ []string) error {
	s, err := store.ReadStatus(ctx, url)
	switch {
	case err != nil:
		return storeFailure(err)
	case a.json:
		return a.printJSON(statusJSON(&s))
	}
	if s.Version == 0 {
		fmt.Fprintf(a.out, "%s holds no store yet: moneyer init or moneyer store migrate makes it\n", s.Name)
		return nil
	}
	fmt.Fprintf(a.out, "%s: %s\nschema version %d, for programs that know %d or more; this one knows %d\n", s.Name, formatBytes(s.Bytes), s.Version, s.Oldest, s.Known)
	if s.Unfinished {
		fmt.Fprintln(a.out, a.paint(bad, "the store is an unfinished copy: run moneyer store copy again"))
	}
	chains := rowsOf(s.Chains, func(c *store.ChainStatus) []string {
		return []string{fmt.Sprint(ledger.ChainOf(c.Seq)), ledger.ShowSeq(c.Seq), hex.EncodeToString(c.Hash[:8]), cmp.Or(c.Holder, "-")}
	})
	replicas := rowsOf(s.Replicas, func(r *store.ReplicaStatus) []string {
		return []string{r.ID, visible(cmp.Or(r.Host, "-")), visible(cmp.Or(r.Address, "-")), visible(cmp.Or(r.Version, "-")), r.HeartbeatAge.Round(time.Millisecond).String() + " ago", fmt.Sprintf("%+.3f s", r.ClockAhead.Seconds())}
	})
	sizes := rowsOf(s.Sizes, func(t *store.TableSize) []string {
		return []string{t.Table, formatBytes(t.Bytes), fmt.Sprintf("about %d", t.Rows)}
	})
	return errors.Join(a.section([]string{"CHAIN", "LAST ENTRY", "HASH", "REPLICA"}, chains),
		a.section([]string{"REPLICA", "HOST", "ADDRESS", "VERSION", "LAST HEARTBEAT", "CLOCK"}, replicas), a.section([]string{"TABLE", "SIZE", "ROWS"}, sizes))
}

func statusJSON(s *store.Status) map[string]any {
	chains, replicas, sizes := []map[string]any{}, []map[string]any{}, []map[string]any{}
	for _, c := range s.Chains {
		chains = append(chains, map[string]any{"chain": ledger.ChainOf(c.Seq), "last": ledger.ShowSeq(c.Seq), "head": hex.EncodeToString(c.Hash[:]), "replica": c.Holder})
	}
	for _, r := range s.Replicas {
		replicas = append(replicas, map[string]any{"id": r.ID, "host": r.Host, "address": r.Address, "version": r.Version, "silent_seconds": r.HeartbeatAge.Seconds(), "clock_ahead_seconds": r.ClockAhead.Seconds()})
	}
	for _, t := range s.Sizes {
		sizes = append(sizes, map[string]any{"table": t.Table, "bytes": t.Bytes, "rows": t.Rows})
	}
	return map[string]any{"store": s.Name, "version": s.Version, "oldest": s.Oldest, "known": s.Known, "unfinished_copy": s.Unfinished,
		"bytes": s.Bytes, "chains": chains, "replicas": replicas, "tables": sizes}
}

func (a *app) storeCheck() *cobra.Command {
	var configFile, url, masterKey string
	c := &cobra.Command{
		Use:   "check",
		Short: "Check whether the store is reliable",
		Long: `Check the conditions for a reliable store, and print what to do where one is not
met. Of PostgreSQL: its version, that it accepts writes and does not lose them, its
standbys, TLS, the clock, the role's privileges, and whether a proxy interferes.
Of a file that no server has open: every page, by SQLite itself. Of both: whether the
clock fits the ledger, whether consumed assertions may be missing, and of a file
whether it holds the head that is noted beside it. With the master key: whether clients,
accounts, items, signing keys and revocations verify, and are as the ledger last records
them. It changes nothing.

Run it on the machine of a replica. The exit code is 1 when a check is bad.`,
		Example: `  moneyer store check --config moneyer.toml
  moneyer store check --store postgres://moneyer@db1,db2,db3/moneyer?sslmode=verify-full --json
  moneyer store check --store /backups/moneyer.db --master-key /etc/moneyer/master.key`,
		RunE: func(c *cobra.Command, _ []string) error {
			master, err := masterKeyOf(configFile, &url, masterKey)
			if err != nil {
				return usage(err)
			}
			return a.checkStore(c.Context(), url, master)
		},
	}
	c.Flags().StringVar(&configFile, "config", "moneyer.toml", "the configuration `file`, which names the store and the master key")
	c.Flags().StringVar(&url, "store", "", "the store itself: a `URL`, sqlite:FILE or postgres://HOST/DATABASE")
	c.Flags().StringVar(&masterKey, "master-key", "", "with --store: the `file` of the master key")
	c.MarkFlagsMutuallyExclusive("config", "store")
	c.MarkFlagsMutuallyExclusive("config", "master-key")
	return c
}

// masterKeyOf reads the master key of a store, nil if none is named, and completes the URL
// of the store.
func masterKeyOf(configFile string, url *string, masterKey string) (*keyring.MasterKey, error) {
	if *url != "" {
		if *url = urlOf(*url); masterKey == "" {
			return nil, nil //nolint:nilnil // none is named
		}
		return keyring.ReadMasterKey(masterKey)
	}
	cfg, err := config.Load(configFile)
	if err != nil {
		return nil, err
	}
	*url = cfg.StoreURL()
	return daemon.ReadMasterKey(cfg)
}

func (a *app) checkStore(ctx context.Context, url string, master *keyring.MasterKey) error {
	findings, err := store.Check(ctx, url, a.now)
	if err != nil {
		return usage(err)
	}
	findings = append(findings, checkRegistry(ctx, url, master, findings)...)
	isGood := !slices.ContainsFunc(findings, func(f store.Finding) bool { return f.Level == store.Bad })
	if a.json {
		if err := a.printJSON(map[string]any{"good": isGood, "findings": findingsJSON(findings)}); err != nil {
			return err
		}
	} else {
		for i := range findings {
			a.printFinding(&findings[i])
		}
	}
	if !isGood {
		return refused(errSilent)
	}
	return nil
}

// maxRowFindings bounds the rows that a check names: store repair names all.
const maxRowFindings = 100

// checkRegistry compares the registry with the ledger, unless the store is not a whole one.
func checkRegistry(ctx context.Context, url string, master *keyring.MasterKey, before []store.Finding) (findings []store.Finding) {
	const what, advice = "registry", "find out who can write to the store, and see `moneyer store repair --help`"
	unusable := func(f store.Finding) bool {
		return f.What == "connection" && f.Level == store.Bad || f.What == "schema" && (f.Level == store.Bad || strings.HasPrefix(f.Found, "none yet"))
	}
	switch {
	case slices.ContainsFunc(before, unusable):
		return nil
	case master == nil:
		return []store.Finding{{What: what, Level: store.Warn, Found: "not looked at without the master key", Advice: "give --config, or --master-key"}}
	}
	audit, rows, err := store.CheckRegistry(ctx, url, master.RowKey())
	if errors.Is(err, store.ErrOtherKey) {
		return []store.Finding{{What: what, Level: store.Bad, Found: err.Error(), Advice: "give the master key under which this store was made; if this is the one, restore a backup"}}
	}
	if err != nil {
		return []store.Finding{{What: what, Level: store.Bad, Found: err.Error(), Advice: "moneyer ledger verify says what is wrong with the ledger"}}
	}
	if audit.Difference != "" {
		findings = append(findings, store.Finding{What: what, Level: store.Bad, Found: audit.Difference, Advice: advice})
	}
	for i := range min(len(rows), maxRowFindings) {
		findings = append(findings, store.Finding{What: rows[i].Name.String(), Level: store.Bad, Found: string(rows[i].Problem), Advice: advice})
	}
	if len(findings) == 0 {
		found := fmt.Sprintf("%d rows verify, and are as the ledger records them", audit.Rows)
		findings = []store.Finding{{What: what, Level: store.Good, Found: found}}
	}
	return findings
}

func (a *app) printFinding(f *store.Finding) {
	color := map[store.Level]style{store.Good: good, store.Warn: bold, store.Bad: bad}[f.Level]
	fmt.Fprintf(a.out, "%s  %s: %s\n", a.paint(color, fmt.Sprintf("%-4s", f.Level)), f.What, visible(f.Found))
	if f.Advice != "" {
		fmt.Fprintf(a.out, "      %s\n", a.paint(faint, f.Advice))
	}
}

func (a *app) storeCopy() *cobra.Command {
	return ofStore(&cobra.Command{
		Use:   "copy TO",
		Short: "Copy the whole store to another URL and verify the copy",
		Long: `Copy the whole store, registry and ledger, to an empty one: from a file to a
database to introduce replicas, from a database to a file for a backup, from a
backup to a database to restore it. A file must not exist yet; until the copy is
complete it is FILE.part. The copy is verified: every table by the number
of its rows, and the ledger by its chains. The master key is not in the store; the
copy needs the same one.

A file must not be open: stop its server. A database may be in use: the copy has
its state at the start of the copy, so stop its replicas first if they are to
continue with the copy. An interrupted copy is resumed by the same command; no
server opens it until it is complete.`,
		Example: `  moneyer store copy --store sqlite:/var/lib/moneyer/moneyer.db postgres://moneyer@db1/moneyer?sslmode=verify-full
  moneyer store copy --config moneyer.toml sqlite:/backups/moneyer.db
  moneyer store copy --store sqlite:/backups/moneyer.db postgres://moneyer@new/moneyer?sslmode=verify-full`,
	}, a.copyStore)
}

func (a *app) copyStore(ctx context.Context, from string, args []string) error {
	show, end := a.copyProgress()
	report, err := store.Copy(ctx, from, urlOf(args[0]), show)
	end()
	if err != nil {
		return storeFailure(err)
	}
	if a.json {
		err = a.printJSON(copyJSON(&report))
	} else {
		err = a.printCopy(&report)
	}
	if err == nil && report.Broken != "" {
		return refused(errSilent)
	}
	return err
}

func (a *app) printCopy(r *store.CopyReport) error {
	rows := rowsOf(r.Rows, func(t *store.CopiedRows) []string { return []string{t.Table, fmt.Sprint(t.Rows)} })
	if err := a.table([]string{"TABLE", "ROWS"}, rows); err != nil {
		return err
	}
	if r.Broken != "" {
		fmt.Fprintf(a.out, "%s\n", a.paint(bad, "copied, as it was: "+r.Broken))
		return nil
	}
	for _, h := range r.Heads {
		fmt.Fprintf(a.out, "chain %d leads to entry %s, %x, as in the source\n", ledger.ChainOf(h.Seq), ledger.ShowSeq(h.Seq), h.Hash[:8])
	}
	fmt.Fprintln(a.out, a.paint(good, "copied and verified"))
	return nil
}

func copyJSON(r *store.CopyReport) map[string]any {
	rows, heads := map[string]int64{}, []map[string]any{}
	for _, t := range r.Rows {
		rows[t.Table] = t.Rows
	}
	for _, h := range r.Heads {
		heads = append(heads, map[string]any{"chain": ledger.ChainOf(h.Seq), "last": ledger.ShowSeq(h.Seq), "head": hex.EncodeToString(h.Hash[:])})
	}
	return map[string]any{"rows": rows, "chains": heads, "resumed": r.Resumed, "verified": r.Broken == "", "broken": r.Broken}
}

// copyProgress shows the progress of a copy on a terminal.
func (a *app) copyProgress() (show func(table string, done, total int64), end func()) {
	f := a.terminal()
	if f == nil {
		return nil, func() {}
	}
	show = func(table string, done, total int64) {
		fmt.Fprintf(f, "\r\x1b[K%s: %d of %d rows", table, done, total)
		if done == total && table == "ledger_batch" {
			fmt.Fprint(f, "\r\x1b[Kverifying the ledger of the copy")
		}
	}
	return show, func() { fmt.Fprint(f, "\r\x1b[K") }
}
