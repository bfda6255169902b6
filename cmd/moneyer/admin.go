package main

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"moneyer/internal/admin"
	"moneyer/internal/adminclient"
	"moneyer/internal/config"
	"moneyer/internal/jose"
	"moneyer/oauth"
)

func (o *onboarding) adminCommand() *cobra.Command {
	return o.noun(&cobra.Command{
		Use:   "admin",
		Short: "Give others the means to administer",
		Long: `An administrator is a client of the server's own issuer, admin, and the ledger
names it in every change that it makes: give everybody their own. To take that
back, 'moneyer client disable NAME --issuer admin', or remove it.`,
		Example: `  moneyer admin add alice --out alice-admin.json
  moneyer client list --issuer admin`,
	}, o.adminAdd())
}

func (o *onboarding) adminAdd() *cobra.Command {
	var out string
	var readOnly bool
	c := &cobra.Command{
		Use:   "add NAME --out FILE [--read-only]",
		Short: "Register another administrator and write the admin file for it",
		Long: `Make a key, register its public half with a new client of the issuer admin, and
write an admin file with the private half, which nobody but its owner may read
and which is never overwritten. Hand it over as you would a password, and keep no
copy. The server knows the public half alone.`,
		Example: `  moneyer admin add alice --out alice-admin.json
  moneyer admin add auditor --out auditor-admin.json --read-only
  moneyer ledger list --admin alice-admin.json`,
		Args: wants("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			if out == "" {
				return usagef("--out is missing: the file to write, such as %s-admin.json", args[0])
			}
			scope := oauth.Scope{admin.ScopeRead, admin.ScopeWrite}
			if readOnly {
				scope = scope[:1]
			}
			return o.addAdmin(c.Context(), args[0], scope, out)
		},
	}
	c.Flags().StringVar(&out, "out", "", "the admin `file` to write")
	c.Flags().BoolVar(&readOnly, "read-only", false, "let it see everything and change nothing")
	return c
}

// addAdmin writes the file and registers its key. On an error there is neither.
func (o *onboarding) addAdmin(ctx context.Context, name string, scope oauth.Scope, out string) error {
	api, err := o.open()
	if err != nil {
		return err
	}
	file, public, err := api.successor(name, out)
	if err != nil {
		return trouble(err)
	}
	err = file.Write(out)
	if errors.Is(err, fs.ErrExist) {
		return usagef("%s exists and is not overwritten", out)
	}
	if err != nil {
		return trouble(err)
	}
	if err := api.register(ctx, &file, scope, public); err != nil {
		return errors.Join(err, os.Remove(out))
	}
	if api.TLSCert != "" {
		o.note("the listener may want a client certificate of %s's own: name it as tls_cert and tls_key in %s", name, out)
	}
	answer := map[string]string{"client_id": name, "kid": file.Kid, "scope": scope.String(), "file": out}
	return o.done(answer, "administrator %s is registered with scope %q; %s is for it alone", name, scope, out)
}

// successor makes the content of an admin file at out for another client, with a
// new key, whose public half it returns.
func (api *adminAPI) successor(client, out string) (adminclient.File, *jose.PublicKey, error) {
	file := adminclient.File{URL: api.URL, Issuer: api.Issuer, ClientID: client}
	public, err := file.NewKey()
	if err != nil {
		return file, nil, err
	}
	if file.TLSCA = api.TLSCA; file.TLSCA != "" && filepath.Dir(out) != filepath.Dir(api.file) {
		file.TLSCA, err = filepath.Abs(beside(api.file, api.TLSCA))
	}
	return file, public, err
}

// register makes the client of an admin file and gives it the key. A client that
// got none is taken back.
func (api *adminAPI) register(ctx context.Context, file *adminclient.File, scope oauth.Scope, public *jose.PublicKey) error {
	clients := api.path("issuers", config.AdminIssuer, "clients")
	client := map[string]any{"id": file.ClientID, "scope": scope.String(), "grants": []oauth.GrantType{oauth.JWTBearer}}
	if err := api.do(ctx, http.MethodPost, clients, client, nil); err != nil {
		return err
	}
	path := api.path("issuers", config.AdminIssuer, "clients", file.ClientID)
	key := map[string]any{"kid": file.Kid, "key": string(public.PEM())}
	if err := api.do(ctx, http.MethodPost, path+"/keys", key, nil); err != nil {
		return errors.Join(err, api.do(ctx, http.MethodDelete, path, nil, nil))
	}
	return nil
}
