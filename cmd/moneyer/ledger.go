package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"moneyer/internal/admin"
	"moneyer/internal/authority"
)

func (o *onboarding) ledgerCommand() *cobra.Command {
	return o.noun(&cobra.Command{
		Use:   "ledger",
		Short: "Read and verify the record of every token minted and every change made",
		Long: `The ledger has an entry for every access token minted, every refusal of a known
client, and every change made by an administrator. Each entry is chained to the
one before by a hash, so that none can be changed or taken out unnoticed.`,
		Example: `  moneyer ledger list --client merchant01 --since 1d
  moneyer ledger export --kind token > tokens.ndjson
  moneyer ledger verify`,
	}, o.ledgerList(), o.ledgerExport(), o.ledgerVerify())
}

// ledgerFlags select entries.
type ledgerFlags struct {
	since, until, after                    string
	kind, issuer, client, correlation, jti string
}

func (f *ledgerFlags) add(c *cobra.Command, o *onboarding) {
	flags := c.Flags()
	flags.StringVar(&f.since, "since", f.since, "entries from then on: a `time`, a date, or a span before now such as 2d")
	flags.StringVar(&f.until, "until", "", "entries before then: a `time`, a date, or a span before now")
	flags.StringVar(&f.kind, "kind", "", "entries of that `kind`: token, refusal, refusals or admin")
	flags.StringVar(&f.issuer, "issuer", "", "entries of that `issuer`")
	flags.StringVar(&f.client, "client", "", "entries of that `client`")
	flags.StringVar(&f.correlation, "correlation", "", "entries of the request with that correlation `id`")
	flags.StringVar(&f.jti, "jti", "", "the entry of the token with that `jti`")
	complete(c, "kind", string(authority.EntryToken), string(authority.EntryRefusal), string(authority.EntryRefusals), string(authority.EntryAdmin))
	if err := c.RegisterFlagCompletionFunc("issuer", o.completeIssuers); err != nil {
		panic(err) // there is no such flag: a mistake in this program
	}
}

// query is the query of the admin API.
func (f *ledgerFlags) query(now time.Time) (url.Values, error) {
	query := url.Values{}
	for name, value := range map[string]string{"kind": f.kind, "issuer": f.issuer, "client": f.client, "correlation": f.correlation, "jti": f.jti, "after": f.after} {
		if value != "" {
			query.Set(name, value)
		}
	}
	for name, value := range map[string]string{"since": f.since, "until": f.until} {
		if value != "" && value[0] >= '0' && value[0] <= '9' && !strings.Contains(value, "-") {
			value = "-" + value // a span before now
		}
		t, err := parseMoment(name, value, now)
		if err != nil {
			return nil, err
		}
		if !t.IsZero() {
			query.Set(name, t.Format(time.RFC3339))
		}
	}
	return query, nil
}

// entries visits the lines of the ledger that the flags select.
func (o *onboarding) entries(ctx context.Context, f *ledgerFlags, visit func(line []byte) error) error {
	query, err := f.query(o.now())
	if err != nil {
		return err
	}
	api, err := o.open()
	if err != nil {
		return err
	}
	resp, err := api.send(ctx, http.MethodGet, api.path("ledger")+"?"+query.Encode(), "", nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	err = eachLine(resp.Body, func(line []byte) error {
		if bytes.HasPrefix(line, []byte(`{"error":`)) {
			var told admin.Failure
			_ = json.Unmarshal(line, &told) // it is an error either way
			return trouble(fmt.Errorf("the ledger ends early: %s", visible(told.Description)))
		}
		return visit(line)
	})
	var failed *failure
	if err != nil && !errors.As(err, &failed) {
		return trouble(fmt.Errorf("the ledger ends early: %w", err))
	}
	return err
}

// maxEntry bounds a line of the ledger, in octets.
const maxEntry = 1 << 20

func eachLine(in io.Reader, visit func(line []byte) error) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 64<<10), maxEntry)
	for lines.Scan() {
		if err := visit(lines.Bytes()); err != nil {
			return err
		}
	}
	return lines.Err()
}

func (o *onboarding) ledgerExport() *cobra.Command {
	var f ledgerFlags
	c := &cobra.Command{
		Use:   "export",
		Short: "Write entries as lines of JSON, with their hashes",
		Long: `Write entries to standard output as lines of JSON, each with its number, its hash
and that of the entry before. Without filters the export can be verified anywhere
by 'moneyer ledger verify --file'.`,
		Example: `  moneyer ledger export > ledger.ndjson
  moneyer ledger export --after 120000 >> ledger.ndjson`,
		Args: noArguments,
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
	c.Flags().StringVar(&f.after, "after", "", "entries after that `number`")
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
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			newest, err := o.newest(c.Context(), &f, max(limit, 1))
			if err != nil {
				return err
			}
			var rows [][]string
			for i := range newest {
				row, err := o.entryRow(&newest[i])
				if err != nil {
					return trouble(err)
				}
				rows = append(rows, row)
			}
			return o.shown(newest, []string{"ENTRY", "TIME", "KIND", "ISSUER", "CLIENT", "WHAT"}, rows)
		},
	}
	f.add(c, o)
	c.Flags().IntVar(&limit, "limit", 50, "show at most so `many`")
	return c
}

// newest keeps the last entries that the flags select.
func (o *onboarding) newest(ctx context.Context, f *ledgerFlags, limit int) ([]admin.Record, error) {
	newest := []admin.Record{}
	err := o.entries(ctx, f, func(line []byte) error {
		var r admin.Record
		if err := json.Unmarshal(line, &r); err != nil {
			return err
		}
		if newest = append(newest, r); len(newest) == 2*limit {
			newest = newest[:copy(newest, newest[limit:])]
		}
		return nil
	})
	return newest[max(0, len(newest)-limit):], err
}

