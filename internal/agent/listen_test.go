package agent

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func overSocket(path string) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
}

func get(t *testing.T, c *http.Client, url string) (int, string) {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode, text(t, resp)
}

// TestSocket: a socket is protected by its file mode, not by the Host header.
func TestSocket(t *testing.T) {
	p, a := newPlatform(t), newAPI(t, nil)
	dir := folder(t)
	path := filepath.Join(dir, "a.sock")
	config := strings.Replace(settings(p.URL, a.URL), "127.0.0.1:0", "unix:a.sock", 1)
	r := start(t, dir, config)
	info, err := os.Stat(path)
	if err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
	if status, body := get(t, overSocket(path), "http://any.example/api/x"); status != 200 || body != "hello" {
		t.Errorf("%d %s", status, body)
	}
	if got := a.only(t).header.Get("Authorization"); got != "Bearer token-1" {
		t.Errorf("Authorization: %s", got)
	}
	if _, err := Listen(t.Context(), load(t, dir, config)); err == nil || !strings.Contains(err.Error(), "another process answers") {
		t.Errorf("a second agent: %v", err)
	}
	if err := r.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 2 { // agent.toml and the secret
		t.Errorf("left behind: %v", left)
	}
}

// TestStaleSocket: a socket without a listener is replaced; anything else is not.
func TestStaleSocket(t *testing.T) {
	dir := folder(t)
	path := filepath.Join(dir, "a.sock")
	dead, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	dead.(*net.UnixListener).SetUnlinkOnClose(false)
	dead.Close()
	cfg := load(t, dir, "listen = \"unix:a.sock\"\nmode = \"0660\"\n"+boltToken+boltFile)
	unsure, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Listen(unsure, cfg); err == nil || !strings.Contains(err.Error(), "cannot be replaced") {
		t.Errorf("a socket that may be in use was replaced: %v", err)
	}
	l, err := Listen(t.Context(), cfg)
	if err == nil && l.Addr().String() != path {
		t.Errorf("the listener says that it is at %s, not at %s", l.Addr(), path)
	}
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	// The socket of a second agent stays.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write(t, path, "precious")
	l.Close()
	if _, err := Listen(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("%v", err)
	}
	if data, err := os.ReadFile(path); string(data) != "precious" {
		t.Errorf("%q, %v", data, err)
	}
	cfg = load(t, dir, "listen = \"unix:none/a.sock\"\n"+boltToken+boltFile)
	if _, err := Listen(t.Context(), cfg); err == nil {
		t.Error("listens in a missing folder")
	}
}

func TestBusyAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := Listen(t.Context(), load(t, folder(t), fmt.Sprintf("listen = %q\n", l.Addr())+boltToken+boltFile)); err == nil {
		t.Error("two agents listen on one address")
	}
}
