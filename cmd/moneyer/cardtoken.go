package main

import (
	"context"
	"moneyer/internal/adminapi"
	"moneyer/internal/adminclient"
	"moneyer/internal/registry"

	"github.com/spf13/cobra"
)

var cardTokenRows = rowKind{command: "cardtoken", plural: "card tokens", rows: adminclient.CardTokenRows,
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
	var token adminapi.NewCardToken
	c := &cobra.Command{
		Use:     "add TOKEN",
		Short:   "Register a card token, or change its scheme",
		Example: `  moneyer cardtoken add tok-1 --issuer etp --merchant m-1 --scheme visa`,
		Args:    wants("TOKEN"),
		RunE: o.run(func(ctx context.Context, at *adminclient.Issuer, args []string) error {
			made, err := at.PutCardToken(ctx, args[0], token)
			if err != nil {
				return err
			}
			return o.done(made, "card token %s (%s) of merchant %s is registered with issuer %s", made.ID, made.Scheme, made.Merchant, made.Issuer)
		}),
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
		ValidArgsFunction: o.completeIDs((*adminclient.Issuer).MerchantIDs),
		RunE: o.run(func(ctx context.Context, at *adminclient.Issuer, args []string) error {
			tokens, err := at.CardTokens(ctx, args[0])
			return show(o, tokens, err, []string{"TOKEN", "SCHEME"}, func(t *registry.CardToken) []string {
				return []string{visible(t.ID), visible(t.Scheme)}
			})
		}),
	}
}

func (o *onboarding) cardTokenRemove() *cobra.Command {
	return &cobra.Command{
		Use:     "remove TOKEN",
		Short:   "Remove a card token",
		Example: `  moneyer cardtoken remove tok-1 --issuer etp`,
		Args:    wants("TOKEN"),
		RunE: o.run(func(ctx context.Context, at *adminclient.Issuer, args []string) error {
			return o.removed(at.RemoveCardToken(ctx, args[0]), "card token", args[0], "")
		}),
	}
}
