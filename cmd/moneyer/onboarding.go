package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"moneyer/internal/adminapi"
	"moneyer/internal/adminclient"
)

// onboarding is the state that the commands of the admin API share.
type onboarding struct {
	*app
	file, issuer, cacert string // the flags
	api                  *adminclient.Client
}

// noun adds --admin and the verbs to the command of a noun.
func (o *onboarding) noun(c *cobra.Command, verbs ...*cobra.Command) *cobra.Command {
	c.PersistentFlags().StringVar(&o.file, "admin", "", "the admin `file` (default $MONEYER_ADMIN, else "+adminclient.DefaultFile+")")
	addCAFlag(c.PersistentFlags(), &o.cacert)
	c.AddCommand(verbs...)
	return c
}

// ofIssuer is noun with --issuer, for the resources of an issuer.
func (o *onboarding) ofIssuer(c *cobra.Command, verbs ...*cobra.Command) *cobra.Command {
	c.PersistentFlags().StringVar(&o.issuer, "issuer", "", "the issuer by its `name` (default the server's only one)")
	completeBy(c, "issuer", o.completeIssuers)
	return o.noun(c, verbs...)
}

// open reads the admin file, once.
func (o *onboarding) open() (*adminclient.Client, error) {
	if o.api != nil {
		return o.api, nil
	}
	path := cmp.Or(o.file, os.Getenv("MONEYER_ADMIN"), adminclient.DefaultFile)
	if _, err := httpClient(o.cacert); err != nil {
		return nil, err
	}
	api, err := adminclient.Open(path, o.cacert, o.now)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usagef("there is no admin file %s: name it with --admin or $MONEYER_ADMIN ('moneyer init' makes the first)", path)
	}
	if err != nil {
		return nil, usage(err)
	}
	o.api = api
	return api, nil
}

// at opens the API at the issuer that --issuer names, by default the server's only
// one.
func (o *onboarding) at(ctx context.Context) (*adminclient.Issuer, error) {
	api, err := o.open()
	if err != nil {
		return nil, err
	}
	if o.issuer == "" {
		if o.issuer, err = onlyIssuer(ctx, api); err != nil {
			return nil, err
		}
	}
	return api.At(o.issuer), nil
}

// verb is an operation at an issuer.
type verb func(ctx context.Context, at *adminclient.Issuer, args []string) error

// run adapts a verb to cobra.
func (o *onboarding) run(do verb) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		at, err := o.at(c.Context())
		if err != nil {
			return err
		}
		return do(c.Context(), at, args)
	}
}

// verb returns the command of a verb without flags.
func (o *onboarding) verb(use, short, example string, do verb) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Example: "  moneyer " + example, RunE: o.run(do)}
}

// onlyIssuer returns the name of the only issuer beside the admin API's own.
func onlyIssuer(ctx context.Context, api *adminclient.Client) (string, error) {
	names, err := issuerNames(ctx, api)
	switch {
	case err != nil:
		return "", err
	case len(names) == 0:
		return "", usagef("the server has no issuer except its own; name that with --issuer, or configure another")
	case len(names) > 1:
		return "", usagef("--issuer is missing: the server has %s", strings.Join(names, ", "))
	}
	return names[0], nil
}

func issuerNames(ctx context.Context, api *adminclient.Client) ([]string, error) {
	issuers, err := api.Issuers(ctx)
	var names []string
	for _, issuer := range issuers {
		if issuer.URL != api.File.Issuer {
			names = append(names, issuer.Name)
		}
	}
	return names, err
}

func (o *onboarding) completeIssuers(c *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var names []string
	if api, err := o.open(); err == nil {
		names, _ = issuerNames(c.Context(), api) // on an error nothing is completed
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeIDs completes the first argument.
func (o *onboarding) completeIDs(list func(*adminclient.Issuer, context.Context) ([]string, error)) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveDefault // a file may follow
		}
		var ids []string
		if at, err := o.at(c.Context()); err == nil {
			ids, _ = list(at, c.Context()) // on an error nothing is completed
		}
		return slices.DeleteFunc(ids, func(id string) bool { return !strings.HasPrefix(id, typed) }), cobra.ShellCompDirectiveNoFileComp
	}
}

// ofClients adds the completion of the first argument, a client.
func (o *onboarding) ofClients(verbs ...*cobra.Command) []*cobra.Command {
	for _, c := range verbs {
		c.ValidArgsFunction = o.completeClients
	}
	return verbs
}

func (o *onboarding) completeClients(c *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return o.completeIDs((*adminclient.Issuer).ClientIDs)(c, args, typed)
}

// switches returns the commands disable and enable of a noun.
func (o *onboarding) switches(arguments, disable, enable, noun, example string,
	set func(ctx context.Context, at *adminclient.Issuer, args []string, disabled bool, done string) error) []*cobra.Command {
	command := func(verb, short string, disabled bool) *cobra.Command {
		return o.verb(verb+" "+arguments, short, noun+" "+verb+" "+example, func(ctx context.Context, at *adminclient.Issuer, args []string) error {
			return set(ctx, at, args, disabled, verb+"d")
		})
	}
	return []*cobra.Command{command("disable", disable, true), command("enable", enable, false)}
}

// moment returns the time of a flag, nil when the flag was not given.
func (o *onboarding) moment(c *cobra.Command, flag string) (*adminapi.Moment, error) {
	if !c.Flags().Changed(flag) {
		return nil, nil
	}
	t, err := parseMoment(flag, c.Flag(flag).Value.String(), o.now())
	return &adminapi.Moment{Time: t}, err
}

// when formats a time relative to now, and the zero time as otherwise.
func (o *onboarding) when(t time.Time, otherwise string) string {
	if t.IsZero() {
		return otherwise
	}
	return inWords(t.Sub(o.now()))
}

// state returns the state of a credential now, in a word.
func (o *onboarding) state(disabled bool, notBefore, notAfter time.Time) string {
	now := o.now()
	switch {
	case disabled:
		return o.paint(bad, "disabled")
	case now.Before(notBefore):
		return "not yet"
	case !notAfter.IsZero() && !now.Before(notAfter):
		return o.paint(bad, "expired")
	default:
		return o.paint(good, "active")
	}
}

// enabled returns the word enabled or disabled.
func (o *onboarding) enabled(disabled bool) string {
	if disabled {
		return o.paint(bad, "disabled")
	}
	return o.paint(good, "enabled")
}

// standing returns the word enabled or disabled, or unverified for what does not verify in
// the store.
func (o *onboarding) standing(disabled, unverified bool) string {
	if unverified {
		return o.paint(bad, "unverified")
	}
	return o.enabled(disabled)
}

// show prints a list, or returns err.
func show[T any](o *onboarding, items []T, err error, heading []string, row func(*T) []string) error {
	if err != nil {
		return err
	}
	return o.shown(items, heading, rowsOf(items, row))
}

// removed reports a removal, or returns err.
func (o *onboarding) removed(err error, what, name, more string) error {
	answer := map[string]string{"removed": what, "id": name, "issuer": o.issuer}
	return o.outcome(answer, err, "%s", strings.TrimSpace(fmt.Sprintf("%s %s of issuer %s is removed %s", what, name, o.issuer, more)))
}
