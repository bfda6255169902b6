package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"moneyer/internal/adminapi"
	"moneyer/internal/adminclient"
	"moneyer/internal/jose"
)

var keyHeading = []string{"KEY", "ALG", "STATE", "FROM", "UNTIL", "LAST USED", "THUMBPRINT"}

func (o *onboarding) keyRow(k *adminapi.Key) []string {
	return []string{visible(k.Kid), k.Alg, o.state(k.Disabled, k.NotBefore, k.NotAfter),
		o.when(k.NotBefore, "always"), o.when(k.NotAfter, "no end"), o.when(k.LastUsed, "never"), k.Thumbprint}
}

var keyNoun = by((*adminclient.Issuer).Keys, keyHeading, (*onboarding).keyRow, credential{command: "key", id: "KID", words: "key", one: "a key", plural: "keys",
	bounds: "from when and until when", flags: "--not-before or --not-after", client: "merchant01 --issuer d1", example: "merchant01 key-1 --issuer d1"})

func (o *onboarding) keyCommand() *cobra.Command {
	return o.ofIssuer(&cobra.Command{
		Use:   "key",
		Short: "Register and change the public keys of clients",
		Long: `A client signs its assertions with its private key; the public key is registered
here, under a kid. To rotate keys without an interruption, add the new one, wait
until the old one is no longer used (LAST USED of 'moneyer key list'), then remove
it.`,
		Example: `  moneyer key add merchant01 public.pem --issuer d1 --kid key-2 --not-after 365d
  moneyer key list merchant01 --issuer d1`,
	}, o.credentialVerbs(keyNoun, keyTimes, o.keyAdd())...)
}

func keyTimes(c *cobra.Command) {
	c.Flags().String("not-before", "", "the key is valid from: "+momentWords)
	c.Flags().String("not-after", "", "the key is valid until: "+momentWords)
}

func (o *onboarding) keyAdd() *cobra.Command {
	var kid, alg string
	c := &cobra.Command{
		Use:   "add CLIENT FILE",
		Short: "Register a public key: PEM, certificate or JWK",
		Long: `Register a public key from a file, or from standard input when it is called '-': PEM
as 'openssl ec -pubout' writes it, a certificate in PEM, or a JWK. Its kid is that of
--kid, else that of the JWK, else the thumbprint. Of a certificate only the key is
used. Another form (DER, PKCS #12, a request, OpenSSH, a JWK set ...) is refused with the
command that turns it into PEM. A private key, which is not sent to the server, and a
key whose private key was published are refused.`,
		Example: `  moneyer key add merchant01 public.pem --issuer d1 --kid key-1
  openssl pkey -in private.pem -pubout | moneyer key add merchant01 - --issuer d1`,
		RunE: func(c *cobra.Command, args []string) error {
			data, err := o.readFile(args[1])
			if err != nil {
				return usage(err)
			}
			if _, _, err := jose.ParsePublic(data, jose.Alg(alg)); err != nil { // before a private key leaves this machine
				return refused(fmt.Errorf("%s: %w", args[1], keyAdvice(err)))
			}
			at, times, err := o.atTimes(c)
			if err != nil {
				return err
			}
			key, err := at.Keys().Add(c.Context(), args[0], adminapi.NewKey{Key: string(data), Kid: kid, Alg: alg, NotBefore: times.NotBefore, NotAfter: times.NotAfter})
			return o.outcome(key, err, "key %s (%s, thumbprint %s) is registered for client %s of issuer %s", key.Kid, key.Alg, key.Thumbprint, args[0], o.issuer)
		},
	}
	c.Flags().StringVar(&kid, "kid", "", "the `name` of the key in the header of assertions")
	c.Flags().StringVar(&alg, "alg", "", "the `algorithm` of its signatures, where the key does not determine it (RS256 or PS256)")
	complete(c, "alg", algs()...)
	return c
}
