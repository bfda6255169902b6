package interop

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const realm = "partners"

// keycloak is a Keycloak in dev mode, on loopback, with its data in memory.
type keycloak struct {
	home, url, settings string
	cmd                 *exec.Cmd
	log                 *logBuffer
	exited              chan struct{}
}

// startKeycloak starts the Keycloak below java/target. Its first start takes a minute, for it builds itself.
func startKeycloak(t *testing.T) *keycloak {
	t.Helper()
	needSlow(t)
	homes, err := filepath.Glob(filepath.Join("java", "target", "keycloak-*"))
	if err != nil || len(homes) != 1 {
		missing(t, "Keycloak", "mvn -f interop/java/pom.xml compile")
	}
	port := freePorts(1)[0]
	k := &keycloak{home: homes[0], url: "http://127.0.0.1:" + port, settings: filepath.Join(t.TempDir(), "kcadm.config"),
		log: &logBuffer{}, exited: make(chan struct{})}
	k.cmd = exec.Command("sh", filepath.Join(k.home, "bin", "kc.sh"), "start-dev", "--db=dev-mem", "--http-host=127.0.0.1", "--http-port="+port)
	k.cmd.Env = append(os.Environ(), "KC_BOOTSTRAP_ADMIN_USERNAME=admin", "KC_BOOTSTRAP_ADMIN_PASSWORD=admin")
	k.cmd.Stdout, k.cmd.Stderr = k.log, k.log
	k.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // its script has a child
	if err := k.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = k.cmd.Wait(); close(k.exited) }()
	t.Cleanup(k.stop)
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		select {
		case <-k.exited:
			t.Fatalf("Keycloak does not run:\n%s", k.log)
		default:
		}
		if resp, err := http.Get(k.url + "/realms/master"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				k.admin(t, "config", "credentials", "--server", k.url, "--realm", "master", "--user", "admin", "--password", "admin")
				return k
			}
		}
	}
	t.Fatalf("Keycloak is not ready:\n%s", k.log)
	return nil
}

func (k *keycloak) stop() {
	_ = syscall.Kill(-k.cmd.Process.Pid, syscall.SIGKILL) // there is nothing to keep
	<-k.exited
}

// admin runs kcadm, Keycloak's own command.
func (k *keycloak) admin(t *testing.T, args ...string) string {
	t.Helper()
	args = append([]string{filepath.Join(k.home, "bin", "kcadm.sh")}, append(args, "--config", k.settings)...)
	return strings.TrimSpace(string(program(t, nil, "sh", args...)))
}

// setUp makes a realm.
func (k *keycloak) setUp(t *testing.T) {
	t.Helper()
	k.admin(t, "create", "realms", "-s", "realm="+realm, "-s", "enabled=true")
	k.admin(t, "create", "components", "-r", realm, "-s", "name=ecdsa", "-s", "providerId=ecdsa-generated", "-s", "providerType=org.keycloak.keys.KeyProvider",
		"-s", `config.ecdsaEllipticCurveKey=["P-256"]`, "-s", `config.priority=["100"]`)
}

// addClient makes a client as docs/trusted-issuers.md says, and returns Keycloak's own id of it. One
// that is allowed the full scope gets "account" into aud, by the default scope "roles".
func (k *keycloak) addClient(t *testing.T, client, audience, fullScope string) string {
	t.Helper()
	id := k.admin(t, "create", "clients", "-r", realm, "-s", "clientId="+client, "-s", "secret=secret-of-"+client, "-s", "serviceAccountsEnabled=true",
		"-s", "standardFlowEnabled=false", "-s", "fullScopeAllowed="+fullScope, "-s", `attributes."access.token.signed.response.alg"=ES256`, "-i")
	k.admin(t, "create", "clients/"+id+"/protocol-mappers/models", "-r", realm, "-s", "name=audience", "-s", "protocol=openid-connect",
		"-s", "protocolMapper=oidc-audience-mapper", "-s", `config."included.custom.audience"=`+audience, "-s", `config."access.token.claim"=true`)
	return id
}

// removeScope takes a default scope from a client.
func (k *keycloak) removeScope(t *testing.T, client, name string) {
	t.Helper()
	var scopes []struct{ ID, Name string }
	if err := json.Unmarshal([]byte(k.admin(t, "get", "client-scopes", "-r", realm, "--fields", "id,name")), &scopes); err != nil {
		t.Fatal(err)
	}
	for _, s := range scopes {
		if s.Name == name {
			k.admin(t, "delete", "clients/"+client+"/default-client-scopes/"+s.ID, "-r", realm)
		}
	}
}

// token gets a token of Keycloak by client_credentials.
func (k *keycloak) token(t *testing.T, client string) string {
	t.Helper()
	got := post(t, k.url+"/realms/"+realm+"/protocol/openid-connect/token", url.Values{"grant_type": {"client_credentials"},
		"client_id": {client}, "client_secret": {"secret-of-" + client}})
	if got.outcome() != token {
		t.Fatalf("Keycloak answers %+v", got)
	}
	return got.AccessToken
}

// trusting is a Moneyer that trusts a Keycloak.
type trusting struct{ dir, address string }

