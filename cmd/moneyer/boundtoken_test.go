package main

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"moneyer/internal/clientcert/certtest"
)

// TestBoundTokenThroughAllPrograms: a client that is registered with certificates gets tokens from
// 'moneyer serve' by 'moneyer token' and 'moneyer agent', which are bound to the certificate:
// 'moneyer verify' and the check endpoint accept them with it alone, and the agent changes both
// together when the files change (RFC 8705 §2.2, §3, §6.3).
func TestBoundTokenThroughAllPrograms(t *testing.T) {
	t.Parallel()
	ca := newCertifier(t)
	i := install(t, withTLS(ca, `client_cert = "ask"`))
	p := i.serve()
	at := func(name string) string { return filepath.Join(i.dir, name) }
	replaceFile(t, at("ca.crt"), ca.pem)
	run := func(args ...string) (int, string) {
		t.Helper()
		cmd := exec.Command("moneyer", args...)
		cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+at("ca.crt"))
		p := follow(t, cmd)
		return p.ended(), p.output()
	}
	does := func(args ...string) {
		t.Helper()
		if code, out := run(append(args, "--issuer", "plain", "--admin", i.adminFile)...); code != exitOK {
			t.Fatalf("%s: exit code %d\n%s", strings.Join(args, " "), code, out)
		}
	}
	for _, name := range []string{"first", "second"} {
		pair := certtest.SelfSigned(t, time.Now(), name, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(24 * time.Hour) })
		replaceFile(t, at(name+".crt"), certtest.PEM(pair.Leaf))
		replaceFile(t, at(name+".key"), certtest.KeyPEM(t, pair))
		does("certificate", "add", "shop", "--pem", at(name+".crt"))
	}
	does("client", "set", "shop", "--bound-tokens", "mtls")
	issuer := "https://" + i.address + "/plain"
	ask := []string{"token", "--profile", "oauth2", "--issuer", issuer, "--discover", "--client", "shop"}
	if code, out := run(append(ask, "--auth", "tls_client_auth")...); code != exitUsage {
		t.Errorf("without a certificate: exit code %d\n%s", code, out)
	}
	code, token := run(append(ask, "--tls-cert", at("first.crt"), "--tls-key", at("first.key"))...)
	if code != exitOK {
		t.Fatalf("exit code %d\n%s", code, token)
	}
	replaceFile(t, at("token"), []byte(token))
	verify := []string{"verify", at("token"), "--issuer", issuer, "--audience", "https://api.example"}
	for cert, want := range map[string]int{"first": exitOK, "second": exitRefused, "": exitRefused} {
		args := verify
		if cert != "" {
			args = append(args[:len(args):len(args)], "--cert", at(cert+".crt"))
		}
		if code, out := run(args...); code != want || !strings.Contains(out, "binding") {
			t.Errorf("verify with %q: exit code %d, want %d\n%s", cert, code, want, out)
		}
	}
	agentShowsBoth(t, i, issuer)
	p.stop()
}

// agentShowsBoth runs an agent whose upstream is the check endpoint, and changes its certificate.
func agentShowsBoth(t *testing.T, i *installation, issuer string) {
	t.Helper()
	at := func(name string) string { return filepath.Join(i.dir, name) }
	show := func(name string) {
		t.Helper()
		cert, err1 := os.ReadFile(at(name + ".crt"))
		key, err2 := os.ReadFile(at(name + ".key"))
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		replaceFile(t, at("shown.pem"), append(cert, key...))
	}
	show("first")
	address := ownAddress(t)
	const mutual = "tls_cert = \"shown.pem\"\nca_file = \"ca.crt\"\n"
	replaceFile(t, at("agent.toml"), []byte(fmt.Sprintf("listen = %q\n[tokens.shop]\nprofile = \"oauth2\"\nissuer = %q\nclient = \"shop\"\ndiscover = true\n", address, issuer)+mutual+
		fmt.Sprintf("[upstreams.api]\npath = \"/api/\"\nurl = %q\ntoken = \"shop\"\n", issuer+"/check")+mutual))
	agent := begin(t, "agent", "--config", at("agent.toml"))
	agent.await(`"serving"`)
	var ids []string
	for _, name := range []string{"first", "second"} {
		show(name)
		resp, err := http.Get("http://" + address + "/api/x")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK || resp.Header.Get("X-Token-Client") != "shop" {
			t.Errorf("with the %s certificate: %d, headers %v", name, resp.StatusCode, resp.Header)
		}
		ids = append(ids, resp.Header.Get("X-Token-Id"))
	}
	if ids[0] == ids[1] {
		t.Errorf("the token stayed the same with another certificate")
	}
	agent.stop()
}
