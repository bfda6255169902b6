package main

import (
	"github.com/spf13/cobra"

	"moneyer/internal/registry"
)

// serverCommands run something.
func (a *app) serverCommands() []*cobra.Command {
	return []*cobra.Command{a.sandboxCommand(), a.initCommand(), a.serveCommand(), a.storeCommand()}
}

// onboardCommands talk to the admin API of a running server.
func (a *app) onboardCommands() []*cobra.Command {
	o := &onboarding{app: a}
	return []*cobra.Command{
		o.adminCommand(), o.backupCommand(),
		o.clientCommand(), o.keyCommand(), o.secretCommand(registry.ClientSecret), o.secretCommand(registry.APIKey),
		o.merchantCommand(), o.cardTokenCommand(), o.signingKeyCommand(), o.revokeCommand(), o.ledgerCommand(),
	}
}

// partnerCommands need no server of ours.
func (a *app) partnerCommands() []*cobra.Command {
	return []*cobra.Command{
		a.keygenCommand(), a.assertCommand(), a.tokenCommand(), a.verifyCommand(), a.inspectCommand(), a.explainCommand(), a.profileCommand(), a.agentCommand(),
	}
}
