package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"moneyer/internal/jose"
)

func (a *app) keygenCommand() *cobra.Command {
	var alg, out string
	var jwk bool
	c := &cobra.Command{
		Use:   "keygen [--alg ALG] [--out FILE]",
		Short: "Generate a key pair, and print what to send to the platform",
		Long: `Generate a key pair with which a client signs its assertions.

The private key is written to FILE as PEM (PKCS #8), readable by its owner only.
The public key is written to FILE.pub. Existing files are never overwritten. The
printed kid is the RFC 7638 thumbprint of the key, so both sides can compute and
compare it.`,
		Example: `  moneyer keygen                               key.pem and key.pem.pub, for ES256
  moneyer keygen --alg RS256 --out client.pem
  moneyer keygen --jwk                         print the public key as a JWK too`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error { return a.keygen(jose.AlgOf(alg), out, jwk) },
	}
	c.Flags().StringVar(&alg, "alg", string(jose.ES256), "algorithm of the key: "+strings.Join(algs(), ", "))
	c.Flags().StringVar(&out, "out", "key.pem", "file for the private key; the public key goes to the same name with .pub")
	c.Flags().BoolVar(&jwk, "jwk", false, "print the public key as a JWK too")
	complete(c, "alg", algs()...)
	return c
}

// keyPair is the result of keygen.
type keyPair struct {
	Alg     jose.Alg        `json:"alg"`
	Kid     string          `json:"kid"`
	Private string          `json:"private_key_file"`
	Public  string          `json:"public_key_file"`
	PEM     string          `json:"public_pem"`
	JWK     json.RawMessage `json:"jwk"`
}

func (a *app) keygen(alg jose.Alg, out string, jwk bool) error {
	if !alg.Known() {
		return usagef("--alg %q is not known; choose from %s", alg, strings.Join(algs(), ", "))
	}
	key, err := jose.GenerateKey(alg)
	if err != nil {
		return unavailable(err)
	}
	public, err := jose.NewPublicKey(key.Public(), alg)
	if err != nil {
		return unavailable(err)
	}
	private, err := jose.MarshalPrivatePEM(key)
	if err != nil {
		return unavailable(err)
	}
	pair := keyPair{Alg: alg, Kid: public.Thumbprint(), Private: out, Public: out + ".pub",
		PEM: string(public.PEM()), JWK: public.AppendJWK(nil, public.Thumbprint())}
	if err := pair.write(private); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(pair)
	}
	return a.printKeyPair(&pair, jwk)
}

// write creates both files, or neither.
func (p *keyPair) write(private []byte) error {
	if err := writeNew(p.Public, []byte(p.PEM), 0o644); err != nil {
		return err
	}
	if err := writeNew(p.Private, private, 0o600); err != nil {
		return errors.Join(err, os.Remove(p.Public))
	}
	return nil
}

// writeNew creates a file that must not exist yet.
func writeNew(name string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	switch {
	case errors.Is(err, fs.ErrExist):
		return usagef("%s exists and keys are never overwritten: move it away, or choose another name with --out", name)
	case err != nil:
		return unavailable(err)
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return unavailable(errors.Join(err, os.Remove(name)))
	}
	return nil
}

func (a *app) printKeyPair(p *keyPair, jwk bool) error {
	fmt.Fprintf(a.out, "%s\n\n", a.paint(bold, "A new key pair for "+string(p.Alg)))
	if err := writeTable(a.out, [][]string{
		{"  kid", p.Kid},
		{"  private key", p.Private},
		{"  public key", p.Public},
	}); err != nil {
		return err
	}
	fmt.Fprintf(a.out, `
Send to the platform:  %s and the kid. If the platform gives the key
                       another kid, use that one (--kid).
Never send to anybody: %s. It stays on this machine, or in your
                       secret store; the platform does not need it.
`, p.Public, p.Private)
	if jwk {
		fmt.Fprintf(a.out, "\n%s\n", p.JWK)
	}
	return nil
}
