package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"moneyer/internal/adminapi"
	"moneyer/internal/adminclient"
	"moneyer/internal/ledger"
	"moneyer/internal/store"
)

func (o *onboarding) ledgerCommand() *cobra.Command {
	return o.noun(&cobra.Command{
		Use:   "ledger",
		Short: "Read and verify the record of every token minted and every change made",
		Long: `The ledger has an entry for every access token minted, every refusal of a known
client, and every change made by an administrator. Each entry is chained to the
one before by a hash, so that changing or removing one can be detected.

A single server has one chain, 0. Each of several replicas writes its own chain:
entry 3-1201 is the 1201st of chain 3. Once a minute each replica signs a
checkpoint that names the ends of all chains.`,
		Example: `  moneyer ledger list --client merchant01 --since 1d
  moneyer ledger export --kind token > tokens.ndjson
  moneyer ledger verify`,
	}, o.ledgerList(), o.ledgerExport(), o.ledgerVerify(), o.ledgerKey())
}

// ledgerFlags select entries.
type ledgerFlags struct {
	adminclient.LedgerQuery
	since, until string
}

func (f *ledgerFlags) add(c *cobra.Command, o *onboarding) {
	flags := c.Flags()
	flags.StringVar(&f.since, "since", f.since, "entries from then on: a `time`, a date, or a span before now such as 2d")
	flags.StringVar(&f.until, "until", "", "entries before then: a `time`, a date, or a span before now")
	flags.StringVar(&f.Kind, "kind", "", "entries of that `kind`: "+strings.Join(entryKinds(), ", "))
	flags.StringVar(&f.Issuer, "issuer", "", "entries of that `issuer`")
	flags.StringVar(&f.Client, "client", "", "entries of that `client`")
	flags.StringVar(&f.Correlation, "correlation", "", "entries of the request with that correlation `id`")
	flags.StringVar(&f.JTI, "jti", "", "the entry of the token with that `jti`")
	complete(c, "kind", entryKinds()...)
	completeBy(c, "issuer", o.completeIssuers)
}

func entryKinds() []string {
	return []string{string(ledger.KindToken), string(ledger.KindAuthentication), string(ledger.KindRefusal),
		string(ledger.KindRefusals), string(ledger.KindAdmin), string(ledger.KindCheckpoint)}
}

// parsePast is parseMoment for a flag whose spans are before now.
func parsePast(flag, text string, now time.Time) (time.Time, error) {
	if text != "" && text[0] >= '0' && text[0] <= '9' && !strings.Contains(text, "-") {
		text = "-" + text
	}
	return parseMoment(flag, text, now)
}

// entries calls visit for each line of the ledger that the flags select.
func (o *onboarding) entries(ctx context.Context, f *ledgerFlags, visit func(line []byte) error) error {
	var err error
	if f.Since, err = parsePast("since", f.since, o.now()); err != nil {
		return err
	}
	if f.Until, err = parsePast("until", f.until, o.now()); err != nil {
		return err
	}
	api, err := o.open()
	if err != nil {
		return err
	}
	return api.Ledger(ctx, f.LedgerQuery, visit)
}

func (o *onboarding) ledgerExport() *cobra.Command {
	var f ledgerFlags
	c := &cobra.Command{
		Use:   "export",
		Short: "Write entries as lines of JSON, with their hashes",
		Long: `Write entries to standard output as lines of JSON, each with its number, its hash
and that of the entry before, one chain after the other. Without filters the export
can be verified without a server by 'moneyer ledger verify --file'. The number of an
entry is chain * 2^40 + its position in the chain; --after takes the number or
CHAIN-POSITION.`,
		Example: `  moneyer ledger export > ledger.ndjson
  moneyer ledger export --after 120000 >> ledger.ndjson
  moneyer ledger export --after 1-5077,3-1201 >> ledger.ndjson`,
		RunE: func(c *cobra.Command, _ []string) error {
			out := bufio.NewWriter(o.out)
			err := o.entries(c.Context(), &f, func(line []byte) error {
				_, err := out.Write(append(line, '\n'))
				return err
			})
			return errors.Join(err, out.Flush())
		},
	}
	f.add(c, o)
	c.Flags().StringSliceVar(&f.After, "after", nil, "entries after that `number`; of several chains, after the number given for each")
	return c
}

