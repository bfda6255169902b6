package main

import (
	"context"
	"moneyer/internal/adminapi"
	"moneyer/internal/adminclient"
	"moneyer/internal/registry"

	"github.com/spf13/cobra"
)

var itemRows = rowKind{command: "item", plural: "items", rows: adminclient.ItemRows,
	example: `  {"id":"tok-1","account":"m-1","kind":"visa"}

or, as CSV:

  id,account,kind
  tok-1,m-1,visa`}

func (o *onboarding) itemCommand() *cobra.Command {
	return o.ofIssuer(&cobra.Command{
		Use:   "item",
		Short: "Register items of accounts",
		Long: `Register items of accounts. The profile of the issuer has the platform's name for
them: thales-etp calls them card tokens, of the kinds visa and mastercard.
An item is neither an access token nor a card number.`,
		Example: `  moneyer item add tok-1 --issuer shop --account m-1 --kind visa
  moneyer item import items.csv --issuer shop`,
	}, o.itemAdd(), o.itemList(), o.importCommand(itemRows), o.itemRemove())
}

func (o *onboarding) itemAdd() *cobra.Command {
	var item adminapi.NewItem
	c := &cobra.Command{
		Use:     "add ITEM",
		Short:   "Register an item, or change its kind",
		Example: `  moneyer item add tok-1 --issuer shop --account m-1 --kind visa`,
		Args:    exactArgs("ITEM"),
		RunE: o.run(func(ctx context.Context, at *adminclient.Issuer, args []string) error {
			made, err := at.PutItem(ctx, args[0], item)
			if err != nil {
				return err
			}
			return o.done(made, "item %s (%s) of account %s is registered with issuer %s", made.ID, made.Kind, made.Account, made.Issuer)
		}),
	}
	c.Flags().StringVar(&item.Account, "account", "", "the `account` to which it belongs")
	c.Flags().StringVar(&item.Kind, "kind", "", "the `kind` in lower case, such as visa")
	return c
}

func (o *onboarding) itemList() *cobra.Command {
	return &cobra.Command{
		Use:               "list ACCOUNT",
		Short:             "List the items of an account",
		Example:           `  moneyer item list m-1 --issuer shop`,
		Args:              exactArgs("ACCOUNT"),
		ValidArgsFunction: o.completeIDs((*adminclient.Issuer).AccountIDs),
		RunE: o.run(func(ctx context.Context, at *adminclient.Issuer, args []string) error {
			items, err := at.Items(ctx, args[0])
			return show(o, items, err, []string{"ITEM", "KIND"}, func(i *registry.Item) []string {
				kind := visible(i.Kind)
				if i.Unverified {
					kind = o.standing(false, true)
				}
				return []string{visible(i.ID), kind}
			})
		}),
	}
}

func (o *onboarding) itemRemove() *cobra.Command {
	return &cobra.Command{
		Use:     "remove ITEM",
		Short:   "Remove an item",
		Example: `  moneyer item remove tok-1 --issuer shop`,
		Args:    exactArgs("ITEM"),
		RunE: o.run(func(ctx context.Context, at *adminclient.Issuer, args []string) error {
			return o.removed(at.RemoveItem(ctx, args[0]), "item", args[0], "")
		}),
	}
}
