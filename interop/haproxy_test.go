package interop

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// rule is one backend of HAProxy: it accepts tokens of one issuer for one audience, with one key
// and one algorithm.
type rule struct {
	Issuer, Audience, JWKSURI, Alg string
	Ahead                          int
}

// verifyWithHAProxy starts HAProxy with a backend for each rule, under separate paths. The public
// key is in a PEM file made from our key set.
func verifyWithHAProxy(t *testing.T, work []judging) (verdicts []string) {
	dir, address := t.TempDir(), "127.0.0.1:"+freePorts(1)[0]
	rules := map[rule]string{}
	config := &strings.Builder{}
	fmt.Fprintf(config, `
global
  noreuseport
defaults
  mode http
  timeout client 10s
  timeout server 10s
  timeout connect 10s
frontend door
  bind %s
  use_backend %%[path,field(2,/)]
`, address)
	for _, w := range work {
		g := rule{w.Issuer, w.Audience, w.JWKSURI, w.Alg, w.Ahead}
		if rules[g] == "" {
			rules[g] = fmt.Sprint("rule", len(rules)+1)
			g.write(t, config, dir, rules[g])
		}
	}
	file := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(config.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	startHAProxy(t, file, address)
	for g, name := range rules {
		if present(t, address, name, "") != "401" {
			t.Errorf("HAProxy accepts a request without a token: %+v", g)
		}
	}
	for _, w := range work {
		verdicts = append(verdicts, present(t, address, rules[rule{w.Issuer, w.Audience, w.JWKSURI, w.Alg, w.Ahead}], w.Token))
	}
	return verdicts
}

// write writes the backend as for production: algorithm, signature, time, issuer and audience, each
// refused with 401.
func (g rule) write(t *testing.T, config *strings.Builder, dir, name string) {
	t.Helper()
	keys := publishedKeys(t, g.JWKSURI).Keys
	if len(keys) != 1 {
		t.Fatalf("%s has %d keys: this test knows only one", g.JWKSURI, len(keys))
	}
	file := filepath.Join(dir, name+".pem")
	if err := os.WriteFile(file, publicPEM(t, g.JWKSURI, keys[0].KeyID), 0o600); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(config, `
backend %s
  http-request set-var(txn.token) http_auth_bearer
  http-request set-var(txn.alg) var(txn.token),jwt_header_query('$.alg')
  http-request deny deny_status 401 unless { var(txn.alg) -m str %s }
  http-request deny deny_status 401 unless { var(txn.token),jwt_verify(txn.alg,"%s") 1 }
  http-request set-var(txn.exp) var(txn.token),jwt_payload_query('$.exp','int')
  http-request set-var(txn.now) date(%d)
  http-request deny deny_status 401 unless { var(txn.exp),sub(txn.now) -m int gt 0 }
  http-request deny deny_status 401 unless { var(txn.token),jwt_payload_query('$.iss') -m str %s }
  http-request deny deny_status 401 unless { var(txn.token),jwt_payload_query('$.aud') -m str %s }
  http-request return status 200
`, name, g.Alg, file, g.Ahead, g.Issuer, g.Audience)
}

// startHAProxy starts HAProxy and waits until it listens. It is stopped after the test.
func startHAProxy(t *testing.T, file, address string) {
	t.Helper()
	log := &logBuffer{}
	cmd := exec.Command("haproxy", "-f", file, "-db")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-exited:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
		}
	})
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		select {
		case <-exited:
			t.Fatalf("haproxy does not run:\n%s", log)
		default:
		}
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			return
		}
	}
	t.Fatalf("haproxy does not listen:\n%s", log)
}

// present sends a token to a backend and returns "" if it is accepted.
func present(t *testing.T, address, backend, token string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/"+backend, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		return ""
	case http.StatusUnauthorized:
		return "401"
	}
	t.Fatalf("haproxy answers %s", resp.Status)
	return ""
}
