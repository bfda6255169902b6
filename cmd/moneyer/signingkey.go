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
		Long: `A signing key is announced (published, so that verifiers learn of it), signs, is
retired (published for as long as its tokens may live) and is removed. Configured
rotation does all of that by itself; these commands are for doing it by hand, and
for the emergency: revoke takes a key out of the published set at once.`,
		Example: `  moneyer signing-key announce --issuer d1 --active-at 24h
  moneyer signing-key list --issuer d1`,
	},
		o.verb("list", "List the signing keys of an issuer", "signing-key list --issuer d1", o.listSigningKeys), o.signingKeyAnnounce(), o.signingKeyActivate(),
		o.signingKeyChange("retire", "Take back an announced key", "is retired", (*adminclient.Issuer).RetireSigningKey),
		o.signingKeyChange("revoke", "Take a compromised key out of the published set at once", "is revoked: no token that it signed is good any longer, as soon as verifiers read the keys again",
			(*adminclient.Issuer).RevokeSigningKey))
}

func (o *onboarding) listSigningKeys(ctx context.Context, at *adminclient.Issuer, _ []string) error {
	keys, err := at.SigningKeys(ctx)
	heading := []string{"KEY", "ALG", "STATE", "ANNOUNCED", "SIGNS FROM", "RETIRES", "REMOVED", "LIVES AT"}
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
		Long: `Publish a new key that does not sign yet. It is made and sealed in the store,
unless --uri names one that lives elsewhere. It signs from --active-at on, or when
it is activated, but not before verifiers had the time to read the keys.`,
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
	c.Flags().StringVar(&uri, "uri", "", "where the private key lives, such as file:PATH on the server (default sealed in the store)")
	c.Flags().String("active-at", "", "from when on it signs: "+momentWords)
	return c
}

func (o *onboarding) signingKeyActivate() *cobra.Command {
	var atOnce bool
	c := o.signingKeyChange("activate", "Let an announced key sign from now on; the one that signs retires", "signs from now on",
		func(at *adminclient.Issuer, ctx context.Context, kid string) (keyring.KeyInfo, error) {
			key, err := at.ActivateSigningKey(ctx, kid, adminapi.Activation{AtOnce: atOnce})
			if known := key.AnnouncedAt.Add(keyring.JWKSMaxAge); err == nil && o.now().Before(known) {
				o.note("verifiers that keep the keys of before it was announced refuse its tokens until they read them again, %s at the latest", inWords(known.Sub(o.now())))
			}
			return key, err
		})
	c.Long = fmt.Sprintf(`Let an announced key sign from now on; the one that signs retires.

Verifiers keep the set of keys for up to %s. A key that was announced later than
that ago is refused, with the time from when on all know it: until then those
that do not would refuse its tokens. With --at-once it signs all the same. That is
for when tokens of the key that signs now are worse than refused ones; when it is
compromised, revoke it instead.`, shortDuration(keyring.JWKSMaxAge))
	c.Flags().BoolVar(&atOnce, "at-once", false, "also while there may be verifiers that do not know the key and refuse its tokens")
	return c
}

// signingKeyChange makes activate, retire and revoke.
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
		keys, _ := at.SigningKeys(c.Context()) // no list, no help
		for i := range keys {
			kids = append(kids, cobra.CompletionWithDesc(keys[i].Kid, string(keys[i].State)))
		}
	}
	return kids, cobra.ShellCompDirectiveNoFileComp
}
