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

// gate is one frontend of HAProxy: it lets in who bears a token of one issuer for
// one audience, by one key and one algorithm.
type gate struct {
	Issuer, Audience, JWKSURI, Alg string
	Ahead                          int
}

// verifyWithHAProxy asks a HAProxy that has a frontend for each way of judging.
// The public key stands in a PEM file made from our key set.
func verifyWithHAProxy(t *testing.T, work []judging) (verdicts []string) {
	dir := t.TempDir()
	ports := map[gate]string{}
	config := &strings.Builder{}
	fmt.Fprintln(config, "defaults\n  mode http\n  timeout client 10s\n  timeout server 10s\n  timeout connect 10s")
	for _, w := range work {
		g := gate{w.Issuer, w.Audience, w.JWKSURI, w.Alg, w.Ahead}
		if ports[g] == "" {
			ports[g] = freePort()
			g.write(t, config, dir, ports[g], len(ports))
		}
	}
	file := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(config.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	startHAProxy(t, file, ports)
	for _, w := range work {
		verdicts = append(verdicts, knock(t, ports[gate{w.Issuer, w.Audience, w.JWKSURI, w.Alg, w.Ahead}], w.Token))
	}
	for _, port := range ports {
		if knock(t, port, "") != "401" {
			t.Error("HAProxy lets in who shows nothing")
		}
		break
	}
	return verdicts
}

// write writes the frontend as one would for production: algorithm, signature,
// time, issuer and audience, each refused with 401.
func (g gate) write(t *testing.T, config *strings.Builder, dir, port string, number int) {
	t.Helper()
	keys := publishedKeys(t, g.JWKSURI).Keys
	if len(keys) != 1 {
		t.Fatalf("%s has %d keys: this test knows only one", g.JWKSURI, len(keys))
	}
	file := filepath.Join(dir, fmt.Sprintf("key-%d.pem", number))
	if err := os.WriteFile(file, publicPEM(t, g.JWKSURI, keys[0].KeyID), 0o600); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(config, `
frontend gate%d
  bind 127.0.0.1:%s
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
`, number, port, g.Alg, file, g.Ahead, g.Issuer, g.Audience)
}

func startHAProxy(t *testing.T, file string, ports map[gate]string) {
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
	for _, port := range ports {
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			conn, err := net.Dial("tcp", "127.0.0.1:"+port)
			if err == nil {
				conn.Close()
				break
			}
			select {
			case <-exited:
				t.Fatalf("haproxy does not run:\n%s", log)
			default:
			}
			if time.Now().After(end) {
				t.Fatalf("haproxy does not listen:\n%s", log)
			}
		}
	}
}

// knock shows a token to a frontend. "" is being let in.
func knock(t *testing.T, port, token string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:"+port+"/", nil)
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
