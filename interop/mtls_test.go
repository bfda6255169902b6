package interop

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"moneyer/internal/clientcert/certtest"
)

// mtlsFronts are the proxies in front of Moneyer that forward client certificates, each with its file in
// examples/.
var mtlsFronts = []struct {
	name, file string
	need       func(*testing.T)
}{
	{"nginx", "nginx/mtls.conf", needProgram("nginx")},
	{"haproxy", "haproxy/mtls.cfg", needProgram("haproxy")},
	{"caddy", "caddy/mtls.Caddyfile", needProgram("caddy")},
	{"apache", "apache/mtls.conf", needFile("/usr/sbin/apache2", "apache2-bin")},
}

// behindProxy is a Moneyer whose clients' certificates come through a proxy.
type behindProxy struct {
	dir, address, proxy string
	ca                  *certtest.CA
	// server is the TLS certificate of the proxy, with its key.
	server tls.Certificate
	log    *logBuffer
}

// startMoneyer starts a server with a client that authenticates by certificates: app-1, by a name that an
// authority signs, and app-2, by a self-signed one.
func (b *behindProxy) startMoneyer(t *testing.T, self tls.Certificate) {
	t.Helper()
	ports := freePorts(3)
	b.address, b.proxy = "127.0.0.1:"+ports[0], "127.0.0.1:"+ports[2]
	b.write(t, "ca.pem", b.ca.PEM())
	cert, key := certtest.PEM(b.server.Leaf), certtest.KeyPEM(t, b.server)
	b.write(t, "proxy.pem", cert, key)
	b.write(t, "proxy.key", key)
	b.write(t, "moneyer.toml", fmt.Appendf(nil, `store = "sqlite:moneyer.db"
master_key = "file:master.key"
[listen]
address = %q
client_cert_header = "Client-Cert"
client_cert_chain_header = "Client-Cert-Chain"
client_cert_proxies = ["127.0.0.0/8"]
[admin]
address = "127.0.0.1:%s"
[limits]
drain_delay = "-1s"
[issuers.plain]
url = "http://%[1]s"
profile = "oauth2"
resource_audience = "https://api.example"
tls_client_auth_ca = "ca.pem"
`, b.address, ports[1]))
	program(t, nil, moneyer.binary, "init", "--dir", b.dir)
	b.log = daemon(t, b.address, moneyer.binary, "serve", "--config", filepath.Join(b.dir, "moneyer.toml"))
	admin := func(args ...string) {
		t.Helper()
		program(t, nil, moneyer.binary, append(args, "--issuer", "plain", "--admin", filepath.Join(b.dir, "moneyer-admin.json"))...)
	}
	for _, client := range []string{"app-1", "app-2"} {
		admin("client", "add", client, "--bound-tokens", "mtls")
	}
	admin("certificate", "add", "app-1", "--subject-dn", "CN=pay-1")
	admin("certificate", "add", "app-2", "--pem", b.write(t, "self.pem", certtest.PEM(self.Leaf)))
}

