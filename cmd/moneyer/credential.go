package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"moneyer/internal/adminapi"
	"moneyer/internal/adminclient"
	"moneyer/internal/registry"
)

// credential describes a kind of client credential: its commands and their texts.
type credential struct {
	kind               registry.SecretKind // of a secret or an API key
	command, id        string
	words, one, plural string
	bounds, flags      string // what 'set' changes, and with which flags
	client, example    string // a client, and one of its credentials, in examples

	// set returns the changed credential and when it was last used.
	set    func(context.Context, *adminclient.Issuer, []string, adminapi.CredentialChange) (any, time.Time, error)
	remove func(*adminclient.Issuer, context.Context, string, string) error
}

// credentialVerbs are the commands that all credentials have, and add.
func (o *onboarding) credentialVerbs(n *credential, times func(*cobra.Command), list verb, add *cobra.Command) []*cobra.Command {
	set := o.credentialSet(n)
	times(add)
	times(set)
	verbs := o.switches("CLIENT "+n.id, fmt.Sprintf("Refuse %s from now on", n.one), fmt.Sprintf("Accept %s again", n.one), n.command, n.example,
		func(ctx context.Context, at *adminclient.Issuer, args []string, disabled bool, done string) error {
			return o.setCredential(ctx, at, n, args, adminapi.CredentialChange{Disabled: &disabled}, done)
		})
	return o.ofClients(append(verbs, add, set,
		o.verb("list CLIENT", fmt.Sprintf("List the %s of a client, and when each was last used", n.plural), n.command+" list "+n.client, list),
		o.verb("remove CLIENT "+n.id, "Remove "+n.one, n.command+" remove "+n.example, func(ctx context.Context, at *adminclient.Issuer, args []string) error {
			return o.removed(n.remove(at, ctx, args[0], args[1]), n.words, args[1], "from client "+args[0])
		}))...)
}

func (o *onboarding) credentialSet(n *credential) *cobra.Command {
	return &cobra.Command{
		Use:     "set CLIENT " + n.id,
		Short:   fmt.Sprintf("Change %s %s is valid", n.bounds, n.one),
		Example: fmt.Sprintf("  moneyer %s set %s --not-after 7d", n.command, n.example),
		RunE: func(c *cobra.Command, args []string) error {
			change, err := o.times(c)
			if err != nil {
				return err
			}
			if change == (adminapi.CredentialChange{}) {
				return usagef("nothing to change: give %s", n.flags)
			}
			at, err := o.at(c.Context())
			if err != nil {
				return err
			}
			return o.setCredential(c.Context(), at, n, args, change, "changed")
		},
	}
}

// times reads --not-before and --not-after, where the command has them.
func (o *onboarding) times(c *cobra.Command) (change adminapi.CredentialChange, err error) {
	if change.NotBefore, err = o.moment(c, "not-before"); err != nil {
		return change, err
	}
	change.NotAfter, err = o.moment(c, "not-after")
	return change, err
}

func (o *onboarding) setCredential(ctx context.Context, at *adminclient.Issuer, n *credential, args []string, change adminapi.CredentialChange, done string) error {
	set, lastUsed, err := n.set(ctx, at, args, change)
	return o.outcome(set, err, "%s %s of client %s is %s; last used: %s", n.words, args[1], args[0], done, o.when(lastUsed, "never"))
}
