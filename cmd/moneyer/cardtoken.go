package main

import (
	"net/http"

	"github.com/spf13/cobra"

	"moneyer/internal/registry"
)

var cardTokenRows = rowKind{command: "cardtoken", plural: "card tokens", path: "card-tokens:import", columns: []string{"id", "merchant", "scheme"},
	example: `  {"id":"tok-1","merchant":"m-1","scheme":"visa"}

or, as CSV:

  id,merchant,scheme
  tok-1,m-1,visa`}

func (o *onboarding) cardTokenCommand() *cobra.Command {
	return o.ofIssuer(&cobra.Command{
		Use:   "cardtoken",
		Short: "Register card tokens of merchants",
		Long: `A card token is a scheme token, such as of Visa or Mastercard, that belongs to a
merchant. It is neither an access token nor a card number.`,
		Example: `  moneyer cardtoken add tok-1 --issuer etp --merchant m-1 --scheme visa
  moneyer cardtoken import tokens.csv --issuer etp`,
	}, o.cardTokenAdd(), o.cardTokenList(), o.importCommand(cardTokenRows), o.cardTokenRemove())
}

func (o *onboarding) cardTokenAdd() *cobra.Command {
	var token registry.CardToken
	c := &cobra.Command{
		Use:     "add TOKEN",
		Short:   "Register a card token, or change its scheme",
		Example: `  moneyer cardtoken add tok-1 --issuer etp --merchant m-1 --scheme visa`,
		Args:    wants("TOKEN"),
		RunE: func(c *cobra.Command, args []string) error {
			api, path, err := o.below(c.Context(), "card-tokens", args[0])
			if err != nil {
				return err
			}
			members := map[string]any{"merchant": token.Merchant, "scheme": token.Scheme}
			var made registry.CardToken
			if err := api.do(c.Context(), http.MethodPut, path, members, &made); err != nil {
				return err
			}
			return o.done(made, "card token %s (%s) of merchant %s is registered with issuer %s", made.ID, made.Scheme, made.Merchant, made.Issuer)
		},
	}
	c.Flags().StringVar(&token.Merchant, "merchant", "", "the `merchant` to whom it belongs")
	c.Flags().StringVar(&token.Scheme, "scheme", "", "the card `scheme` in lower case, such as visa or mastercard")
	complete(c, "scheme", "visa", "mastercard")
	return c
}

func (o *onboarding) cardTokenList() *cobra.Command {
	return &cobra.Command{
		Use:               "list MERCHANT",
		Short:             "List the card tokens of a merchant",
		Example:           `  moneyer cardtoken list m-1 --issuer etp`,
		Args:              wants("MERCHANT"),
		ValidArgsFunction: o.completeIDs("merchants"),
		RunE: func(c *cobra.Command, args []string) error {
			api, path, err := o.below(c.Context(), "merchants", args[0], "card-tokens")
			if err != nil {
				return err
			}
			tokens, err := list[registry.CardToken](c.Context(), api, path)
			if err != nil {
				return err
			}
			var rows [][]string
			for _, t := range tokens {
				rows = append(rows, []string{visible(t.ID), visible(t.Scheme)})
			}
			return o.shown(tokens, []string{"TOKEN", "SCHEME"}, rows)
		},
	}
}

func (o *onboarding) cardTokenRemove() *cobra.Command {
	return &cobra.Command{
		Use:     "remove TOKEN",
		Short:   "Remove a card token",
		Example: `  moneyer cardtoken remove tok-1 --issuer etp`,
		Args:    wants("TOKEN"),
		RunE: func(c *cobra.Command, args []string) error {
			api, path, err := o.below(c.Context(), "card-tokens", args[0])
			if err != nil {
				return err
			}
			if err := api.do(c.Context(), http.MethodDelete, path, nil, nil); err != nil {
				return err
			}
			return o.removed("card token", args[0], "")
		},
	}
}
