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
	return []string{s.ID, secretWords[s.Kind], o.state(s.Disabled, time.Time{}, s.NotAfter),
		o.when(s.Created, ""), o.when(s.NotAfter, "no end"), o.when(s.LastUsed, "never")}
}

var (
	secretWords = map[registry.SecretKind]string{registry.ClientSecret: "client secret", registry.APIKey: "API key"}
	secretNouns = map[registry.SecretKind]*credential{
		registry.ClientSecret: secretNoun(registry.ClientSecret, "secret", "a", "shop --issuer bolt"),
		registry.APIKey:       secretNoun(registry.APIKey, "apikey", "an", "gateway --issuer etp"),
	}
)

func secretNoun(kind registry.SecretKind, command, article, client string) *credential {
	words := secretWords[kind]
	n := by((*adminclient.Issuer).Secrets, secretHeading, (*onboarding).secretRow, credential{kind: kind, command: command, id: "ID",
		words: words, one: article + " " + words, plural: words + "s", bounds: "until when", flags: "--not-after", client: client, example: client + " ID"})
	n.list = func(ctx context.Context, o *onboarding, at *adminclient.Issuer, args []string) error {
		all, err := at.Secrets().List(ctx, args[0])
		all = slices.DeleteFunc(all, func(s adminapi.Secret) bool { return s.Kind != kind })
		return show(o, all, err, secretHeading, o.secretRow)
	}
	return n
}

// secretCommand is 'moneyer secret' or 'moneyer apikey'.
func (o *onboarding) secretCommand(kind registry.SecretKind) *cobra.Command {
	n := secretNouns[kind]
	return o.ofIssuer(&cobra.Command{
		Use:   n.command,
		Short: fmt.Sprintf("Generate and change the %s of clients", n.plural),
		Long: fmt.Sprintf(`A client may have several %s at once. To rotate one without an interruption,
add a new one, transfer it, wait until the old one is no longer used (LAST USED of
'moneyer %s list'), then remove it. Only a keyed hash is stored: the text is shown
once.`, n.plural, n.command),
		Example: fmt.Sprintf(`  moneyer %[1]s add %[2]s --not-after 365d
  moneyer %[1]s list %[2]s`, n.command, n.client),
	}, o.credentialVerbs(n, untilTimes, o.secretAdd(n))...)
}

func untilTimes(c *cobra.Command) {
	c.Flags().String("not-after", "", "it is valid until: "+momentWords)
}

func (o *onboarding) secretAdd(n *credential) *cobra.Command {
	return &cobra.Command{
		Use:   "add CLIENT",
		Short: fmt.Sprintf("Generate a new %s and print it once", n.words),
		Long: fmt.Sprintf(`Generate a new %s of 256 random bits. Only its text goes to standard output,
without a line end unless that is a terminal, so that a file can be sent as it is. It
is not stored and cannot be shown again.`, n.words),
		Example: fmt.Sprintf("  moneyer %s add %s > secret.txt", n.command, n.client),
		RunE: func(c *cobra.Command, args []string) error {
			at, times, err := o.atTimes(c)
			if err != nil {
				return err
			}
			made, err := at.Secrets().Add(c.Context(), args[0], adminapi.NewSecret{Kind: n.kind, NotAfter: times.NotAfter})
			if err != nil {
				return err
			}
			if o.json {
				return o.printJSON(made)
			}
			o.note("%s %s is registered for client %s of issuer %s; it is not shown again", n.words, made.ID, args[0], o.issuer)
			return o.printValue(made.Text)
		},
	}
}
