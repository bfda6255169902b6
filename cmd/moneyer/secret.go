package main

import (
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"moneyer/internal/admin"
	"moneyer/internal/registry"
)

var secretHeading = []string{"ID", "KIND", "STATE", "MADE", "UNTIL", "LAST USED"}

func (o *onboarding) secretRows(secrets []admin.Secret) [][]string {
	var rows [][]string
	for i := range secrets {
		s := &secrets[i]
		rows = append(rows, []string{s.ID, secretNouns[s.Kind].words, o.state(s.Disabled, time.Time{}, s.NotAfter),
			o.when(s.Created, ""), o.when(s.NotAfter, "no end"), o.when(s.LastUsed, "never")})
	}
	return rows
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
	}, o.secretAdd(n), o.secretList(n), o.secretSet(n), o.secretSwitch(n, "disable", true), o.secretSwitch(n, "enable", false), o.secretRemove(n))
}

func (o *onboarding) secretAdd(n secretNoun) *cobra.Command {
	c := &cobra.Command{
		Use:   "add CLIENT",
		Short: fmt.Sprintf("Make a new %s and print it, this once", n.words),
		Long: fmt.Sprintf(`Make a new %s of 256 random bits. Its text is all that goes to standard
output; it is kept nowhere and cannot be shown again.`, n.words),
		Example:           fmt.Sprintf("  moneyer %s add %s > secret.txt", n.command, n.client),
		Args:              wants("CLIENT"),
		ValidArgsFunction: o.completeIDs("clients"),
		RunE: func(c *cobra.Command, args []string) error {
			members := map[string]any{"kind": n.kind}
			if err := o.setMoment(c, "not-after", members); err != nil {
				return err
			}
			api, path, err := o.below(c.Context(), "clients", args[0], "secrets")
			if err != nil {
				return err
			}
			var made admin.Secret
			if err := api.do(c.Context(), http.MethodPost, path, members, &made); err != nil {
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
		ValidArgsFunction: o.completeIDs("clients"),
		RunE: func(c *cobra.Command, args []string) error {
			api, path, err := o.below(c.Context(), "clients", args[0], "secrets")
			if err != nil {
				return err
			}
			all, err := list[admin.Secret](c.Context(), api, path)
			if err != nil {
				return err
			}
			ofKind := []admin.Secret{}
			for _, s := range all {
				if s.Kind == n.kind {
					ofKind = append(ofKind, s)
				}
			}
			return o.shown(ofKind, secretHeading, o.secretRows(ofKind))
		},
	}
}

func (o *onboarding) secretSet(n secretNoun) *cobra.Command {
	c := &cobra.Command{
		Use:               "set CLIENT ID",
		Short:             fmt.Sprintf("Change until when %s is good", n.one),
		Example:           fmt.Sprintf("  moneyer %s set %s ID --not-after 7d", n.command, n.client),
		Args:              wants("CLIENT", "ID"),
		ValidArgsFunction: o.completeIDs("clients"),
		RunE: func(c *cobra.Command, args []string) error {
			members := map[string]any{}
			if err := o.setMoment(c, "not-after", members); err != nil {
				return err
			}
			if len(members) == 0 {
				return usagef("nothing to change: give --not-after")
			}
			return o.patchSecret(c, args, members, n, "changed")
		},
	}
	c.Flags().String("not-after", "", "from when on it is no longer good: "+momentWords)
	return c
}

func (o *onboarding) secretSwitch(n secretNoun, verb string, disabled bool) *cobra.Command {
	short := fmt.Sprintf("Accept %s again", n.one)
	if disabled {
		short = fmt.Sprintf("Accept %s no more, from now on", n.one)
	}
	return &cobra.Command{
		Use:               verb + " CLIENT ID",
		Short:             short,
		Example:           fmt.Sprintf("  moneyer %s %s %s ID", n.command, verb, n.client),
		Args:              wants("CLIENT", "ID"),
		ValidArgsFunction: o.completeIDs("clients"),
		RunE: func(c *cobra.Command, args []string) error {
			return o.patchSecret(c, args, map[string]any{"disabled": disabled}, n, verb+"d")
		},
	}
}

func (o *onboarding) patchSecret(c *cobra.Command, args []string, members map[string]any, n secretNoun, what string) error {
	api, path, err := o.below(c.Context(), "clients", args[0], "secrets", args[1])
	if err != nil {
		return err
	}
	var secret admin.Secret
	if err := api.do(c.Context(), http.MethodPatch, path, members, &secret); err != nil {
		return err
	}
	return o.done(secret, "%s %s of client %s is %s; last used: %s", n.words, secret.ID, args[0], what, o.when(secret.LastUsed, "never"))
}

func (o *onboarding) secretRemove(n secretNoun) *cobra.Command {
	return &cobra.Command{
		Use:               "remove CLIENT ID",
		Short:             fmt.Sprintf("Remove %s", n.one),
		Example:           fmt.Sprintf("  moneyer %s remove %s ID", n.command, n.client),
		Args:              wants("CLIENT", "ID"),
		ValidArgsFunction: o.completeIDs("clients"),
		RunE: func(c *cobra.Command, args []string) error {
			api, path, err := o.below(c.Context(), "clients", args[0], "secrets", args[1])
			if err != nil {
				return err
			}
			if err := api.do(c.Context(), http.MethodDelete, path, nil, nil); err != nil {
				return err
			}
			return o.removed(n.words, args[1], "from client "+args[0])
		},
	}
}