func (b *behindProxy) write(t *testing.T, name string, parts ...[]byte) string {
	t.Helper()
	path := filepath.Join(b.dir, name)
	var all []byte
	for _, part := range parts {
		all = append(all, part...)
	}
	if err := os.WriteFile(path, all, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// startProxy starts a proxy with a file of examples/, with its own paths and ports, and other swaps.
func (b *behindProxy) startProxy(t *testing.T, name, file string, swaps ...string) {
	t.Helper()
	folder := "/etc/" + map[string]string{"nginx": "nginx", "haproxy": "haproxy", "caddy": "caddy", "apache": "apache2"}[name]
	swaps = append(swaps, folder+"/proxy.pem", filepath.Join(b.dir, "proxy.pem"), folder+"/proxy.key", filepath.Join(b.dir, "proxy.key"),
		"127.0.0.1:8443", b.proxy, "auth.example.com:8443", b.site(), "127.0.0.1:8080", b.address,
		"/run/apache2/apache2.pid", filepath.Join(b.dir, "pid"), "/var/log/apache2/error.log", "/dev/stderr")
	if name == "nginx" {
		temp := "http {\naccess_log off;"
		for _, what := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
			temp += fmt.Sprintf("\n%s_temp_path %s;", what, filepath.Join(b.dir, what))
		}
		swaps = append(swaps, "http {", temp)
	}
	path := b.example(t, file, swaps...)
	switch name {
	case "nginx":
		daemon(t, b.proxy, "nginx", "-e", "stderr", "-p", b.dir, "-c", path, "-g", "daemon off; pid "+path+".pid;")
	case "haproxy":
		daemon(t, b.proxy, "haproxy", "-db", "-f", path)
	case "caddy":
		daemon(t, b.proxy, "env", "HOME="+b.dir, "XDG_DATA_HOME="+b.dir, "XDG_CONFIG_HOME="+b.dir, "caddy", "run", "--adapter", "caddyfile", "--config", path)
	case "apache":
		daemon(t, b.proxy, "/usr/sbin/apache2", "-DFOREGROUND", "-f", path)
	}
}

// site is the proxy by its host.
func (b *behindProxy) site() string {
	_, port, _ := net.SplitHostPort(b.proxy)
	return "auth.example.com:" + port
}

// example writes a file of examples/.
func (b *behindProxy) example(t *testing.T, file string, swaps ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "examples", file))
	if err != nil {
		t.Fatal(err)
	}
	return b.write(t, filepath.Base(file), []byte(strings.NewReplacer(swaps...).Replace(string(text))))
}

// startGuard starts the proxy in front of an API, which asks /check, with the lines for client certificates.
func (b *behindProxy) startGuard(t *testing.T, name, api string) *behindProxy {
	t.Helper()
	g := *b
	g.proxy = "127.0.0.1:" + freePorts(1)[0]
	const asked = "/d1/authz/v1/check?scope=d1-s2s:api:merchant-gtw&audience=https://api.example.com/d1"
	swaps := []string{asked, "/check?audience=https://api.example", "127.0.0.1:9000", api, "#mtls ", ""}
	switch name {
	case "nginx":
		g.startProxy(t, name, "nginx/nginx.conf", append(swaps, "listen 127.0.0.1:8000;", "listen "+g.proxy+" ssl;", "#tls ssl_certificate", "ssl_certificate")...)
	case "haproxy":
		socket := []string{"abns@moneyer-check", "unix@" + filepath.Join(g.dir, "check")}
		lua := g.example(t, "haproxy/moneyer.lua", socket...)
		g.startProxy(t, name, "haproxy/haproxy.cfg", append([]string{"/etc/haproxy/moneyer.lua", lua, "bind 127.0.0.1:8000", "", "#mtls bind :8443", "bind " + g.proxy}, append(swaps, socket...)...)...)
	case "caddy":
		g.startProxy(t, name, "caddy/Caddyfile", append(swaps, "http://127.0.0.1:8000 {", "https://"+g.site()+" {\nbind 127.0.0.1", "admin off", "admin off\nauto_https off")...)
	}
	return &g
}

// caller is a client of the proxy that shows those certificates.
func (b *behindProxy) caller(t *testing.T, shown ...tls.Certificate) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(b.server.Leaf)
	config := &tls.Config{RootCAs: roots, ServerName: "auth.example.com", GetClientCertificate: func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if len(info.AcceptableCAs) > 0 {
			t.Error("the proxy names authorities, so that clients withhold other certificates")
		}
		if len(shown) == 0 {
			return &tls.Certificate{}, nil
		}
		return &shown[0], nil
	}}
	transport := &http.Transport{TLSClientConfig: config}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 15 * time.Second}
}