func (o *onboarding) entryRow(r *admin.Record) ([]string, error) {
	var e authority.Entry
	if err := json.Unmarshal(r.Entry, &e); err != nil {
		return nil, err
	}
	return []string{strconv.FormatInt(r.Seq, 10), e.Time.UTC().Format("2006-01-02 15:04:05Z"), string(e.Kind), visible(e.Issuer),
		visible(cmp.Or(e.Client, "-")), visible(entryWords(&e))}, nil
}

// entryWords says in a few words what an entry records.
func entryWords(e *authority.Entry) string {
	switch e.Kind {
	case authority.EntryToken:
		return fmt.Sprintf("token %s for %s by %s", e.JTI, e.Subject, e.Credential)
	case authority.EntryRefusal:
		return fmt.Sprintf("%s: %s: expected %s, found %s", e.Code, e.Rule, e.Expected, e.Found)
	case authority.EntryRefusals:
		return fmt.Sprintf("%d further refusals", e.Count)
	default:
		words := fmt.Sprintf("%s %s by %s", e.Action, e.Object, e.Actor)
		if e.Count > 0 {
			words += fmt.Sprintf(" (%d rows)", e.Count)
		}
		return words
	}
}

func (o *onboarding) ledgerVerify() *cobra.Command {
	var file, storeFile string
	c := &cobra.Command{
		Use:   "verify",
		Short: "Follow the chain of hashes, and name the first broken entry",
		Long: `Follow the chain of hashes along the whole ledger, on the server, in an export or
in a backup, and name the first entry that is not as it was recorded. The exit
code is 1 when there is one.

Note the head elsewhere: a later ledger that lacks it was cut or rewritten.`,
		Example: `  moneyer ledger verify
  moneyer ledger verify --file ledger.ndjson     without a server
  moneyer ledger verify --store backup.db        without a server`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			verify := func() (admin.Verified, error) { return o.verifyServer(c.Context()) }
			switch {
			case file != "":
				verify = func() (admin.Verified, error) { return o.verifyFile(file) }
			case storeFile != "":
				verify = func() (admin.Verified, error) { return verifyStore(c.Context(), storeFile) }
			}
			v, err := verify()
			if err != nil {
				return err
			}
			return o.verified(&v)
		},
	}
	c.Flags().StringVar(&file, "file", "", "verify that export, or standard input when it is called '-', not the server's ledger")
	c.Flags().StringVar(&storeFile, "store", "", "verify the ledger in that `file`, a backup or a store whose server is down")
	c.MarkFlagsMutuallyExclusive("file", "store")
	return c
}

func (o *onboarding) verifyServer(ctx context.Context) (v admin.Verified, err error) {
	api, err := o.open()
	if err != nil {
		return v, err
	}
	return v, api.do(ctx, http.MethodGet, api.path("ledger", "verify"), nil, &v)
}

func (o *onboarding) verified(v *admin.Verified) error {
	switch {
	case o.json:
		if err := o.printJSON(v); err != nil {
			return err
		}
	case v.Whole && v.Last == 0:
		fmt.Fprintln(o.out, "there are no entries")
	case v.Whole:
		fmt.Fprintf(o.out, "%s: entries %d to %d; the head is %s\n", o.paint(good, "whole"), v.First, v.Last, v.Head)
	default:
		fmt.Fprintf(o.out, "%s: entry %d: %s\n", o.paint(bad, "broken"), v.Broken, visible(v.How))
	}
	if !v.Whole {
		return refused(errSilent)
	}
	return nil
}

// verifyFile follows the chain along an export.
func (o *onboarding) verifyFile(name string) (admin.Verified, error) {
	in := o.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return admin.Verified{}, usage(err)
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	var w exportWalk
	err := eachLine(in, w.line)
	var broken *brokenExport
	if err != nil && !errors.As(err, &broken) {
		return admin.Verified{}, usagef("%s: %w", name, err)
	}
	v := admin.Verified{Whole: broken == nil, First: w.first, Last: w.last, Head: hex.EncodeToString(w.head[:])}
	if broken != nil {
		v.Broken, v.How = broken.seq, broken.how
	}
	return v, nil
}

// brokenExport names the first entry of an export that is not as it was recorded.
type brokenExport struct {
	seq int64
	how string
}

func (e *brokenExport) Error() string { return fmt.Sprintf("entry %d: %s", e.seq, e.how) }

// exportWalk follows the chain. What was pruned before the first entry is not
// its business.
type exportWalk struct {
	first, last int64
	head        [32]byte
}

func (w *exportWalk) line(line []byte) error {
	r, err := admin.ParseRecord(line)
	switch {
	case err != nil:
		return &brokenExport{w.last + 1, err.Error()}
	case r.Hash != authority.ChainHash(r.Previous, r.Line):
		return &brokenExport{r.Seq, "it was changed: its hash is not that of what it says"}
	case w.first == 0 && r.Seq == 1 && r.Previous != [32]byte{}:
		return &brokenExport{r.Seq, "it claims a predecessor"}
	case w.first == 0:
		w.first = r.Seq
	case r.Seq > w.last+1:
		return &brokenExport{w.last + 1, "it is missing (only an export without filters can be verified)"}
	case r.Seq <= w.last:
		return &brokenExport{r.Seq, "it is there twice, or out of order"}
	case r.Previous != w.head:
		return &brokenExport{r.Seq, "it does not follow from the entry before"}
	}
	w.last, w.head = r.Seq, r.Hash
	return nil
}
