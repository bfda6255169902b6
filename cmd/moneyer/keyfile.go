package main

import (
	"cmp"
	"crypto"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"moneyer/assertion"
	"moneyer/internal/jose"
	"moneyer/internal/platform"
)

// signerFlags name a private key, its kid and its algorithm.
type signerFlags struct{ key, kid, alg string }

func (f *signerFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.key, "key", "", "file with the private key, PEM or JWK ('-' reads standard input)")
	c.Flags().StringVar(&f.kid, "kid", "", "the name under which the public key is registered (default its thumbprint, where the platform requires a kid)")
	c.Flags().StringVar(&f.alg, "alg", "", "algorithm: "+strings.Join(algs(), ", ")+" (default the natural one of the key; RS256 for RSA)")
	completeNothing(c, "kid")
	complete(c, "alg", algs()...)
}

// loadSigner reads the private key and determines its kid.
func (a *app) loadSigner(f *signerFlags, p *platform.Profile) (key crypto.Signer, kid string, err error) {
	if f.key == "" {
		return nil, "", usagef("--key is missing: the file with your private key, as 'moneyer keygen' makes it")
	}
	data, err := a.readFile(f.key)
	if err != nil {
		return nil, "", usagef("--key: %w", err)
	}
	if key, err = assertion.ParseKey(data); err != nil {
		return nil, "", usagef("--key %s: %w", f.key, keyAdvice(plain(err)))
	}
	a.warnIfReadable(f.key)
	natural, err := jose.KeyAlg(key.Public())
	if err != nil {
		return nil, "", usagef("--key %s: %w", f.key, keyAdvice(err))
	}
	f.alg = string(jose.AlgOf(f.alg))
	algs := p.Policy.Assertion.Algs
	if alg := cmp.Or(f.alg, string(natural)); !slices.Contains(algs, alg) {
		return nil, "", usagef("--key %s is for %s, and profile %s takes %s: make one with 'moneyer keygen --alg %s'", f.key, alg, p.Name, strings.Join(algs, ", "), algs[0])
	}
	if f.kid != "" || p.Policy.Assertion.Kid == platform.KidOptional {
		return key, f.kid, nil
	}
	if kid, err = assertion.Thumbprint(key); err != nil {
		return nil, "", usage(plain(err))
	}
	a.note("%s requires a kid and none was given: using the key's thumbprint, %s", p.Name, kid)
	return key, kid, nil
}

// warnIfReadable warns of a private key file that everybody can read, or others can write.
func (a *app) warnIfReadable(name string) {
	info, err := os.Stat(name)
	if err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o037 != 0 {
		a.note("others on this machine may read or change %s: chmod 600 %[1]s", name)
	}
}

// keyAdvice adds a remedy to the error of a key.
func keyAdvice(err error) error {
	switch {
	case errors.Is(err, jose.ErrWrongCurve):
		return fmt.Errorf("%w: make a new pair with 'moneyer keygen', or with openssl ecparam -name prime256v1 -genkey -noout -out key.pem", err)
	case errors.Is(err, jose.ErrWeakKey):
		return fmt.Errorf("%w: make a new pair with 'moneyer keygen'", err)
	}
	return err
}

// readPublicKey reads a public key. PEM does not say whether an RSA key is for
// RS256 or PS256: alg determines that.
func (a *app) readPublicKey(flag, name, alg string) (*jose.PublicKey, error) {
	data, err := a.readFile(name)
	if err != nil {
		return nil, usagef("%s: %w", flag, err)
	}
	key, _, err := jose.ParsePublic(data, "")
	if err == nil && key.Alg() == jose.RS256 && alg == string(jose.PS256) {
		key, _, err = jose.ParsePublic(data, jose.PS256)
	}
	if err != nil {
		return nil, usagef("%s %s: %w", flag, name, keyAdvice(err))
	}
	return key, nil
}

// algs names the algorithms of keys.
func algs() []string {
	return []string{string(jose.ES256), string(jose.RS256), string(jose.PS256), string(jose.EdDSA)}
}
