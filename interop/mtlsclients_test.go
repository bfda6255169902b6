package interop

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"moneyer/internal/clientcert/certtest"
)

const (
	byPKI  = "tls_client_auth"
	bySelf = "self_signed_tls_client_auth"
)

// overTLS is a Moneyer that speaks TLS and asks for certificates. Its metadata name an alias for mutual
// TLS at another host (RFC 8705 section 5).
type overTLS struct {
	dir, issuer, alias string
	ca                 *certtest.CA
	server             tls.Certificate
}

func startOverTLS(t *testing.T) *overTLS {
	t.Helper()
	ports := freePorts(2)
	s := &overTLS{dir: t.TempDir(), issuer: "https://127.0.0.1:" + ports[0] + "/plain", alias: "https://localhost:" + ports[0] + "/plain",
		ca: certtest.NewCA(t, time.Now())}
	s.server = s.ca.Client(t, "localhost", func(c *x509.Certificate) {
		c.DNSNames, c.IPAddresses, c.ExtKeyUsage = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})
	s.write(t, "server.pem", certtest.PEM(s.server.Leaf))
	s.write(t, "server.key", certtest.KeyPEM(t, s.server))
	s.write(t, "ca.pem", s.ca.PEM())
	s.write(t, "moneyer.toml", fmt.Appendf(nil, `store = "sqlite:moneyer.db"
master_key = "file:master.key"
[listen]
address = "127.0.0.1:%s"
tls_cert = "server.pem"
tls_key = "server.key"
client_cert = "ask"
[admin]
address = "127.0.0.1:%s"
[limits]
drain_delay = "-1s"
[issuers.plain]
url = %q
mtls_url = %q
profile = "oauth2"
resource_audience = "https://api.example"
tls_client_auth_ca = "ca.pem"
`, ports[0], ports[1], s.issuer, s.alias))
	program(t, nil, moneyer.binary, "init", "--dir", s.dir)
	daemon(t, "127.0.0.1:"+ports[0], moneyer.binary, "serve", "--config", filepath.Join(s.dir, "moneyer.toml"))
	return s
}

