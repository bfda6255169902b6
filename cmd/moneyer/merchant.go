package main

import (
	"context"
	"moneyer/internal/adminapi"
	"moneyer/internal/adminclient"
	"moneyer/internal/registry"

	"github.com/spf13/cobra"
)

var merchantRows = rowKind{command: "merchant", plural: "merchants", rows: adminclient.MerchantRows,
	example: `  {"id":"m-1","client":"gateway","attributes":{"trId":"12345678901"}}

or, as CSV, whose further columns are attributes:

  id,client,trId
  m-1,gateway,12345678901`}

func (o *onboarding) merchantCommand() *cobra.Command {
	return o.ofIssuer(&cobra.Command{
		Use:   "merchant",
		Short: "Register merchants on whose behalf a client may ask for tokens",
		Example: `  moneyer merchant add m-1 --issuer etp --client gateway --attribute trId=12345678901
  moneyer merchant import merchants.csv --issuer etp`,
	}, o.merchantAdd(), o.merchantList(), o.importCommand(merchantRows), o.merchantRemove())
}

func (o *onboarding) merchantAdd() *cobra.Command {
	var client string
	var disabled bool
	var attributes attributeFlags
	c := &cobra.Command{
		Use:     "add MERCHANT",
		Short:   "Register a merchant, or replace what is registered of it",
		Example: `  moneyer merchant add m-1 --issuer etp --client gateway --attribute trId=12345678901`,
		Args:    wants("MERCHANT"),
		RunE: func(c *cobra.Command, args []string) error {
			merchant := adminapi.NewMerchant{Client: client, Disabled: disabled}
			var err error
			if merchant.Attributes, err = attributes.read(); err != nil {
				return err
			}
			at, err := o.at(c.Context())
			if err != nil {
				return err
			}
			made, err := at.PutMerchant(c.Context(), args[0], merchant)
			if err != nil {
				return err
			}
			return o.done(made, "merchant %s of issuer %s is registered; client %s may act for it", made.ID, made.Issuer, made.Client)
		},
	}
	c.Flags().StringVar(&client, "client", "", "the `client` that may act for the merchant")
	c.Flags().BoolVar(&disabled, "disabled", false, "give no tokens for it")
	attributes.add(c)
	return c
}

func (o *onboarding) merchantList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the merchants of an issuer",
		Example: `  moneyer merchant list --issuer etp`,
		Args:    noArguments,
		RunE: o.run(func(ctx context.Context, at *adminclient.Issuer, _ []string) error {
			merchants, err := at.Merchants(ctx)
			return show(o, merchants, err, []string{"MERCHANT", "CLIENT", "STATE", "ATTRIBUTES"}, func(m *registry.Merchant) []string {
				return []string{visible(m.ID), visible(m.Client), o.enabled(m.Disabled), visible(attributesWords(m.Attributes))}
			})
		}),
	}
}

func (o *onboarding) merchantRemove() *cobra.Command {
	return &cobra.Command{
		Use:               "remove MERCHANT",
		Short:             "Remove a merchant that has no card tokens",
		Example:           `  moneyer merchant remove m-1 --issuer etp`,
		Args:              wants("MERCHANT"),
		ValidArgsFunction: o.completeIDs((*adminclient.Issuer).MerchantIDs),
		RunE: o.run(func(ctx context.Context, at *adminclient.Issuer, args []string) error {
			return o.removed(at.RemoveMerchant(ctx, args[0]), "merchant", args[0], "")
		}),
	}
}
