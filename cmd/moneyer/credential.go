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
	set    func(ctx context.Context, at *adminclient.Issuer, args []string, change adminapi.CredentialChange) (any, time.Time, error)
	remove func(ctx context.Context, at *adminclient.Issuer, args []string) error
	list   func(ctx context.Context, o *onboarding, at *adminclient.Issuer, args []string) error
}

// by returns n with the operations of the API for it. row makes a row of a list.
func by[N any, V interface {
	State() adminapi.CredentialState
}](of func(*adminclient.Issuer) adminclient.Credentials[N, V], heading []string, row func(*onboarding, *V) []string, n credential) *credential {
	n.set = func(ctx context.Context, at *adminclient.Issuer, args []string, change adminapi.CredentialChange) (any, time.Time, error) {
		v, err := of(at).Set(ctx, args[0], args[1], change)
		return v, v.State().LastUsed, err
	}
	n.remove = func(ctx context.Context, at *adminclient.Issuer, args []string) error {
		return of(at).Remove(ctx, args[0], args[1])
	}
	n.list = func(ctx context.Context, o *onboarding, at *adminclient.Issuer, args []string) error {
		all, err := of(at).List(ctx, args[0])
		return show(o, all, err, heading, func(v *V) []string { return row(o, v) })
	}
	return &n
}

// credentialVerbs are the commands that all credentials have, and add.
func (o *onboarding) credentialVerbs(n *credential, times func(*cobra.Command), add *cobra.Command) []*cobra.Command {
	set := o.credentialSet(n)
	times(add)
	times(set)
	verbs := o.switches("CLIENT "+n.id, fmt.Sprintf("Refuse %s from now on", n.one), fmt.Sprintf("Accept %s again", n.one), n.command, n.example,
		func(ctx context.Context, at *adminclient.Issuer, args []string, disabled bool, done string) error {
			return o.setCredential(ctx, at, n, args, adminapi.CredentialChange{Disabled: &disabled}, done)
		})
	return o.ofClients(append(verbs, add, set,
		o.verb("list CLIENT", fmt.Sprintf("List the %s of a client, and when each was last used", n.plural), n.command+" list "+n.client,
			func(ctx context.Context, at *adminclient.Issuer, args []string) error {
				return n.list(ctx, o, at, args)
			}),
		o.verb("remove CLIENT "+n.id, "Remove "+n.one, n.command+" remove "+n.example, func(ctx context.Context, at *adminclient.Issuer, args []string) error {
			return o.removed(n.remove(ctx, at, args), n.words, args[1], "from client "+args[0])
		}))...)
}

func (o *onboarding) credentialSet(n *credential) *cobra.Command {
	return &cobra.Command{
		Use:     "set CLIENT " + n.id,
		Short:   fmt.Sprintf("Change %s %s is valid", n.bounds, n.one),
		Example: fmt.Sprintf("  moneyer %s set %s --not-after 7d", n.command, n.example),
		RunE: func(c *cobra.Command, args []string) error {
			if !c.Flags().Changed("not-before") && !c.Flags().Changed("not-after") {
				return usagef("nothing to change: give %s", n.flags)
			}
			at, change, err := o.atTimes(c)
			if err != nil {
				return err
			}
			return o.setCredential(c.Context(), at, n, args, change, "changed")
		},
	}
}

// atTimes reads --not-before and --not-after, where the command has them, and opens the issuer.
func (o *onboarding) atTimes(c *cobra.Command) (at *adminclient.Issuer, times adminapi.CredentialChange, err error) {
	if times.NotBefore, err = o.moment(c, "not-before"); err != nil {
		return nil, times, err
	}
	if times.NotAfter, err = o.moment(c, "not-after"); err != nil {
		return nil, times, err
	}
	at, err = o.at(c.Context())
	return at, times, err
}

func (o *onboarding) setCredential(ctx context.Context, at *adminclient.Issuer, n *credential, args []string, change adminapi.CredentialChange, done string) error {
	set, lastUsed, err := n.set(ctx, at, args, change)
	return o.outcome(set, err, "%s %s of client %s is %s; last used: %s", n.words, args[1], args[0], done, o.when(lastUsed, "never"))
}