func (o *onboarding) ledgerList() *cobra.Command {
	f := ledgerFlags{since: "1d"}
	var limit int
	c := &cobra.Command{
		Use:   "list",
		Short: "Show the newest entries",
		Example: `  moneyer ledger list
  moneyer ledger list --client merchant01 --kind refusal --since 7d`,
		RunE: func(c *cobra.Command, _ []string) error {
			entries := newestEntries{limit: max(limit, 1)}
			if err := o.entries(c.Context(), &f, entries.line); err != nil {
				return err
			}
			newest := entries.sorted()
			records := make([]ledger.Record, len(newest)) // never null in JSON
			for i := range newest {
				records[i] = newest[i].record
			}
			return o.shown(records, []string{"ENTRY", "TIME", "KIND", "ISSUER", "CLIENT", "WHAT"}, rowsOf(newest, entryRow))
		},
	}
	f.add(c, o)
	c.Flags().IntVar(&limit, "limit", 50, "show at most that `many`")
	return c
}

// dated is a line of the ledger with its decoded entry.
type dated struct {
	record ledger.Record
	entry  *ledger.Entry
}

// newestEntries keeps the newest entries of all chains, up to a limit.
type newestEntries struct {
	limit int
	kept  []dated
}

func (n *newestEntries) line(line []byte) error {
	var d dated
	err := json.Unmarshal(line, &d.record)
	if err == nil {
		d.entry, err = d.record.Entry()
	}
	if err != nil {
		return err
	}
	if n.kept = append(n.kept, d); len(n.kept) >= 2*n.limit {
		n.kept = n.kept[:copy(n.kept, n.sorted())]
	}
	return nil
}

// sorted returns the newest entries, oldest first.
func (n *newestEntries) sorted() []dated {
	slices.SortFunc(n.kept, func(a, b dated) int {
		return cmp.Or(a.entry.Time.Compare(b.entry.Time), cmp.Compare(a.record.Seq, b.record.Seq))
	})
	return n.kept[max(0, len(n.kept)-n.limit):]
}

func entryRow(d *dated) []string {
	e := d.entry
	return []string{ledger.ShowSeq(d.record.Seq), e.Time.UTC().Format("2006-01-02 15:04:05Z"), string(e.Kind), visible(cmp.Or(e.Issuer, "-")),
		visible(cmp.Or(e.Client, "-")), visible(entryWords(e))}
}

// entryWords describes what an entry records.
func entryWords(e *ledger.Entry) string {
	switch e.Kind {
	case ledger.KindToken:
		return fmt.Sprintf("token %s for %s by %s", e.JTI, e.Subject, e.Credential)
	case ledger.KindRefusal:
		words := fmt.Sprintf("%s: %s: expected %s, found %s", e.Code, e.Rule, e.Expected, e.Found)
		if e.Subject != "" {
			words += ", for " + e.Subject
		}
		return words
	case ledger.KindAuthentication:
		return "client authentication by " + e.Credential
	case ledger.KindCheckpoint:
		words := "heads"
		heads, _ := ledger.ParseHeads(e.Heads) // verify reports an error in them
		for i := range heads {
			words += " " + ledger.ShowSeq(heads[i].Seq)
		}
		return words
	case ledger.KindRefusals:
		return fmt.Sprintf("%d further refusals", e.Count)
	default:
		words := fmt.Sprintf("%s %s by %s", e.Action, e.Object, e.Actor)
		if e.Count > 0 {
			words += fmt.Sprintf(" (%d rows)", e.Count)
		}
		return words
	}
}

