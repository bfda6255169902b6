package main

import "github.com/spf13/cobra"

// serverCommands run something.
func (a *app) serverCommands() []*cobra.Command {
	return []*cobra.Command{a.sandboxCommand(), a.initCommand(), a.serveCommand()}
}

// onboardCommands talk to the admin API of a running server.
func (a *app) onboardCommands() []*cobra.Command {
	return []*cobra.Command{}
}

// partnerCommands need no server of ours.
func (a *app) partnerCommands() []*cobra.Command {
	return []*cobra.Command{
		a.keygenCommand(), a.assertCommand(), a.tokenCommand(), a.inspectCommand(), a.explainCommand(), a.profileCommand(),
	}
}
