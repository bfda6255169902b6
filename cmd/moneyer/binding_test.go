package main

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"moneyer/assertion"
)

// certificateFile writes a certificate in PEM behind its private key, and returns its thumbprint.
func certificateFile(t *testing.T) (file, thumbprint string) {
	t.Helper()
	key := mustKey(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "client.crt")
	private, err := assertion.MarshalKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := append(private, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(der)
	return file, encodeThumbprint(&digest)
}

// TestVerifyBoundToken: a token that is bound to a certificate is valid with it alone; inspect
// looks at its signature, and not at who shows it.
func TestVerifyBoundToken(t *testing.T) {
	i := newTokenIssuer(t)
	mine, thumbprint := certificateFile(t)
	other, another := certificateFile(t)
	cnf := func(text string) string { return i.token("at+jwt", `"scope"`, `"cnf":`+text+`,"scope"`) }
	bound := cnf(`{"x5t#S256":"` + thumbprint + `"}`)
	for name, test := range map[string]struct {
		token string
		flags []string
		code  int
		want  string // a line
	}{
		"with its certificate":    {bound, []string{"--cert", mine}, exitOK, "✓ binding    to the client certificate " + thumbprint},
		"with another":            {bound, []string{"--cert", other}, exitRefused, "✗ binding    to the client certificate " + thumbprint + "; expected " + another + ", of --cert"},
		"without one":             {bound, nil, exitRefused, "✗ binding    to the client certificate " + thumbprint + "; expected that it comes with it: give --cert"},
		"one that is not bound":   {i.token("at+jwt"), []string{"--cert", mine}, exitOK, "✓ good until"},
		"bound to something else": {cnf(`{"jkt":"` + thumbprint + `"}`), []string{"--cert", mine}, exitRefused, `✗ claims     JWT claims not acceptable: cnf: the member "jkt", which cannot be checked`},
		"a file without one":      {bound, []string{"--cert", i.jwks}, exitUsage, ""},
		"no file":                 {bound, []string{"--cert", mine + "x"}, exitUsage, ""},
	} {
		t.Run(name, func(t *testing.T) {
			i.t = t
			code, out, stderr := i.verify(test.token, append(test.flags, "--audience", "api")...)
			if code != test.code || !strings.Contains("\n"+out, "\n"+test.want) {
				t.Errorf("exit code %d, want %d and %q:\n%s%s", code, test.code, test.want, out, stderr)
			}
		})
	}
	code, out, _ := runCommand(t, bound, "inspect", "--issuer", i.url)
	if code != exitOK || !strings.Contains(out, "signature verified") || !strings.Contains(out, thumbprint) {
		t.Errorf("inspect: %d\n%s", code, out)
	}
}
