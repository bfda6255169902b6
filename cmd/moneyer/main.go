// Command moneyer issues, requests and checks the short-lived access tokens
// that payment APIs accept from machines.
//
// This package parses flags and prints results, with one file per noun. The rules
// are in the packages that it calls.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"moneyer/internal/adminclient"
	"moneyer/internal/openssl"
	"moneyer/internal/registry"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr, now: time.Now, color: useColor(os.Stdout)}
	code := a.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// run executes one command line and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	command, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	failure := adviseCA(command, failureOf(err))
	a.printFailure(failure)
	return failure.code
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "moneyer",
		Short: "Issue, request and check the access tokens that payment APIs accept from machines",
		Long: `Moneyer is an OAuth 2.0 authorization server for machine clients that speaks each
payment platform's own token endpoint, with the tools for those who call such
platforms.

Exit codes: 0 success · 1 refused, or a check failed · 2 wrong usage, file or
setting · 3 a server, the network or a disk failed · 4 a ledger is not broken, but
not confirmed either.`,
		Example: `  moneyer sandbox                  every platform on loopback, ready to try
  moneyer serve --config moneyer.toml
  moneyer client add --issuer d1 merchant01`,
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.PersistentFlags().BoolVar(&a.json, "json", false, "answer in JSON, for scripts")
	group := func(id, title string, commands []*cobra.Command) {
		root.AddGroup(&cobra.Group{ID: id, Title: title})
		for _, c := range commands {
			c.GroupID = id
			root.AddCommand(c)
		}
	}
	group("server", "Run a server:", a.serverCommands())
	group("onboard", "Onboard and oversee (needs a running server):", a.onboardCommands())
	group("partner", "For those who call a platform (needs no server of ours):", a.partnerCommands())
	a.setDefaultArgs(root)
	helpRefuses(root)
	root.SetUsageTemplate(usageTemplate(root))
	root.SetFlagErrorFunc(quietFlagError)
	root.SetVersionTemplate(fmt.Sprintf("moneyer %s, made with %s for %s/%s\ncrypto: %s\n",
		version, runtime.Version(), runtime.GOOS, runtime.GOARCH, openssl.Version()))
	return root
}

// serverCommands run a server or prepare one.
func (a *app) serverCommands() []*cobra.Command {
	return []*cobra.Command{a.sandboxCommand(), a.initCommand(), a.serveCommand(), a.storeCommand()}
}

// onboardCommands call the admin API of a running server.
func (a *app) onboardCommands() []*cobra.Command {
	o := &onboarding{app: a}
	return []*cobra.Command{
		o.adminCommand(), o.issuerCommand(), o.backupCommand(),
		o.clientCommand(), o.keyCommand(), o.secretCommand(registry.ClientSecret), o.secretCommand(registry.APIKey), o.certificateCommand(), o.identityCommand(),
		o.accountCommand(), o.itemCommand(), o.signingKeyCommand(), o.revokeCommand(), o.ledgerCommand(),
	}
}

// partnerCommands work with any platform.
func (a *app) partnerCommands() []*cobra.Command {
	return []*cobra.Command{
		a.keygenCommand(), a.assertCommand(), a.tokenCommand(), a.verifyCommand(), a.inspectCommand(), a.explainCommand(), a.profileCommand(), a.agentCommand(),
	}
}

// failureOf returns err with its exit code. Control characters in a server's text
// are escaped.
func failureOf(err error) *failure {
	var own *failure
	var refusal *adminclient.RefusedError
	var noAnswer *adminclient.UnavailableError
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &refusal):
		return &failure{exitRefused, errors.New(visible(err.Error()))}
	case errors.As(err, &noAnswer):
		return &failure{exitUnavailable, errors.New(visible(err.Error()))}
	default: // by cobra: an unknown command, flag or argument
		return usage(err)
	}
}

func (a *app) printFailure(f *failure) {
	if errors.Is(f.cause, errSilent) {
		return
	}
	if a.json {
		_ = json.NewEncoder(a.err).Encode(map[string]string{"error": f.Error()})
		return
	}
	fmt.Fprintf(a.err, "moneyer: %s\n", f)
}
