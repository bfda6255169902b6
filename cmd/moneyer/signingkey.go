package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"moneyer/internal/adminapi"
	"moneyer/internal/adminclient"
	"moneyer/internal/keyring"
)

func (o *onboarding) signingKeyCommand() *cobra.Command {
	return o.ofIssuer(&cobra.Command{
		Use:   "signing-key",
		Short: "Change the keys with which an issuer signs access tokens",
		Long: `A signing key is announced (published, so that verifiers load it), signs, is
retired (published until its tokens have expired) and is removed. Configured
rotation does this automatically; these commands do it by hand, and serve in an
emergency: revoke removes a key from the published set at once, and puts all of
its tokens on the list of revocations in the same step.`,
		Example: `  moneyer signing-key announce --issuer d1 --active-at 24h
  moneyer signing-key list --issuer d1`,
	},
		o.verb("list", "List the signing keys of an issuer", "signing-key list --issuer d1", o.listSigningKeys), o.signingKeyAnnounce(), o.signingKeyActivate(),
		o.signingKeyChange("retire", "Retire a key that is announced", "is retired", (*adminclient.Issuer).RetireSigningKey),
		o.signingKeyChange("revoke", "Remove a compromised key and revoke its tokens at once", "is revoked, and so are all of its tokens: APIs that poll the list of revocations refuse them after the next poll, others once they reload the keys",
			(*adminclient.Issuer).RevokeSigningKey))
}

func (o *onboarding) listSigningKeys(ctx context.Context, at *adminclient.Issuer, _ []string) error {
	keys, err := at.SigningKeys(ctx)
	heading := []string{"KEY", "ALG", "STATE", "ANNOUNCED", "SIGNS FROM", "RETIRES", "REMOVED", "URI"}
	return show(o, keys, err, heading, func(k *keyring.KeyInfo) []string {
		state := string(k.State)
		if k.State == keyring.Signing {
			state = o.paint(good, state)
		}
		return []string{k.Kid, k.Alg, state, o.when(k.AnnouncedAt, "-"), o.when(k.ActiveAt, "-"),
			o.when(k.RetiredAt, "-"), o.when(k.RemovedAt, "-"), visible(k.URI)}
	})
}

func (o *onboarding) signingKeyAnnounce() *cobra.Command {
	var uri string
	c := &cobra.Command{
		Use:   "announce",
		Short: "Publish a new key that does not sign yet",
		Long: `Publish a new key that does not sign yet. It is generated and stored encrypted,
unless --uri names an external key. It signs from --active-at on, or when it is
activated, but not before verifiers had time to load the keys.`,
		Example: `  moneyer signing-key announce --issuer d1 --active-at 24h
  moneyer signing-key announce --issuer d1 --uri file:/run/secrets/signing.pem`,
		RunE: func(c *cobra.Command, _ []string) error {
			activeAt, err := o.moment(c, "active-at")
			if err != nil {
				return err
			}
			at, err := o.at(c.Context())
			if err != nil {
				return err
			}
			key, err := at.AnnounceSigningKey(c.Context(), adminapi.NewSigningKey{URI: uri, ActiveAt: activeAt})
			return o.outcome(key, err, "signing key %s of issuer %s is announced; it signs: %s", key.Kid, o.issuer, o.when(key.ActiveAt, "when it is activated"))
		},
	}
	c.Flags().StringVar(&uri, "uri", "", "the location of the private key, such as file:PATH on the server (default encrypted in the store)")
	c.Flags().String("active-at", "", "when it starts to sign: "+momentWords)
	return c
}

func (o *onboarding) signingKeyActivate() *cobra.Command {
	var atOnce bool
	c := o.signingKeyChange("activate", "Let an announced key sign from now on; the one that signs retires", "signs from now on",
		func(at *adminclient.Issuer, ctx context.Context, kid string) (keyring.KeyInfo, error) {
			key, err := at.ActivateSigningKey(ctx, kid, adminapi.Activation{AtOnce: atOnce})
			if known := key.AnnouncedAt.Add(keyring.JWKSMaxAge); err == nil && o.now().Before(known) {
				o.note("verifiers that cached the keys before the announcement refuse its tokens until they reload them, %s at the latest", inWords(known.Sub(o.now())))
			}
			return key, err
		})
	c.Long = fmt.Sprintf(`Let an announced key sign from now on; the one that signs retires.

Verifiers cache the keys for up to %s. A key that was announced more recently is
refused, with the time when all verifiers know it: until then some would refuse
its tokens. With --at-once it signs nevertheless. Use that when tokens of the
current key do more harm than refused tokens; if the current key is compromised,
revoke it instead.`, shortDuration(keyring.JWKSMaxAge))
	c.Flags().BoolVar(&atOnce, "at-once", false, "also while some verifiers may not know the key and refuse its tokens")
	return c
}

// signingKeyChange returns the command activate, retire or revoke.
func (o *onboarding) signingKeyChange(verb, short, done string, change func(*adminclient.Issuer, context.Context, string) (keyring.KeyInfo, error)) *cobra.Command {
	c := o.verb(verb+" KID", short, "signing-key "+verb+" KID --issuer d1", func(ctx context.Context, at *adminclient.Issuer, args []string) error {
		key, err := change(at, ctx, args[0])
		return o.outcome(key, err, "signing key %s of issuer %s %s", key.Kid, at.Name, done)
	})
	c.ValidArgsFunction = o.completeSigningKeys
	return c
}

func (o *onboarding) completeSigningKeys(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var kids []string
	if at, err := o.at(c.Context()); err == nil && len(args) == 0 {
		keys, _ := at.SigningKeys(c.Context()) // on an error nothing is completed
		for i := range keys {
			kids = append(kids, cobra.CompletionWithDesc(keys[i].Kid, string(keys[i].State)))
		}
	}
	return kids, cobra.ShellCompDirectiveNoFileComp
}
