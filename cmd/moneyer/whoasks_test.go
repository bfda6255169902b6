package main

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"moneyer/internal/clientcert/certtest"
	"moneyer/internal/jose"
)

// TestWhoAsksScripts runs testdata/script/whoasks/*.txtar as TestOnboardingScripts does. The
// issuer acme of their sandbox takes client certificates from a proxy's header, of the
// authority that signed client.crt and such as self.crt, and trusts the issuer that signed
// idp.jwt. The issuer strict demands certificates beside assertions.
func TestWhoAsksScripts(t *testing.T) {
	now := time.Now()
	ca := certtest.NewCA(t, now)
	client := ca.Client(t, "client", func(c *x509.Certificate) { c.DNSNames = []string{"client.shop.example"} })
	self := certtest.SelfSigned(t, now, "self", func(c *x509.Certificate) { c.NotAfter = now.Add(3650*24*time.Hour + time.Hour) })
	private, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	idp, err := jose.NewSigner(private, jose.ES256, "idp-1", "JWT")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script", "whoasks"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			files := map[string][]byte{
				"ca.crt": ca.PEM(), "client.header": header(client.Leaf), "self.header": header(self.Leaf),
				"client.crt": certtest.PEM(client.Leaf), "self.crt": certtest.PEM(self.Leaf), "self.der": self.Leaf.Raw, "self.key": certtest.KeyPEM(t, self),
			}
			for name, data := range files {
				if err := os.WriteFile(filepath.Join(env.WorkDir, name), data, 0o600); err != nil {
					return err
				}
			}
			err := startSandbox(env, func(configuration string) string { return whoAsks(configuration, env.WorkDir, idp.Public()) })
			claims := fmt.Sprintf(`{"iss":"https://sso.example/realms/shop","sub":"0b1","azp":"merchant","tier":"gold","aud":%q,"iat":%d,"exp":%d,"jti":"1"}`,
				env.Getenv("SANDBOX")+"/acme", now.Unix(), now.Add(14*time.Minute).Unix())
			token, signErr := idp.Sign(nil, []byte(claims))
			return errors.Join(err, signErr, os.WriteFile(filepath.Join(env.WorkDir, "idp.jwt"), token, 0o600))
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "capture": capture},
	})
}

// header is that of RFC 9440.
func header(cert *x509.Certificate) []byte {
	return []byte("Client-Cert: :" + base64.StdEncoding.EncodeToString(cert.Raw) + ":\n")
}

// whoAsks adds the issuer acme to the configuration of a sandbox.
func whoAsks(configuration, dir string, idp *jose.PublicKey) string {
	_, address, _ := strings.Cut(configuration, "address = \"")
	address, _, _ = strings.Cut(address, "\"")
	return strings.Replace(configuration, "[listen]\n", "[listen]\nclient_cert_header = \"Client-Cert\"\nclient_cert_proxies = [\"127.0.0.0/8\"]\n", 1) + fmt.Sprintf(`
[issuers.acme]
url = "http://%[1]s/acme"
profile = "oauth2"
environment = "sandbox"
resource_audience = "https://api.acme.example"
tls_client_auth_ca = %[2]q

[issuers.acme.trusted.keycloak]
issuer = "https://sso.example/realms/shop"
jwks = '{"keys":[%[3]s]}'
claims = ["azp"]
replay = "until-exp"

[issuers.strict]
url = "http://%[1]s/strict"
profile = "thales-d1"
environment = "sandbox"
resource_audience = "https://api.strict.example"
client_certificate = ["self_signed_tls_client_auth"]
`, address, filepath.Join(dir, "ca.crt"), idp.AppendJWK(nil, "idp-1"))
}