// token asks for one through the proxy. header has names and values in turn.
func (b *behindProxy) token(t *testing.T, from *http.Client, client string, header ...string) (status int, token string) {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {client}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+b.proxy+"/oauth2/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "auth.example.com"
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		req.Header[header[i]] = append(req.Header[header[i]], header[i+1])
	}
	resp, err := from.Do(req)
	if err != nil {
		t.Fatalf("%v\n%s", err, b.log)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Token string `json:"access_token"`
	}
	_ = json.Unmarshal(body, &answer)
	return resp.StatusCode, answer.Token
}

// TestCertificatesThroughProxies: real proxies, configured by the files in examples/, forward their client's
// certificate, and nothing that the client sent itself: with and without a certificate (RFC 9440 §2.4).
func TestCertificatesThroughProxies(t *testing.T) {
	for _, f := range mtlsFronts {
		t.Run(f.name, func(t *testing.T) {
			f.need(t)
			t.Parallel()
			b := &behindProxy{dir: t.TempDir(), ca: certtest.NewCA(t, time.Now())}
			b.server = certtest.SelfSigned(t, time.Now(), "auth.example.com", func(c *x509.Certificate) {
				c.DNSNames, c.IPAddresses, c.ExtKeyUsage = []string{"auth.example.com"}, []net.IP{net.IPv4(127, 0, 0, 1)}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
			})
			mine, self, stranger := b.ca.Client(t, "pay-1", nil), certtest.SelfSigned(t, time.Now(), "pay-2", nil), b.ca.Client(t, "pay-9", nil)
			b.startMoneyer(t, self)
			b.startProxy(t, f.name, f.file)
			b.check(t, mine, self, stranger)
			if f.name != "apache" { // which verifies by itself, and knows no bound tokens
				b.guards(t, f.name, mine, stranger)
			}
		})
	}
}

func (b *behindProxy) check(t *testing.T, mine, self, stranger tls.Certificate) {
	t.Helper()
	none := b.caller(t)
	for client, shown := range map[string]tls.Certificate{"app-1": mine, "app-2": self} {
		from := b.caller(t, shown)
		for range 2 { // the second time on the same connection
			status, token := b.token(t, from, client)
			if status != http.StatusOK {
				t.Fatalf("%s: %d\n%s", client, status, b.log)
			}
			bound, _ := claimsOf(t, token)["cnf"].(map[string]any)
			if bound["x5t#S256"] != x5t(shown.Leaf) {
				t.Errorf("%s: bound to %v", client, bound)
			}
		}
		if status, _ := b.token(t, none, client); status != http.StatusUnauthorized {
			t.Errorf("%s without a certificate: %d", client, status)
		}
	}
	der := ":" + base64.StdEncoding.EncodeToString(mine.Leaf.Raw) + ":"
	pem := strings.ReplaceAll(url.QueryEscape(string(certtest.PEM(mine.Leaf))), "+", "%20")
	for name, header := range map[string][]string{
		"RFC 9440":                  {"Client-Cert", der},
		"PEM":                       {"Client-Cert", pem},
		"in lower case":             {"client-cert", der},
		"in another case":           {"CLIENT-CERT", der},
		"twice":                     {"Client-Cert", der, "Client-Cert", der},
		"with an underscore":        {"Client_Cert", der},
		"with its chain":            {"Client-Cert", der, "Client-Cert-Chain", der},
		"the chain alone":           {"Client-Cert-Chain", der},
		"listed in Connection":      {"Client-Cert", der, "Connection", "Client-Cert"},
		"of Envoy":                  {"X-Forwarded-Client-Cert", "Cert=\"" + pem + "\""},
		"named as one of the proxy": {"Client-Cert", der, "X-Forwarded-For", "127.0.0.1"},
	} {
		for kind, from := range map[string]*http.Client{"no certificate": none, "another's certificate": b.caller(t, stranger)} {
			// 400 is a proxy's own refusal, never Moneyer's answer to a header that arrived.
			if status, token := b.token(t, from, "app-1", header...); token != "" || status != http.StatusUnauthorized {
				t.Errorf("forged %s, with %s: %d", name, kind, status)
			}
		}
		from := b.caller(t, self) // whoever is authenticated stays itself
		if status, token := b.token(t, from, "app-2", header...); status != http.StatusOK || x5t(self.Leaf) != boundTo(t, token) {
			t.Errorf("forged %s, with the own certificate: %d", name, status)
		}
	}
}