func (s *overTLS) write(t *testing.T, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (s *overTLS) admin(t *testing.T, args ...string) string {
	t.Helper()
	args = append(args, "--issuer", "plain", "--admin", filepath.Join(s.dir, "moneyer-admin.json"))
	return strings.TrimSpace(string(program(t, nil, moneyer.binary, args...)))
}

// shown is an order with the certificate that its token must be bound to.
type shown struct {
	order
	certificate *x509.Certificate
}

// orders are those of three clients: one whom an authority names, one with a self-signed certificate, and
// one with a secret and a key, whose tokens are bound all the same.
func (s *overTLS) orders(t *testing.T) (all []shown) {
	mine, self, key := s.ca.Client(t, "pay-1", nil), certtest.SelfSigned(t, time.Now(), "pay-2", nil), newKey(t, "ES256")
	stranger, otherSelf := s.ca.Client(t, "pay-9", nil), certtest.SelfSigned(t, time.Now(), "pay-2", nil)
	for _, client := range []string{"app-pki", "app-self", "app-keyed"} {
		s.admin(t, "client", "add", client, "--scope", "pay", "--bound-tokens", "mtls")
	}
	s.admin(t, "certificate", "add", "app-pki", "--subject-dn", "CN=pay-1")
	s.admin(t, "certificate", "add", "app-self", "--pem", s.write(t, "self.pem", certtest.PEM(self.Leaf)))
	s.admin(t, "key", "add", "app-keyed", key.public, "--kid", key.kid)
	secret := s.admin(t, "secret", "add", "app-keyed")
	add := func(name, client, auth, err string, certificate *tls.Certificate) {
		f := fetching{Issuer: s.issuer, Discovery: "oauth2", ClientID: client, Auth: auth, CA: string(s.ca.PEM()),
			TokenEndpoint: s.issuer + "/oauth2/token", Audience: s.issuer, Lifetime: 300}
		o := shown{order: order{name: name, fetching: f, scope: "pay", err: err}}
		if certificate != nil {
			o.certificate, o.TokenEndpoint = certificate.Leaf, s.alias+"/oauth2/token"
			o.Certificate, o.CertificateKey = string(certtest.PEM(certificate.Leaf)), string(certtest.KeyPEM(t, *certificate))
		}
		switch auth {
		case basic:
			o.Secret = secret
		case privateKeyJWT:
			o.PEM, o.Alg, o.Kid = key.pem(t), key.alg, key.kid
		}
		all = append(all, o)
	}
	add("by an authority", "app-pki", byPKI, "", &mine)
	add("by an authority, of another name", "app-pki", byPKI, "invalid_client", &stranger)
	add("by an authority, no certificate", "app-pki", byPKI, "invalid_client", nil)
	add("self-signed", "app-self", bySelf, "", &self)
	add("self-signed, of the same name", "app-self", bySelf, "invalid_client", &otherSelf)
	add("self-signed, signed by an authority", "app-self", bySelf, "invalid_client", &mine)
	add("secret, bound", "app-keyed", basic, "", &stranger)
	add("private_key_jwt, bound", "app-keyed", privateKeyJWT, "", &stranger)
	return all
}

// TestCertificateClients: real clients authenticate by certificates and get bound tokens, at the alias
// that the metadata name.
func TestCertificateClients(t *testing.T) {
	node := func(script string) func(*testing.T, []fetching) []fetched {
		return func(t *testing.T, work []fetching) (results []fetched) {
			askNode(t, script, "", work, &results)
			return results
		}
	}
	python := func(ask func(*testing.T, string, string, any, any)) func(*testing.T, []fetching) []fetched {
		return func(t *testing.T, work []fetching) (results []fetched) {
			ask(t, "authlib_client.py", "authlib", work, &results)
			return results
		}
	}
	java := func(class string) func(*testing.T, []fetching) []fetched {
		return func(t *testing.T, work []fetching) (results []fetched) {
			askJava(t, class, work, &results)
			return results
		}
	}
	every := []string{byPKI, bySelf, basic, privateKeyJWT}
	s := startOverTLS(t)
	all := s.orders(t)
	for _, c := range []client{
		{"golang.org-x-oauth2", needNothing, eachFetched(fetchBoundWithXOAuth2), []string{byPKI, bySelf}, false},
		{"npm oauth4webapi", needNode("oauth4webapi"), node("oauth4webapi.mjs"), every, false},
		{"npm openid-client", needNode("openid-client"), node("openid-client.mjs"), every, false},
		{"python authlib", needPython("authlib requests", "python3-authlib python3-requests"), python(askPython), every, false},
		{"pypi authlib", needNewestPython, python(askNewestPython), every, false},
		{"java spring-security", needJava, java("SpringClient"), every, false},
		{"java nimbus", needJava, java("NimbusClient"), every, false},
		{"java apache-httpclient", needJava, java("ApacheHttpClient"), []string{byPKI, bySelf, basic}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.need(t)
			var mine []shown
			var work []fetching
			for _, o := range all {
				if strings.Contains(" "+strings.Join(c.ways, " ")+" ", " "+o.Auth+" ") {
					mine, work = append(mine, o), append(work, o.fetching)
				}
			}
			results := c.fetch(t, work)
			if len(results) != len(mine) {
				t.Fatalf("%d results for %d", len(results), len(mine))
			}
			for n, o := range mine {
				o.judge(t, results[n])
			}
		})
	}
}

func (o *shown) judge(t *testing.T, got fetched) {
	t.Helper()
	switch {
	case got.Error != o.err || (got.AccessToken == "") != (o.err != ""):
		t.Errorf("%s: got %+v, want the error %q", o.name, got, o.err)
	case got.AccessToken != "" && boundTo(t, got.AccessToken) != x5t(o.certificate):
		t.Errorf("%s: bound to %v", o.name, boundTo(t, got.AccessToken))
	}
}

// fetchBoundWithXOAuth2 gives golang.org/x/oauth2 a client that shows the certificate.
func fetchBoundWithXOAuth2(t *testing.T, w fetching) fetched {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(w.CA))
	config := &tls.Config{RootCAs: roots}
	if block, _ := pem.Decode([]byte(w.Certificate)); block != nil {
		pair, err := tls.X509KeyPair([]byte(w.Certificate), []byte(w.CertificateKey))
		if err != nil {
			t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	transport := &http.Transport{TLSClientConfig: config}
	defer transport.CloseIdleConnections()
	return fetchAt(t, w, w.TokenEndpoint, &http.Client{Transport: transport}, oauth2.AuthStyleInParams)
}
