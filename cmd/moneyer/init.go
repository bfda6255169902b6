package main

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"moneyer/assertion"
	"moneyer/internal/admin"
	"moneyer/internal/authority"
	"moneyer/internal/config"
	"moneyer/internal/jose"
	"moneyer/internal/keyring"
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

// adminFileName is where init leaves the first admin key.
const adminFileName = "moneyer-admin.json"

func (a *app) initCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "init",
		Short: "Make a configuration, a master key and the first admin key",
		Long: `Make what a server needs before its first start: a configuration to edit, a
master key, the store, and the key of the first admin client. What is there
already stays as it is, so it can be called again to replace a lost admin key
(remove its file first). The server must not be running meanwhile.`,
		Example: `  moneyer init --dir /etc/moneyer
  moneyer serve --config /etc/moneyer/moneyer.toml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			made, err := a.initFolder(cmd.Context(), dir, starter)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(map[string]any{"made": made})
			}
			for _, path := range made {
				fmt.Fprintf(a.out, "made %s\n", path)
			}
			fmt.Fprintf(a.out, "Next: edit %[1]s, then 'moneyer serve --config %[1]s'; onboard with '--admin %[2]s'.\n",
				filepath.Join(dir, "moneyer.toml"), filepath.Join(dir, adminFileName))
			return nil
		},
	}
	c.Flags().StringVar(&dir, "dir", ".", "the `folder` to make it in")
	return c
}

// initFolder makes what is missing in dir and returns the paths that it made.
func (a *app) initFolder(ctx context.Context, dir, configuration string) (made []string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, trouble(err)
	}
	file := filepath.Join(dir, "moneyer.toml")
	if ok, err := makeMissing(file, []byte(configuration), 0o644); err != nil {
		return nil, trouble(err)
	} else if ok {
		made = append(made, file)
	}
	cfg, err := config.Load(file)
	if err != nil {
		return nil, usage(err)
	}
	if path, ok := masterKeyFile(cfg); ok {
		key, err := keyring.NewMasterKey()
		if err != nil {
			return nil, trouble(err)
		}
		if ok, err := makeMissing(path, []byte(key.Text()+"\n"), 0o600); err != nil {
			return nil, trouble(err)
		} else if ok {
			made = append(made, path)
		}
	}
	adminPath := filepath.Join(dir, adminFileName)
	if _, err := os.Stat(adminPath); err == nil {
		return made, nil
	}
	if err := a.makeAdmin(ctx, cfg, adminPath); err != nil {
		return nil, err
	}
	return append(made, adminPath), nil
}

func masterKeyFile(cfg *config.Config) (string, bool) {
	const scheme = "file:"
	if len(cfg.MasterKey) <= len(scheme) || cfg.MasterKey[:len(scheme)] != scheme {
		return "", false
	}
	return cfg.Path(cfg.MasterKey[len(scheme):]), true
}

// makeMissing writes a file unless it exists, and tells whether it did.
func makeMissing(path string, data []byte, mode os.FileMode) (bool, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	_, err = f.Write(data)
	return true, errors.Join(err, f.Close())
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
	defer db.Close()
	signer, err := assertion.GenerateKey("")
	if err != nil {
		return trouble(err)
	}
	file, err := a.addAdminKey(ctx, db, adminIssuer(cfg), signer)
	if err != nil {
		return trouble(err)
	}
	if err := writeAdminFile(path, file); err != nil {
		return trouble(err)
	}
	return nil
}

// addAdminKey registers the key with the client "admin" of the admin issuer.
func (a *app) addAdminKey(ctx context.Context, db *store.DB, issuer *authority.Issuer, signer crypto.Signer) (adminFile, error) {
	public, err := jose.NewPublicKey(signer.Public(), jose.ES256)
	if err != nil {
		return adminFile{}, err
	}
	pem, err := assertion.MarshalKey(signer)
	if err != nil {
		return adminFile{}, err
	}
	client := &authority.Client{Issuer: issuer.Name, ID: "admin", Name: "First administrator", Created: a.now().UTC(),
		Scope: oauth.Scope{admin.ScopeRead, admin.ScopeWrite}, Grants: []oauth.GrantType{oauth.JWTBearer}}
	known, err := db.Client(ctx, issuer.Name, client.ID)
	if err == nil {
		copied := *known
		client = &copied
	} else if !errors.Is(err, authority.ErrNotFound) {
		return adminFile{}, err
	}
	kid := public.Thumbprint()
	if err := client.AddKey(issuer, nil, authority.Key{Kid: kid, Public: public, Created: a.now().UTC()}); err != nil {
		return adminFile{}, err
	}
	entry := &authority.Entry{Kind: authority.EntryAdmin, Time: a.now().UTC(), Issuer: issuer.Name, Client: client.ID,
		Actor: "moneyer init", Action: "key.add", Object: "clients/" + client.ID + "/keys/" + kid}
	if err := db.PutClient(ctx, client, entry); err != nil {
		return adminFile{}, err
	}
	return adminFile{URL: issuer.URL, Issuer: issuer.URL, ClientID: client.ID, Kid: kid, PrivateKey: string(pem)}, nil
}
