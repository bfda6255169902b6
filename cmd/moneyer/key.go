package main

import (
	"net/http"

	"github.com/spf13/cobra"

	"moneyer/internal/admin"
)

var keyHeading = []string{"KEY", "ALG", "STATE", "FROM", "UNTIL", "LAST USED", "THUMBPRINT"}

func (o *onboarding) keyRows(keys []admin.Key) [][]string {
	var rows [][]string
	for i := range keys {
		k := &keys[i]
		rows = append(rows, []string{visible(k.Kid), k.Alg, o.state(k.Disabled, k.NotBefore, k.NotAfter),
			o.when(k.NotBefore, "always"), o.when(k.NotAfter, "no end"), o.when(k.LastUsed, "never"), k.Thumbprint})
	}
	return rows
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
	}, o.keyAdd(), o.keyList(), o.keySet(), o.keySwitch("disable", true), o.keySwitch("enable", false), o.keyRemove())
}

const momentWords = "a `time`, a date, a span from now such as 90d, or never"

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
		ValidArgsFunction: o.completeIDs("clients"),
		RunE: func(c *cobra.Command, args []string) error {
			data, err := o.readFile(args[1])
			if err != nil {
				return usage(err)
			}
			members := map[string]any{"key": string(data)}
			if kid != "" {
				members["kid"] = kid
			}
			if alg != "" {
				members["alg"] = alg
			}
			if err := o.keyTimes(c, members); err != nil {
				return err
			}
			api, path, err := o.below(c.Context(), "clients", args[0], "keys")
			if err != nil {
				return err
			}
			var key admin.Key
			if err := api.do(c.Context(), http.MethodPost, path, members, &key); err != nil {
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

func (o *onboarding) keyTimes(c *cobra.Command, members map[string]any) error {
	if err := o.setMoment(c, "not-before", members); err != nil {
		return err
	}
	return o.setMoment(c, "not-after", members)
}

func (o *onboarding) keyList() *cobra.Command {
	return &cobra.Command{
		Use:               "list CLIENT",
		Short:             "List the keys of a client, and when each was last used",
		Example:           `  moneyer key list merchant01 --issuer d1`,
		Args:              wants("CLIENT"),
		ValidArgsFunction: o.completeIDs("clients"),
		RunE: func(c *cobra.Command, args []string) error {
			api, path, err := o.below(c.Context(), "clients", args[0], "keys")
			if err != nil {
				return err
			}
			keys, err := list[admin.Key](c.Context(), api, path)
			if err != nil {
				return err
			}
			return o.shown(keys, keyHeading, o.keyRows(keys))
		},
	}
}

func (o *onboarding) keySet() *cobra.Command {
	c := &cobra.Command{
		Use:               "set CLIENT KID",
		Short:             "Change from when and until when a key is good",
		Example:           `  moneyer key set merchant01 key-1 --issuer d1 --not-after 7d`,
		Args:              wants("CLIENT", "KID"),
		ValidArgsFunction: o.completeIDs("clients"),
		RunE: func(c *cobra.Command, args []string) error {
			members := map[string]any{}
			if err := o.keyTimes(c, members); err != nil {
				return err
			}
			if len(members) == 0 {
				return usagef("nothing to change: give --not-before or --not-after")
			}
			return o.patchKey(c, args, members, "changed")
		},
	}
	addKeyTimes(c)
	return c
}

func (o *onboarding) keySwitch(verb string, disabled bool) *cobra.Command {
	short := "Accept a key again"
	if disabled {
		short = "Accept a key no more, from now on"
	}
	return &cobra.Command{
		Use:               verb + " CLIENT KID",
		Short:             short,
		Example:           `  moneyer key ` + verb + ` merchant01 key-1 --issuer d1`,
		Args:              wants("CLIENT", "KID"),
		ValidArgsFunction: o.completeIDs("clients"),
		RunE: func(c *cobra.Command, args []string) error {
			return o.patchKey(c, args, map[string]any{"disabled": disabled}, verb+"d")
		},
	}
}

func (o *onboarding) patchKey(c *cobra.Command, args []string, members map[string]any, what string) error {
	api, path, err := o.below(c.Context(), "clients", args[0], "keys", args[1])
	if err != nil {
		return err
	}
	var key admin.Key
	if err := api.do(c.Context(), http.MethodPatch, path, members, &key); err != nil {
		return err
	}
	return o.done(key, "key %s of client %s is %s; last used: %s", key.Kid, args[0], what, o.when(key.LastUsed, "never"))
}

func (o *onboarding) keyRemove() *cobra.Command {
	return &cobra.Command{
		Use:               "remove CLIENT KID",
		Short:             "Remove a key",
		Example:           `  moneyer key remove merchant01 key-1 --issuer d1`,
		Args:              wants("CLIENT", "KID"),
		ValidArgsFunction: o.completeIDs("clients"),
		RunE: func(c *cobra.Command, args []string) error {
			api, path, err := o.below(c.Context(), "clients", args[0], "keys", args[1])
			if err != nil {
				return err
			}
			if err := api.do(c.Context(), http.MethodDelete, path, nil, nil); err != nil {
				return err
			}
			return o.removed("key", args[1], "from client "+args[0])
		},
	}
}