func newTrusting(t *testing.T, k *keycloak) *trusting {
	t.Helper()
	ports := freePorts(2)
	m := &trusting{dir: t.TempDir(), address: "127.0.0.1:" + ports[0]}
	table := fmt.Sprintf(`issuer = "%[1]s/realms/%[2]s"
jwks_uri = "%[1]s/realms/%[2]s/protocol/openid-connect/certs"
algs = ["ES256"]
claims = ["azp"]
`, k.url, realm)
	text := fmt.Sprintf(`store = "sqlite:moneyer.db"
master_key = "file:master.key"
[listen]
address = %q
[admin]
address = "127.0.0.1:%s"
[limits]
drain_delay = "-1s"
[issuers.d1]
url = "http://%[1]s/d1/authz/v1"
profile = "thales-d1"
environment = "stg"
resource_audience = "https://api.example"
[issuers.d1.trusted.keycloak]
audience = ["stg"]
%[3]s
[issuers.plain]
url = "http://%[1]s/plain"
profile = "oauth2"
resource_audience = "https://api.example"
[issuers.plain.trusted.keycloak]
%[3]s`, m.address, ports[1], table)
	if err := os.WriteFile(filepath.Join(m.dir, "moneyer.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	program(t, nil, moneyer.binary, "init", "--dir", m.dir)
	return m
}

// serve runs the server until the end of the test.
func (m *trusting) serve(t *testing.T) {
	t.Helper()
	daemon(t, m.address, moneyer.binary, "serve", "--config", filepath.Join(m.dir, "moneyer.toml"))
}

// plain is the issuer whose clients authenticate by tokens of Keycloak.
func (m *trusting) plain() string { return "http://" + m.address + "/plain" }

func (m *trusting) admin(t *testing.T, args ...string) {
	t.Helper()
	program(t, nil, moneyer.binary, append(args, "--admin", filepath.Join(m.dir, "moneyer-admin.json"))...)
}

// exchange offers a token of Keycloak as the grant.
func (m *trusting) exchange(t *testing.T, assertion string) answer {
	t.Helper()
	return post(t, "http://"+m.address+"/d1/authz/v1/oauth2/token", url.Values{"grant_type": {jwtBearer}, "assertion": {assertion}})
}

// authenticate offers a token of Keycloak as client authentication.
func (m *trusting) authenticate(t *testing.T, assertion string) answer {
	t.Helper()
	return post(t, m.plain()+"/oauth2/token", url.Values{"grant_type": {"client_credentials"}, "client_assertion": {assertion},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}})
}

// TestSlowKeycloak: tokens of a real Keycloak are assertions, as the grant of D1 and as client
// authentication, once each, also after Keycloak has gone.
func TestSlowKeycloak(t *testing.T) {
	k := startKeycloak(t)
	m := newTrusting(t, k)
	k.setUp(t)
	gateway := k.addClient(t, "acme-gateway", "stg", "true")
	k.addClient(t, "other-gateway", "stg", "false")
	k.addClient(t, "acme-shop", m.plain(), "false")
	k.addClient(t, "other-shop", m.plain(), "false")
	check := func(what, want string, got answer) {
		t.Helper()
		if got.outcome() != want {
			t.Errorf("%s: %s, want %s", what, got.outcome(), want)
		}
	}
	m.serve(t)
	for issuer, client := range map[string]string{"d1": "acme-gateway", "plain": "acme-shop"} {
		m.admin(t, "client", "add", "gateway001", "--issuer", issuer, "--scope", map[string]string{"d1": scopes[d1], "plain": "pay"}[issuer])
		m.admin(t, "identity", "add", "gateway001", "--issuer", issuer, "--trusted", "keycloak", "--claim", "azp="+client)
	}
	check("with the audience account beside it", "400 invalid_grant", m.exchange(t, k.token(t, "acme-gateway")))
	k.removeScope(t, gateway, "roles")
	first := k.token(t, "acme-gateway")
	t.Logf("claims of Keycloak: %v", claimsOf(t, first))
	got := m.exchange(t, first)
	check("as the grant", token, got)
	if claims := claimsOf(t, got.AccessToken); claims["sub"] != "gateway001" && claims["client_id"] != "gateway001" {
		t.Errorf("the token is for %v", claims)
	}
	check("as the grant, again", "400 invalid_grant", m.exchange(t, first))
	check("as the grant, tampered", "400 invalid_grant", m.exchange(t, tamperClaims(k.token(t, "acme-gateway"))))
	check("as the grant, for another issuer", "400 invalid_grant", m.exchange(t, k.token(t, "acme-shop")))
	check("as the grant, of a client without an identity here", "400 invalid_grant", m.exchange(t, k.token(t, "other-gateway")))
	second := k.token(t, "acme-shop")
	check("as client authentication", token, m.authenticate(t, second))
	check("as client authentication, again", "401 invalid_client", m.authenticate(t, second))
	check("as client authentication, of a client without an identity here", "401 invalid_client", m.authenticate(t, k.token(t, "other-shop")))
	kept := k.token(t, "acme-gateway")
	k.stop()
	check("after Keycloak has stopped", token, m.exchange(t, kept))
	check("after Keycloak has stopped, again", "400 invalid_grant", m.exchange(t, kept))
}
