package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"moneyer/internal/adminclient"
	"moneyer/internal/config"
	"moneyer/internal/ledger"
	"moneyer/internal/nearest"
	"moneyer/oauth"
)

// ledgerFlags select entries.
type ledgerFlags struct {
	adminclient.LedgerQuery
	since, until string
}

func (f *ledgerFlags) add(c *cobra.Command, o *onboarding) {
	flags := c.Flags()
	flags.StringVar(&f.since, "since", f.since, "entries from then on: a `time`, a date, or a span before now such as 2d")
	flags.StringVar(&f.until, "until", "", "entries before then: a `time`, a date, or a span before now")
	flags.StringVar(&f.Kind, "kind", "", "entries of that `kind`: "+listed(ledger.Kinds(), ", "))
	flags.StringVar(&f.Issuer, "issuer", "", "entries of that `issuer`")
	flags.StringVar(&f.Client, "client", "", "entries of that `client`")
	flags.StringVar(&f.Correlation, "correlation", "", "entries of the request with that correlation `id`")
	flags.StringVar(&f.JTI, "jti", "", "the entry of the token with that `jti`")
	complete(c, "kind", entryKinds()...)
	completeBy(c, "issuer", o.completeIssuers)
}

func entryKinds() []string {
	var kinds []string
	for _, kind := range ledger.Kinds() {
		kinds = append(kinds, string(kind))
	}
	return kinds
}

// parsePast is parseMoment for a flag whose spans are before now.
func parsePast(flag, text string, now time.Time) (time.Time, error) {
	if text != "" && text[0] >= '0' && text[0] <= '9' && !strings.Contains(text, "-") {
		text = "-" + text
	}
	return parseMoment(flag, text, now)
}

// entries calls visit for each line of the ledger that the flags select. An issuer or a
// client of which the ledger has no entry must at least exist: otherwise it is mistyped.
func (o *onboarding) entries(ctx context.Context, f *ledgerFlags, visit func(line []byte) error) error {
	var err error
	if f.Since, err = parsePast("since", f.since, o.now()); err != nil {
		return err
	}
	if f.Until, err = parsePast("until", f.until, o.now()); err != nil {
		return err
	}
	if kinds := entryKinds(); f.Kind != "" && !slices.Contains(kinds, f.Kind) {
		return usagef("--%s", notKnown("kind", f.Kind, kinds))
	}
	api, err := o.open()
	if err != nil {
		return err
	}
	found := false
	err = api.Ledger(ctx, f.LedgerQuery, func(line []byte) error {
		found = true
		return visit(line)
	})
	if err == nil && !found {
		err = mistyped(ctx, api, f)
	}
	return err
}

// mistyped returns an error if --issuer or --client names nothing that the server knows.
// The ledger has no entry of it in that time either.
func mistyped(ctx context.Context, api *adminclient.Client, f *ledgerFlags) error {
	if f.Issuer == "" && f.Client == "" {
		return nil
	}
	issuers, err := api.Issuers(ctx)
	if err != nil {
		return err
	}
	var names []string
	for i := range issuers {
		names = append(names, issuers[i].Name)
	}
	if f.Issuer != "" && !slices.Contains(names, f.Issuer) {
		return usagef("--%s", notKnown("issuer", f.Issuer, names))
	}
	if f.Client == "" {
		return nil
	}
	if f.Issuer != "" {
		names = []string{f.Issuer}
	}
	var ids []string
	for _, name := range names {
		at := api.At(name)
		var refusal *adminclient.RefusedError
		_, err := at.ShowClient(ctx, f.Client)
		if !errors.As(err, &refusal) || refusal.Code != oauth.NotFound {
			return err // nil: there is such a client, and nothing of it is recorded
		}
		if some, err := at.ClientIDs(ctx); err == nil {
			ids = append(ids, some...)
		}
	}
	near := nearest.Word(f.Client, ids)
	if near != "" {
		near = "did you mean " + near + "? "
	}
	return usagef("--client %q is not known to %s, and the ledger has no entry of it in that time; %s'moneyer client list' shows the clients of an issuer", f.Client, strings.Join(names, ", "), near)
}

func (o *onboarding) ledgerList() *cobra.Command {
	f := ledgerFlags{since: "1d"}
	var limit int
	var all bool
	c := &cobra.Command{
		Use:   "list",
		Short: "Show the newest entries",
		Long: `Show the newest entries. The tokens that administrators get to call the admin API
are counted and not shown, unless --all, --issuer, --client, --correlation or --jti asks for
them. --kind, --issuer and --client must name something that there is.`,
		Example: `  moneyer ledger list
  moneyer ledger list --all
  moneyer ledger list --client merchant01 --kind refusal --since 7d`,
		RunE: func(c *cobra.Command, _ []string) error {
			entries := newestEntries{limit: max(limit, 1)}
			if !all && f.Issuer == "" && f.Client == "" && f.Correlation == "" && f.JTI == "" {
				entries.without = config.AdminIssuer
			}
			if err := o.entries(c.Context(), &f, entries.line); err != nil {
				return err
			}
			if entries.hidden > 0 {
				o.note("%s of administrators for the admin API not shown; --all or --issuer %s shows them", count(entries.hidden, "token"), entries.without)
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
	c.Flags().BoolVar(&all, "all", false, "show the tokens of administrators, too")
	c.Flags().IntVar(&limit, "limit", 50, "show at most that `many`")
	return c
}

// dated is a line of the ledger with its decoded entry.
type dated struct {
	record ledger.Record
	entry  *ledger.Entry
}

// newestEntries keeps the newest entries of all chains, up to a limit. The tokens of the
// issuer without are counted in hidden instead.
type newestEntries struct {
	limit   int
	without string
	kept    []dated
	hidden  int
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
	if n.without != "" && d.entry.Issuer == n.without && d.entry.Kind == ledger.KindToken {
		n.hidden++
		return nil
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