// verification is what `ledger verify` verifies.
type verification struct {
	file, store, keyText, headFile string

	key   ed25519.PublicKey
	heads []ledger.Head
}

func (o *onboarding) ledgerVerify() *cobra.Command {
	var v verification
	c := &cobra.Command{
		Use:   "verify",
		Short: "Verify the chains of hashes and the checkpoints, and name the first broken entry",
		Long: `Verify the whole ledger, on the server, in an export or in a backup, and name the
first entry of each chain that is not as it was recorded. The exit code is

  0  the ledger is whole, and the signed checkpoints confirm it; what was recorded
     in the last minutes need not be confirmed yet
  1  it is broken: an entry or a checkpoint was changed or removed, entries have
     had no checkpoint for more than five minutes, old entries were removed
     before their time, or a head is not in it
  4  it is whole as far as it goes, but not confirmed: it has no checkpoint yet,
     it is an export that begins in the middle, no checkpoint key was given, or a
     chain has no checkpoint of its own, with which a server begins one

Each chain's checkpoints are numbered, and each names the one before. With the
checkpoint key (public; 'moneyer ledger key' shows it) their signatures must verify.
The signing key is derived from the master key, so write access to the database is
not enough to rewrite a chain before the last checkpoint, nor to remove one.

What a ledger cannot show by itself is that its end was cut off and that a server
went on from there. So compare it with heads that were noted elsewhere: the server
logs them once a minute ("checkpoint"), and 'heads' below is their form. --head
takes a file of lines of the log (JSON), or of such heads.`,
		Example: `  moneyer ledger verify
  moneyer ledger verify --head /var/log/moneyer.log
  moneyer ledger verify --file ledger.ndjson     without a server
  moneyer ledger verify --store backup.db        without a server
  moneyer ledger verify --store backup.db --checkpoint-key 4V9vZ3u0DTGoCvk1TWMSLQ-SScT5Z8Y8lka6P_mjJgY`,
		RunE: func(c *cobra.Command, _ []string) error {
			found, err := o.verify(c.Context(), &v)
			if err != nil {
				return err
			}
			return o.verified(&found)
		},
	}
	c.Flags().StringVar(&v.file, "file", "", "verify that export, or standard input when it is called '-', not the server's ledger")
	c.Flags().StringVar(&v.store, "store", "", "verify the ledger in that `file`, a backup or a store whose server is down")
	c.Flags().StringVar(&v.keyText, "checkpoint-key", "", "check the signatures of checkpoints with that `key`; without it only a server checks them, with its own key")
	c.Flags().StringVar(&v.headFile, "head", "", "compare with the heads in that `file`: lines of the server's log, or heads in the form CHAIN-N:HASH")
	c.MarkFlagsMutuallyExclusive("file", "store")
	return c
}

// verify verifies an export, a store, or else the server's ledger.
func (o *onboarding) verify(ctx context.Context, v *verification) (found adminapi.Verified, err error) {
	if v.keyText != "" {
		if v.key, err = adminapi.ParseCheckpointKey(v.keyText); err != nil {
			return found, usagef("--checkpoint-key: %w", err)
		}
	}
	if v.headFile != "" {
		if v.heads, err = o.readHeads(v.headFile); err != nil {
			return found, usagef("--head: %s: %w", v.headFile, err)
		}
	}
	switch {
	case v.file != "":
		return o.verifyFile(ctx, v.file, v.key, v.heads)
	case v.store != "":
		return verifyStore(ctx, v.store, v.key, v.heads...)
	}
	api, err := o.open()
	if err != nil {
		return found, err
	}
	found, err = api.VerifyLedger(ctx, v.heads)
	if err == nil && v.key != nil && found.CheckpointKey != v.keyText {
		return found, usagef("--checkpoint-key differs from the server's key, %s", visible(found.CheckpointKey))
	}
	return found, err
}

