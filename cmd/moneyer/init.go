package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"moneyer/internal/adminclient"
	"moneyer/internal/daemon"
)

func (a *app) initCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "init",
		Short: "Create a configuration, a master key and the first admin key",
		Long: `Create what a server needs before its first start: a configuration to edit, a
master key, the store, and the key of the first admin client. Only their owner can
read them. Existing files are not changed. Only init makes a store: a server refuses to
start without one.

The admin file holds the current address of [admin]. After a change of that, or to
replace a lost admin key, stop the server, remove the file and run init again;
then remove the old key with 'moneyer key remove'. A lost master key cannot be
replaced: restore the copy.`,
		Example: `  moneyer init --dir /etc/moneyer
  moneyer serve --config /etc/moneyer/moneyer.toml`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			made, err := daemon.Init(cmd.Context(), dir, daemon.StarterConfig, a.now)
			if err != nil {
				return serverFailure(err)
			}
			return a.initialized(dir, made)
		},
	}
	c.Flags().StringVar(&dir, "dir", ".", "the `folder` to create them in")
	return c
}

// initialized lists what was created.
func (a *app) initialized(dir string, made []string) error {
	if a.json {
		return a.printJSON(map[string][]string{"made": made})
	}
	for _, path := range made {
		fmt.Fprintf(a.out, "made %s\n", path)
	}
	if len(made) == 0 {
		fmt.Fprintln(a.out, "nothing was missing")
	}
	_, err := fmt.Fprintf(a.out, `Next: edit %[1]s, then 'moneyer serve --config %[1]s'; onboard with '--admin %[2]s'.
%[2]s holds the address that [admin] has now. When you change that, remove
this file and run init again while the server is stopped.
`, filepath.Join(dir, daemon.ConfigFile), filepath.Join(dir, adminclient.DefaultFile))
	return err
}
