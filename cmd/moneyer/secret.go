package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"moneyer/internal/adminapi"
	"moneyer/internal/adminclient"
	"moneyer/internal/registry"
)

var secretHeading = []string{"ID", "KIND", "STATE", "MADE", "UNTIL", "LAST USED"}

func (o *onboarding) secretRow(s *adminapi.Secret) []string {
	return []string{s.ID, secretNouns[s.Kind].words, o.state(s.Disabled, time.Time{}, s.NotAfter),
		o.when(s.Created, ""), o.when(s.NotAfter, "no end"), o.when(s.LastUsed, "never")}
}

// secretNoun is one of the two kinds of secrets as the commands call it.
type secretNoun struct {
	kind               registry.SecretKind
	command            string
	words, one, plural string
	client             string // in examples
}

var secretNouns = map[registry.SecretKind]secretNoun{
	registry.ClientSecret: {registry.ClientSecret, "secret", "client secret", "a client secret", "client secrets", "shop --issuer bolt"},
	registry.APIKey:       {registry.APIKey, "apikey", "API key", "an API key", "API keys", "gateway --issuer etp"},
}

// secretCommand is 'moneyer secret' or 'moneyer apikey'.
func (o *onboarding) secretCommand(kind registry.SecretKind) *cobra.Command {
	n := secretNouns[kind]
	return o.ofIssuer(&cobra.Command{
		Use:   n.command,
		Short: fmt.Sprintf("Make and change the %s of clients", n.plural),
		Long: fmt.Sprintf(`A client may have several %s at once. To change one without an interruption,
add a new one, hand it over, wait until the old one is no longer used
('moneyer %s list' tells when each was), then remove it. Only a keyed hash is
kept: the text is shown once.`, n.plural, n.command),
		Example: fmt.Sprintf(`  moneyer %[1]s add %[2]s --not-after 365d
  moneyer %[1]s list %[2]s`, n.command, n.client),
	}, append(o.secretSwitches(n), o.secretAdd(n), o.secretList(n), o.secretSet(n), o.secretRemove(n))...)
}

func (o *onboarding) secretAdd(n secretNoun) *cobra.Command {
	c := &cobra.Command{
		Use:   "add CLIENT",
		Short: fmt.Sprintf("Make a new %s and print it, this once", n.words),
		Long: fmt.Sprintf(`Make a new %s of 256 random bits. Its text is all that goes to standard
output; it is kept nowhere and cannot be shown again.`, n.words),
		Example:           fmt.Sprintf("  moneyer %s add %s > secret.txt", n.command, n.client),
		Args:              wants("CLIENT"),
		ValidArgsFunction: o.completeClients,
		RunE: func(c *cobra.Command, args []string) error {
			notAfter, err := o.moment(c, "not-after")
			if err != nil {
				return err
			}
			at, err := o.at(c.Context())
			if err != nil {
				return err
			}
			made, err := at.AddSecret(c.Context(), args[0], adminapi.NewSecret{Kind: n.kind, NotAfter: notAfter})
			if err != nil {
				return err
			}
			if o.json {
				return o.printJSON(made)
			}
			o.note("%s %s is registered for client %s of issuer %s; this is the only time that it is shown", n.words, made.ID, args[0], o.issuer)
			_, err = fmt.Fprintln(o.out, made.Text)
			return err
		},
	}
	c.Flags().String("not-after", "", "from when on it is no longer good: "+momentWords)
	return c
}

func (o *onboarding) secretList(n secretNoun) *cobra.Command {
	return &cobra.Command{
		Use:               "list CLIENT",
		Short:             fmt.Sprintf("List the %s of a client, and when each was last used", n.plural),
		Example:           fmt.Sprintf("  moneyer %s list %s", n.command, n.client),
		Args:              wants("CLIENT"),
		ValidArgsFunction: o.completeClients,
		RunE: o.run(func(ctx context.Context, at *adminclient.Issuer, args []string) error {
			secrets, err := at.Secrets(ctx, args[0])
			secrets = slices.DeleteFunc(secrets, func(s adminapi.Secret) bool { return s.Kind != n.kind })
			return show(o, secrets, err, secretHeading, o.secretRow)
		}),
	}
}

func (o *onboarding) secretSet(n secretNoun) *cobra.Command {
	c := &cobra.Command{
		Use:               "set CLIENT ID",
		Short:             fmt.Sprintf("Change until when %s is good", n.one),
		Example:           fmt.Sprintf("  moneyer %s set %s ID --not-after 7d", n.command, n.client),
		Args:              wants("CLIENT", "ID"),
		ValidArgsFunction: o.completeClients,
		RunE: func(c *cobra.Command, args []string) error {
			notAfter, err := o.moment(c, "not-after")
			if err != nil {
				return err
			}
			if notAfter == nil {
				return usagef("nothing to change: give --not-after")
			}
			at, err := o.at(c.Context())
			if err != nil {
				return err
			}
			return o.setSecret(c.Context(), at, n, args, adminapi.SecretChange{NotAfter: notAfter}, "changed")
		},
	}
	c.Flags().String("not-after", "", "from when on it is no longer good: "+momentWords)
	return c
}

func (o *onboarding) secretSwitches(n secretNoun) []*cobra.Command {
	return o.switches([]string{"CLIENT", "ID"}, fmt.Sprintf("Accept %s no more, from now on", n.one), fmt.Sprintf("Accept %s again", n.one),
		func(verb string) string { return fmt.Sprintf("  moneyer %s %s %s ID", n.command, verb, n.client) },
		func(ctx context.Context, at *adminclient.Issuer, args []string, disabled bool, done string) error {
			return o.setSecret(ctx, at, n, args, adminapi.SecretChange{Disabled: &disabled}, done)
		})
}

func (o *onboarding) setSecret(ctx context.Context, at *adminclient.Issuer, n secretNoun, args []string, change adminapi.SecretChange, done string) error {
	secret, err := at.SetSecret(ctx, args[0], args[1], change)
	if err != nil {
		return err
	}
	return o.done(secret, "%s %s of client %s is %s; last used: %s", n.words, secret.ID, args[0], done, o.when(secret.LastUsed, "never"))
}

func (o *onboarding) secretRemove(n secretNoun) *cobra.Command {
	return &cobra.Command{
		Use:               "remove CLIENT ID",
		Short:             fmt.Sprintf("Remove %s", n.one),
		Example:           fmt.Sprintf("  moneyer %s remove %s ID", n.command, n.client),
		Args:              wants("CLIENT", "ID"),
		ValidArgsFunction: o.completeClients,
		RunE: o.run(func(ctx context.Context, at *adminclient.Issuer, args []string) error {
			return o.removed(at.RemoveSecret(ctx, args[0], args[1]), n.words, args[1], "from client "+args[0])
		}),
	}
}
