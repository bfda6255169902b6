package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"moneyer/internal/adminclient"
	"moneyer/internal/config"
	"moneyer/internal/daemon"
	"moneyer/internal/sandbox"
)

func (a *app) sandboxCommand() *cobra.Command {
	var dir, address, adminAddress string
	c := &cobra.Command{
		Use:   "sandbox",
		Short: "Serve every built-in platform on loopback, with demo clients",
		Long: `Serve every built-in platform on loopback, with demo clients, and print for each
platform a command that gets a token and one that checks it.

The folder holds everything: configuration, master key, store, admin key and the
keys and secrets of the demo clients. They are generated when the folder is new;
remove the folder to start again. The sandbox is not for production: start that
with 'moneyer init'.`,
		Example: `  moneyer sandbox
  moneyer sandbox --dir /tmp/moneyer --listen 127.0.0.1:9080 --admin-listen 127.0.0.1:9081`,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.sandbox(c, dir, address, adminAddress)
		},
	}
	c.Flags().StringVar(&dir, "dir", "sandbox", "the `folder` that holds everything")
	c.Flags().StringVar(&address, "listen", "127.0.0.1:8080", "the `address` of the platforms, for a new folder")
	c.Flags().StringVar(&adminAddress, "admin-listen", "127.0.0.1:8081", "the `address` of the admin API, for a new folder")
	return c
}

func (a *app) sandbox(c *cobra.Command, dir, address, adminAddress string) error {
	file := filepath.Join(dir, daemon.ConfigFile)
	if _, err := os.Lstat(file); err == nil {
		cfg, err := fitsSandbox(c, file)
		if err != nil {
			return usage(err)
		}
		address, adminAddress = cfg.Listen.Address, cfg.Admin.Address
	} else if _, err := config.Parse(file, []byte(sandbox.Configuration(address, adminAddress))); err != nil {
		return usage(err) // before the ports: an address that cannot be is no matter of other programs
	}
	if err := portsFree(c.Context(), dir, address, adminAddress); err != nil {
		return unavailable(err)
	}
	if _, err := daemon.Init(c.Context(), dir, sandbox.Configuration(address, adminAddress), a.now); err != nil {
		return serverFailure(err)
	}
	return a.serve(c.Context(), daemon.Options{
		Load:   func() (*config.Config, error) { return sandbox.Load(file) },
		Public: sandbox.WithAPI,
	}, func(ctx context.Context, s *daemon.Server) error { return a.printWelcome(ctx, s, dir) })
}

// fitsSandbox refuses flags that differ from the addresses of an existing
// configuration: they would be ignored.
func fitsSandbox(c *cobra.Command, file string) (*config.Config, error) {
	cfg, err := sandbox.Load(file)
	if err != nil {
		return nil, err
	}
	for flag, has := range map[string]string{"listen": cfg.Listen.Address, "admin-listen": cfg.Admin.Address} {
		if c.Flags().Changed(flag) && c.Flag(flag).Value.String() != has {
			return nil, fmt.Errorf("--%s is for a new folder, and %s says %s: name another folder with --dir, or edit that file", flag, file, has)
		}
	}
	return cfg, nil
}

// portsFree refuses addresses that another program has. It comes before anything is written: the
// folder would keep them.
func portsFree(ctx context.Context, dir string, addresses ...string) error {
	for _, address := range addresses {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		switch {
		case err == nil:
			_ = l.Close() // nothing was sent
		case errors.Is(err, syscall.EADDRINUSE):
			return fmt.Errorf("%s is in use by another program, perhaps another sandbox: stop it, or try other ports and a folder of their own, such as\n"+
				"  %s sandbox --dir %s --listen 127.0.0.1:9080 --admin-listen 127.0.0.1:9081", address, sandbox.Quote(os.Args[0]), sandbox.Quote(dir+"-9080"))
		}
	}
	return nil // Start reports what else is wrong with them
}

// printWelcome registers missing demo clients and prints the commands to try them.
func (a *app) printWelcome(ctx context.Context, s *daemon.Server, dir string) error {
	cfg := s.Config()
	demos, err := sandbox.Onboard(ctx, s.Store(), s.Pepper(), cfg, dir, os.Args[0], a.now())
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(demos)
	}
	for _, d := range demos {
		fmt.Fprintf(a.out, "\n%s · %s\n  %s\n  %s\n  %s\n  %s\n", a.paint(bold, d.Title), d.Issuer,
			a.paint(faint, "# get a token"), d.Token, a.paint(faint, "# call an API with one, which checks it"), d.Check)
	}
	_, err = fmt.Fprintf(a.out, `
%s on http://%s · admin API on %s · everything is in %s/
Onboard your own:  export MONEYER_ADMIN=%s; %s client add --issuer oauth2 me
Ctrl-C stops it.
`, a.paint(good, "The sandbox is ready"), cfg.Listen.Address, cfg.Admin.URL, dir, sandbox.Quote(filepath.Join(dir, adminclient.DefaultFile)), sandbox.Quote(os.Args[0]))
	return err
}