func (o *onboarding) readHeads(name string) ([]ledger.Head, error) {
	file, err := o.openInput(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	return ledger.ReadHeads(file)
}

// verified prints the result of a verification.
func (o *onboarding) verified(v *adminapi.Verified) error {
	if o.json {
		if err := o.printJSON(v); err != nil {
			return err
		}
	} else {
		o.printVerifiedLedger(v)
	}
	switch {
	case !v.Whole:
		return refused(errSilent)
	case v.Unconfirmed != "":
		return &failure{exitUnconfirmed, errSilent}
	}
	return nil
}

func (o *onboarding) printVerifiedLedger(v *adminapi.Verified) {
	for i := range v.Chains {
		o.printChain(&v.Chains[i])
	}
	switch {
	case v.Checkpoints == 0:
	case v.CheckpointKey == "":
		fmt.Fprintf(o.out, "%s, signatures not checked: --checkpoint-key was not given\n", count(int(v.Checkpoints), "checkpoint"))
	default:
		fmt.Fprintf(o.out, "%s, signatures checked with key %s\n", count(int(v.Checkpoints), "checkpoint"), visible(v.CheckpointKey))
	}
	if v.HeadsCompared > 0 {
		fmt.Fprintf(o.out, "compared with %s noted elsewhere\n", count(int(v.HeadsCompared), "head"))
	}
	if v.Heads != "" {
		fmt.Fprintf(o.out, "the heads, to be noted elsewhere:\n%s\n", v.Heads)
	}
	switch {
	case !v.Whole:
	case v.Unconfirmed != "":
		fmt.Fprintf(o.out, "%s: %s\n", "not confirmed", visible(v.Unconfirmed))
	default:
		fmt.Fprintln(o.out, o.paint(good, "confirmed"))
	}
}

// printChain prints what was found of one chain.
func (o *onboarding) printChain(c *adminapi.VerifiedChain) {
	if c.Broken != 0 {
		fmt.Fprintf(o.out, "%s: entry %s: %s\n", o.paint(bad, "broken"), ledger.ShowSeq(c.Broken), visible(c.How))
	} else {
		fmt.Fprintf(o.out, "%s: entries %s to %s; the head is %s\n", o.paint(good, "whole"), ledger.ShowSeq(c.First), ledger.ShowSeq(c.Last), c.Head)
	}
	confirmed := "nothing is confirmed by a checkpoint"
	if c.Confirmed != 0 {
		confirmed = "confirmed up to entry " + ledger.ShowSeq(c.Confirmed)
	}
	fmt.Fprintf(o.out, "  %s, %d not confirmed yet; %d before were pruned\n", confirmed, c.Open, c.Pruned)
}

func (o *onboarding) ledgerKey() *cobra.Command {
	return &cobra.Command{
		Use:   "key",
		Short: "Show the public key that checks the signatures of checkpoints",
		Long: `Show the public Ed25519 key that verifies checkpoints. It is derived from the
master key and changes only with that. Give it to the auditors of the ledger:
'moneyer ledger verify --checkpoint-key KEY' needs nothing else.`,
		Example: `  moneyer ledger key`,
		RunE: func(c *cobra.Command, _ []string) error {
			api, err := o.open()
			if err != nil {
				return err
			}
			key, err := api.CheckpointKey(c.Context())
			return o.outcome(key, err, "%s", visible(key.Key))
		},
	}
}

// verifyStore verifies the ledger in a store's file.
func verifyStore(ctx context.Context, path string, key ed25519.PublicKey, heads ...ledger.Head) (adminapi.Verified, error) {
	report, err := store.VerifyFile(ctx, path, key, heads...)
	if errors.Is(err, fs.ErrNotExist) {
		return adminapi.Verified{}, usage(err)
	}
	if err != nil {
		return adminapi.Verified{}, unavailable(err)
	}
	return adminapi.ShowVerified(&report, key), nil
}
