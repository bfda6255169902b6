package main

import (
	"context"
	"moneyer/internal/adminapi"
	"moneyer/internal/adminclient"

	"github.com/spf13/cobra"
)

var keyHeading = []string{"KEY", "ALG", "STATE", "FROM", "UNTIL", "LAST USED", "THUMBPRINT"}

func (o *onboarding) keyRow(k *adminapi.Key) []string {
	return []string{visible(k.Kid), k.Alg, o.state(k.Disabled, k.NotBefore, k.NotAfter),
		o.when(k.NotBefore, "always"), o.when(k.NotAfter, "no end"), o.when(k.LastUsed, "never"), k.Thumbprint}
}

func (o *onboarding) keyCommand() *cobra.Command {
	return o.ofIssuer(&cobra.Command{
		Use:   "key",
		Short: "Register and change the public keys of clients",
		Long: `A client signs its assertions with a private key of its own; registered here is
the public half, under a kid. To change keys without an interruption, add the new
one, wait until the old one is no longer used ('moneyer key list' tells when each
was), then remove it.`,
		Example: `  moneyer key add merchant01 public.pem --issuer d1 --kid key-2 --not-after 365d
  moneyer key list merchant01 --issuer d1`,
	}, append(o.keySwitches(), o.keyAdd(), o.keyList(), o.keySet(), o.keyRemove())...)
}

func (o *onboarding) keyAdd() *cobra.Command {
	var kid, alg string
	c := &cobra.Command{
		Use:   "add CLIENT FILE",
		Short: "Register a public key: PEM, certificate or JWK",
		Long: `Register a public key out of a file, or standard input when it is called '-': PEM
as 'openssl ec -pubout' writes it, a certificate, or a JWK. Its kid is that of
--kid, else that of the JWK, else the thumbprint. A key whose private half is in
the file, or is published, is refused.`,
		Example: `  moneyer key add merchant01 public.pem --issuer d1 --kid key-1
  openssl pkey -in private.pem -pubout | moneyer key add merchant01 - --issuer d1`,
		Args:              wants("CLIENT", "FILE"),
		ValidArgsFunction: o.completeClients,
		RunE: func(c *cobra.Command, args []string) error {
			data, err := o.readFile(args[1])
			if err != nil {
				return usage(err)
			}
			times, err := o.keyTimes(c)
			if err != nil {
				return err
			}
			at, err := o.at(c.Context())
			if err != nil {
				return err
			}
			key, err := at.AddKey(c.Context(), args[0], adminapi.NewKey{Key: string(data), Kid: kid, Alg: alg, NotBefore: times.NotBefore, NotAfter: times.NotAfter})
			if err != nil {
				return err
			}
			return o.done(key, "key %s (%s, thumbprint %s) is registered for client %s of issuer %s", key.Kid, key.Alg, key.Thumbprint, args[0], o.issuer)
		},
	}
	c.Flags().StringVar(&kid, "kid", "", "the `name` of the key in the header of assertions")
	c.Flags().StringVar(&alg, "alg", "", "the `algorithm` of its signatures, where the key does not tell (RS256 or PS256)")
	complete(c, "alg", algs()...)
	addKeyTimes(c)
	return c
}

func addKeyTimes(c *cobra.Command) {
	c.Flags().String("not-before", "", "from when on the key is good: "+momentWords)
	c.Flags().String("not-after", "", "from when on it no longer is: "+momentWords)
}

func (o *onboarding) keyTimes(c *cobra.Command) (change adminapi.KeyChange, err error) {
	if change.NotBefore, err = o.moment(c, "not-before"); err != nil {
		return change, err
	}
	change.NotAfter, err = o.moment(c, "not-after")
	return change, err
}

func (o *onboarding) keyList() *cobra.Command {
	return &cobra.Command{
		Use:               "list CLIENT",
		Short:             "List the keys of a client, and when each was last used",
		Example:           `  moneyer key list merchant01 --issuer d1`,
		Args:              wants("CLIENT"),
		ValidArgsFunction: o.completeClients,
		RunE: o.run(func(ctx context.Context, at *adminclient.Issuer, args []string) error {
			keys, err := at.Keys(ctx, args[0])
			return show(o, keys, err, keyHeading, o.keyRow)
		}),
	}
}

func (o *onboarding) keySet() *cobra.Command {
	c := &cobra.Command{
		Use:               "set CLIENT KID",
		Short:             "Change from when and until when a key is good",
		Example:           `  moneyer key set merchant01 key-1 --issuer d1 --not-after 7d`,
		Args:              wants("CLIENT", "KID"),
		ValidArgsFunction: o.completeClients,
		RunE: func(c *cobra.Command, args []string) error {
			change, err := o.keyTimes(c)
			if err != nil {
				return err
			}
			if change == (adminapi.KeyChange{}) {
				return usagef("nothing to change: give --not-before or --not-after")
			}
			at, err := o.at(c.Context())
			if err != nil {
				return err
			}
			return o.setKey(c.Context(), at, args, change, "changed")
		},
	}
	addKeyTimes(c)
	return c
}

func (o *onboarding) keySwitches() []*cobra.Command {
	return o.switches([]string{"CLIENT", "KID"}, "Accept a key no more, from now on", "Accept a key again",
		func(verb string) string { return "  moneyer key " + verb + " merchant01 key-1 --issuer d1" },
		func(ctx context.Context, at *adminclient.Issuer, args []string, disabled bool, done string) error {
			return o.setKey(ctx, at, args, adminapi.KeyChange{Disabled: &disabled}, done)
		})
}

func (o *onboarding) setKey(ctx context.Context, at *adminclient.Issuer, args []string, change adminapi.KeyChange, done string) error {
	key, err := at.SetKey(ctx, args[0], args[1], change)
	if err != nil {
		return err
	}
	return o.done(key, "key %s of client %s is %s; last used: %s", key.Kid, args[0], done, o.when(key.LastUsed, "never"))
}

func (o *onboarding) keyRemove() *cobra.Command {
	return &cobra.Command{
		Use:               "remove CLIENT KID",
		Short:             "Remove a key",
		Example:           `  moneyer key remove merchant01 key-1 --issuer d1`,
		Args:              wants("CLIENT", "KID"),
		ValidArgsFunction: o.completeClients,
		RunE: o.run(func(ctx context.Context, at *adminclient.Issuer, args []string) error {
			return o.removed(at.RemoveKey(ctx, args[0], args[1]), "key", args[1], "from client "+args[0])
		}),
	}
}
