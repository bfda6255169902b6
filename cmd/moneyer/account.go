package main

import (
	"context"
	"moneyer/internal/adminapi"
	"moneyer/internal/adminclient"
	"moneyer/internal/registry"

	"github.com/spf13/cobra"
)

var accountRows = rowKind{command: "account", plural: "accounts", rows: adminclient.AccountRows,
	example: `  {"id":"m-1","client":"gateway","attributes":{"region":"eu"}}

or, as CSV, whose further columns are attributes:

  id,client,region
  m-1,gateway,eu`}

func (o *onboarding) accountCommand() *cobra.Command {
	return o.ofIssuer(&cobra.Command{
		Use:   "account",
		Short: "Register accounts on whose behalf a client may ask for tokens",
		Long: `Register accounts on whose behalf a client may ask for tokens. The profile of the
issuer has the platform's name for them: thales-etp calls them merchants.`,
		Example: `  moneyer account add m-1 --issuer shop --client gateway --attribute region=eu
  moneyer account import accounts.csv --issuer shop`,
	}, o.accountAdd(), o.accountList(), o.importCommand(accountRows), o.accountRemove())
}

func (o *onboarding) accountAdd() *cobra.Command {
	var client string
	var disabled bool
	var attributes attributeFlags
	c := &cobra.Command{
		Use:     "add ACCOUNT",
		Short:   "Register an account, or replace it",
		Example: `  moneyer account add m-1 --issuer shop --client gateway --attribute region=eu`,
		Args:    exactArgs("ACCOUNT"),
		RunE: func(c *cobra.Command, args []string) error {
			account := adminapi.NewAccount{Client: client, Disabled: disabled}
			var err error
			if account.Attributes, err = attributes.read(); err != nil {
				return err
			}
			at, err := o.at(c.Context())
			if err != nil {
				return err
			}
			made, err := at.PutAccount(c.Context(), args[0], account)
			if err != nil {
				return err
			}
			return o.done(made, "account %s of issuer %s is registered; client %s may act for it", made.ID, made.Issuer, made.Client)
		},
	}
	c.Flags().StringVar(&client, "client", "", "the `client` that may act for the account")
	c.Flags().BoolVar(&disabled, "disabled", false, "issue no tokens for it")
	attributes.add(c)
	return c
}

func (o *onboarding) accountList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the accounts of an issuer",
		Example: `  moneyer account list --issuer shop`,
		Args:    noArguments,
		RunE: o.run(func(ctx context.Context, at *adminclient.Issuer, _ []string) error {
			accounts, err := at.Accounts(ctx)
			return show(o, accounts, err, []string{"ACCOUNT", "CLIENT", "STATE", "ATTRIBUTES"}, func(a *registry.Account) []string {
				return []string{visible(a.ID), visible(a.Client), o.standing(a.Disabled, a.Unverified), visible(attributesWords(a.Attributes))}
			})
		}),
	}
}

func (o *onboarding) accountRemove() *cobra.Command {
	return &cobra.Command{
		Use:               "remove ACCOUNT",
		Short:             "Remove an account that has no items",
		Example:           `  moneyer account remove m-1 --issuer shop`,
		Args:              exactArgs("ACCOUNT"),
		ValidArgsFunction: o.completeIDs((*adminclient.Issuer).AccountIDs),
		RunE: o.run(func(ctx context.Context, at *adminclient.Issuer, args []string) error {
			return o.removed(at.RemoveAccount(ctx, args[0]), "account", args[0], "")
		}),
	}
}
