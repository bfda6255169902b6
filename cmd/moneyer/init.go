package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"moneyer/internal/admin"
	"moneyer/internal/config"
	"moneyer/internal/keyring"
	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/internal/store"
	"moneyer/oauth"
)

// starter is the configuration that `moneyer init` writes.
const starter = `# The configuration of a Moneyer server. Every setting: docs/configuration.md.
store = "sqlite:moneyer.db"
master_key = "file:master.key" # keep a copy apart from the backups of the store

[listen]
address = "127.0.0.1:8080" # elsewhere than on loopback it wants TLS:
# tls_cert = "server.crt"
# tls_key = "server.key"

[admin]
address = "127.0.0.1:8081"

[issuers.example]
url = "http://127.0.0.1:8080/example" # as callers reach it
profile = "oauth2"                    # 'moneyer profile list' shows the others
resource_audience = "https://api.example.com"
`

// The names of what init leaves in its folder: the configuration, and the first
// admin key.
const (
	configFileName = "moneyer.toml"
	adminFileName  = "moneyer-admin.json"
)

func (a *app) initCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "init",
		Short: "Make a configuration, a master key and the first admin key",
		Long: `Make what a server needs before its first start: a configuration to edit, a
master key, the store, and the key of the first admin client. Nobody but their
owner may read them. What is there already stays as it is.

The admin file holds the address of [admin] at the time. After a change of that,
or to replace a lost admin key, stop the server, remove the file and call this
again; then remove the old key with 'moneyer key remove'. A lost master key
cannot be replaced: put back the copy.`,
		Example: `  moneyer init --dir /etc/moneyer
  moneyer serve --config /etc/moneyer/moneyer.toml`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			made, err := a.initFolder(cmd.Context(), dir, starter)
			if err != nil {
				return err
			}
			return a.initialized(dir, made)
		},
	}
	c.Flags().StringVar(&dir, "dir", ".", "the `folder` to make it in")
	return c
}

// initialized tells what was made.
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
`, filepath.Join(dir, configFileName), filepath.Join(dir, adminFileName))
	return err
}

// initFolder makes what is missing in dir and returns the paths that it made.
func (a *app) initFolder(ctx context.Context, dir, configuration string) ([]string, error) {
	made := []string{}
	cfg, err := makeConfig(dir, configuration, &made)
	if err != nil {
		return nil, err
	}
	if err := a.makeMasterKey(ctx, cfg, &made); err != nil {
		return nil, err
	}
	adminPath := filepath.Join(dir, adminFileName)
	if there, err := exists(adminPath); there || err != nil {
		return made, err
	}
	if err := a.makeAdmin(ctx, cfg, adminPath); err != nil {
		return nil, err
	}
	return append(made, adminPath), nil
}

// makeConfig makes the folder and, if there is no configuration, one of that
// content. What would not be read later is not written.
func makeConfig(dir, content string, made *[]string) (*config.Config, error) {
	file := filepath.Join(dir, configFileName)
	if there, err := exists(file); err != nil {
		return nil, err
	} else if there {
		cfg, err := config.Load(file)
		if err != nil {
			return nil, usage(err)
		}
		return cfg, nil
	}
	cfg, err := config.Parse(file, []byte(content))
	if err != nil {
		return nil, usage(err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, trouble(err)
	}
	return cfg, makePrivate(file, []byte(content), made)
}

// makeMasterKey makes a master key, if one is missing and none ever was: nothing
// in a store could be used under another.
func (a *app) makeMasterKey(ctx context.Context, cfg *config.Config, made *[]string) error {
	file, ok := strings.CutPrefix(cfg.MasterKey, "file:")
	if !ok {
		return nil
	}
	path := cfg.Path(file)
	if there, err := exists(path); there || err != nil {
		return err
	}
	if orphan, err := a.hasKeys(ctx, cfg); err != nil {
		return err
	} else if orphan {
		return usagef("%s is missing, and the store %s was made under it: put back the copy of the master key", path, strings.TrimPrefix(storeURL(cfg), "sqlite:"))
	}
	key, err := keyring.NewMasterKey()
	if err != nil {
		return trouble(err)
	}
	return makePrivate(path, []byte(key.Text()+"\n"), made)
}

// hasKeys tells whether a store may hold keys that are sealed under a master key.
func (a *app) hasKeys(ctx context.Context, cfg *config.Config) (bool, error) {
	if path, file := storePath(cfg); file {
		return exists(path)
	}
	db, err := store.Open(ctx, storeURL(cfg), store.Options{Now: a.now})
	if err != nil {
		return false, trouble(err)
	}
	keys, err := db.SigningKeys(ctx, config.AdminIssuer)
	if err := errors.Join(err, db.Close()); err != nil {
		return false, trouble(err)
	}
	return keys.Revision > 0, nil
}

func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	default:
		return false, trouble(err)
	}
}

// makePrivate makes a file that nobody but its owner may read, whole and on the
// disk or not at all. It must not exist.
func makePrivate(path string, data []byte, made *[]string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return trouble(err)
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return trouble(errors.Join(err, os.Remove(path)))
	}
	*made = append(*made, path)
	return nil
}

// makeAdmin gives the admin client a new key and writes the file that holds it.
func (a *app) makeAdmin(ctx context.Context, cfg *config.Config, path string) error {
	if _, err := readMasterKey(cfg); err != nil {
		return usage(err)
	}
	db, err := store.Open(ctx, storeURL(cfg), store.Options{Now: a.now})
	if err != nil {
		return trouble(err)
	}
	err = a.addAdminKey(ctx, db, adminIssuer(cfg), path)
	if err := errors.Join(err, db.Close()); err != nil {
		return trouble(err)
	}
	return nil
}

// addAdminKey writes the admin file and registers its key with the client
// "admin" of the admin issuer. A file without its key is taken back.
func (a *app) addAdminKey(ctx context.Context, db *store.DB, issuer *registry.Issuer, path string) error {
	client, err := a.adminClient(ctx, db, issuer)
	if err != nil {
		return err
	}
	file := adminFile{URL: issuer.URL, Issuer: issuer.URL, ClientID: client.ID}
	public, err := file.newKey()
	if err != nil {
		return err
	}
	if err := client.AddKey(issuer, nil, registry.Key{Kid: file.Kid, Public: public, Created: a.now().UTC()}); err != nil {
		return err
	}
	if err := writeAdminFile(path, file); err != nil {
		return err
	}
	entry := &ledger.Entry{Kind: ledger.KindAdmin, Time: a.now().UTC(), Issuer: issuer.Name, Client: client.ID,
		Actor: "moneyer init", Action: "key.add", Object: "clients/" + client.ID + "/keys/" + file.Kid}
	if err := db.PutClient(ctx, client, entry); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// adminClient is the first administrator, as registered or new. Whoever calls
// this owns the store, so the client is fit to administer in any case.
func (a *app) adminClient(ctx context.Context, db *store.DB, issuer *registry.Issuer) (*registry.Client, error) {
	client := registry.Client{Issuer: issuer.Name, ID: "admin", Name: "First administrator", Created: a.now().UTC()}
	known, err := db.Client(ctx, issuer.Name, client.ID)
	switch {
	case err == nil:
		client = *known
	case !missing(err):
		return nil, err
	}
	client.Disabled = false
	client.Scope = oauth.Scope{admin.ScopeRead, admin.ScopeWrite}
	client.Grants = []oauth.GrantType{oauth.JWTBearer}
	return &client, nil
}
