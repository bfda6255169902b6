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

// gate is one backend of HAProxy: it lets in who bears a token of one issuer for
// one audience, by one key and one algorithm.
type gate struct {
	Issuer, Audience, JWKSURI, Alg string
	Ahead                          int
}

// verifyWithHAProxy asks a HAProxy that has a backend for each way of judging,
// under a path of its own. The public key stands in a PEM file made from our key
// set.
func verifyWithHAProxy(t *testing.T, work []judging) (verdicts []string) {
	dir, address := t.TempDir(), "127.0.0.1:"+freePorts(1)[0]
	gates := map[gate]string{}
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
		g := gate{w.Issuer, w.Audience, w.JWKSURI, w.Alg, w.Ahead}
		if gates[g] == "" {
			gates[g] = fmt.Sprint("gate", len(gates)+1)
			g.write(t, config, dir, gates[g])
		}
	}
	file := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(config.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	startHAProxy(t, file, address)
	for g, name := range gates {
		if knock(t, address, name, "") != "401" {
			t.Errorf("HAProxy lets in who shows nothing: %+v", g)
		}
	}
	for _, w := range work {
		verdicts = append(verdicts, knock(t, address, gates[gate{w.Issuer, w.Audience, w.JWKSURI, w.Alg, w.Ahead}], w.Token))
	}
	return verdicts
}

// write writes the backend as one would for production: algorithm, signature,
// time, issuer and audience, each refused with 401.
func (g gate) write(t *testing.T, config *strings.Builder, dir, name string) {
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

// startHAProxy starts HAProxy and waits until it listens. It ends with the test.
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

// knock shows a token to a backend. "" is being let in.
func knock(t *testing.T, address, backend, token string) string {
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
