package main

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"moneyer/internal/adminapi"
	"moneyer/internal/adminclient"
	"moneyer/internal/config"
	"moneyer/internal/jose"
	"moneyer/oauth"
)

func (o *onboarding) adminCommand() *cobra.Command {
	return o.noun(&cobra.Command{
		Use:   "admin",
		Short: "Register further administrators",
		Long: `An administrator is a client of the server's own issuer, admin. The ledger names
it in every change that it makes, so register each person separately. To revoke
the access, run 'moneyer client disable NAME --issuer admin', or remove the client.`,
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
		Long: `Generate a key, register the public key with a new client of the issuer admin, and
write an admin file with the private key. Only its owner can read the file, and an
existing file is never overwritten. Transfer it like a password, and keep no copy.
The server stores the public key only.`,
		Example: `  moneyer admin add alice --out alice-admin.json
  moneyer admin add auditor --out auditor-admin.json --read-only
  moneyer ledger list --admin alice-admin.json`,
		RunE: func(c *cobra.Command, args []string) error {
			if out == "" {
				return usagef("--out is missing: the file to write, such as %s-admin.json", args[0])
			}
			scope := oauth.Scope{adminapi.ScopeRead, adminapi.ScopeWrite}
			if readOnly {
				scope = scope[:1]
			}
			return o.addAdmin(c.Context(), args[0], scope, out)
		},
	}
	c.Flags().StringVar(&out, "out", "", "the admin `file` to write")
	c.Flags().BoolVar(&readOnly, "read-only", false, "allow reading only")
	return c
}

// addAdmin writes the file and registers its key. An error leaves neither behind.
func (o *onboarding) addAdmin(ctx context.Context, name string, scope oauth.Scope, out string) error {
	api, err := o.open()
	if err != nil {
		return err
	}
	file, public, err := api.Successor(name, out)
	if err != nil {
		return unavailable(err)
	}
	err = file.Write(out)
	if errors.Is(err, fs.ErrExist) {
		return usagef("%s exists and is not overwritten", out)
	}
	if err != nil {
		return unavailable(err)
	}
	if err := register(ctx, api.At(config.AdminIssuer), &file, scope, public); err != nil {
		return errors.Join(err, os.Remove(out))
	}
	if api.File.TLSCert != "" {
		o.note("the listener may require a client certificate for %s: name it as tls_cert and tls_key in %s", name, out)
	}
	answer := map[string]string{"client_id": name, "kid": file.Kid, "scope": scope.String(), "file": out}
	return o.done(answer, "administrator %s is registered with scope %q; its admin file is %s", name, scope, out)
}

// register registers the client of an admin file and its key. If the key is
// refused, the client is removed again.
func register(ctx context.Context, at *adminclient.Issuer, file *adminclient.File, scope oauth.Scope, public *jose.PublicKey) error {
	words, grants := scope.String(), []oauth.GrantType{oauth.JWTBearer}
	client := adminapi.NewClient{ID: file.ClientID, ClientChange: adminapi.ClientChange{Scope: &words, Grants: &grants}}
	if _, err := at.AddClient(ctx, client); err != nil {
		return err
	}
	if _, err := at.Keys().Add(ctx, file.ClientID, adminapi.NewKey{Kid: file.Kid, Key: string(public.PEM())}); err != nil {
		return errors.Join(err, at.RemoveClient(ctx, file.ClientID))
	}
	return nil
}