// guards checks the proxy in front of an API: a bound token is good with its certificate alone.
func (b *behindProxy) guards(t *testing.T, name string, mine, stranger tls.Certificate) {
	t.Helper()
	reached := 0
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached++ }))
	defer api.Close()
	_, token := b.token(t, b.caller(t, mine), "app-1")
	g := b.startGuard(t, name, strings.TrimPrefix(api.URL, "http://"))
	der := ":" + base64.StdEncoding.EncodeToString(mine.Leaf.Raw) + ":"
	for _, test := range []struct {
		name   string
		shown  []tls.Certificate
		header string
		want   int
	}{
		{"with it", []tls.Certificate{mine}, "", http.StatusOK},
		{"without", nil, "", http.StatusUnauthorized},
		{"with another", []tls.Certificate{stranger}, "", http.StatusUnauthorized},
		{"forged", nil, der, http.StatusUnauthorized},
		{"forged, with another", []tls.Certificate{stranger}, der, http.StatusUnauthorized},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+g.proxy+"/cards", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "auth.example.com"
		req.Header.Set("Authorization", "Bearer "+token)
		if test.header != "" {
			req.Header.Set("Client-Cert", test.header)
		}
		before := reached
		resp, err := g.caller(t, test.shown...).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != test.want || (reached > before) != (test.want == http.StatusOK) {
			t.Errorf("the API, %s: %d, reached %d times\n%s", test.name, resp.StatusCode, reached-before, b.log)
		}
	}
}

// boundTo is the certificate that a token is bound to.
func boundTo(t *testing.T, token string) any {
	t.Helper()
	if token == "" {
		return nil
	}
	bound, _ := claimsOf(t, token)["cnf"].(map[string]any)
	return bound["x5t#S256"]
}

// x5t is the x5t#S256 of a certificate (RFC 8705 section 3.1).
func x5t(cert *x509.Certificate) string {
	digest := sha256.Sum256(cert.Raw)
	return base64.RawURLEncoding.EncodeToString(digest[:])
}

// TestUntestedCertificateExample: Envoy's file has the settings that replace the caller's header, and is not run.
func TestUntestedCertificateExample(t *testing.T) {
	if _, _, err := tryProgram(t.Context(), nil, python, "-c", "import yaml"); err != nil {
		missing(t, "python's yaml", "apt-get install python3-yaml")
	}
	text, err := os.ReadFile(filepath.Join("..", "examples", "envoy", "mtls.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var envoy struct {
		Static struct {
			Listeners []struct {
				Chains []struct {
					Socket struct {
						Config struct {
							Require bool `json:"require_client_certificate"`
							Common  struct {
								Validation struct {
									Trust string `json:"trust_chain_verification"`
								} `json:"validation_context"`
							} `json:"common_tls_context"`
						} `json:"typed_config"`
					} `json:"transport_socket"`
					Filters []struct {
						Config struct {
							Forward string          `json:"forward_client_cert_details"`
							Set     map[string]bool `json:"set_current_client_cert_details"`
						} `json:"typed_config"`
					}
				} `json:"filter_chains"`
			}
		} `json:"static_resources"`
	}
	out := program(t, text, python, "-c", "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)")
	if err := json.Unmarshal(out, &envoy); err != nil {
		t.Fatal(err)
	}
	chain := envoy.Static.Listeners[0].Chains[0]
	if tls := chain.Socket.Config; tls.Require || tls.Common.Validation.Trust != "ACCEPT_UNTRUSTED" {
		t.Errorf("Envoy's TLS: %+v", tls)
	}
	if manager := chain.Filters[0].Config; manager.Forward != "SANITIZE_SET" || len(manager.Set) != 1 || !manager.Set["cert"] {
		t.Errorf("Envoy's header: %+v", manager)
	}
}
