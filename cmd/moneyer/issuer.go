package main

import (
	"cmp"

	"github.com/spf13/cobra"

	"moneyer/internal/adminapi"
)

func (o *onboarding) issuerCommand() *cobra.Command {
	return o.noun(&cobra.Command{
		Use:   "issuer",
		Short: "List the issuers of the server",
		Long: `List the issuers of the server. They are defined in its configuration: to add or
change one, edit that and reload the server.`,
		Example: `  moneyer issuer list`,
	}, o.issuerList())
}

func (o *onboarding) issuerList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the issuers: name, URL, profile and environment",
		Long: `List the issuers of the server, its own among them, whose tokens the admin API takes. --issuer of
other commands takes the name, partners take the URL.`,
		Example: `  moneyer issuer list
  moneyer issuer list --json`,
		RunE: func(c *cobra.Command, _ []string) error {
			api, err := o.open()
			if err != nil {
				return err
			}
			issuers, err := api.Issuers(c.Context())
			return show(o, issuers, err, []string{"NAME", "URL", "PROFILE", "ENVIRONMENT", "STATE"}, func(i *adminapi.Issuer) []string {
				return []string{visible(i.Name), visible(i.URL), visible(i.Profile), visible(cmp.Or(i.Environment, "-")), o.enabled(i.Disabled)}
			})
		},
	}
}
