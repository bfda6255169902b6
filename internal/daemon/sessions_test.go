package daemon

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"moneyer/internal/config"
)

// newTLSServer starts a server with TLS at both listeners, its own store and that master key.
func newTLSServer(t *testing.T, master, certificate string, now func() time.Time) *Server {
	t.Helper()
	dir := t.TempDir()
	_, err := Init(t.Context(), dir, fmt.Sprintf(`store = "sqlite:moneyer.db"
master_key = "file:%[1]s"
[listen]
address = "127.0.0.1:0"
tls_cert = %[2]q
tls_key = %[2]q
[admin]
address = "localhost:0"
url = "https://127.0.0.1:1"
tls_cert = %[2]q
tls_key = %[2]q
[limits]
drain_delay = "-1s"
[issuers.plain]
url = "https://127.0.0.1:2/plain"
profile = "oauth2"
resource_audience = "https://api.example"
`, master, certificate), now)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, ConfigFile)
	s, err := Start(t.Context(), Options{Load: func() (*config.Config, error) { return config.Load(file) }, Log: io.Discard, Version: "test", Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestSessions: a session of TLS is resumed at each replica that has the master key, at the listener where it
// began. It ends with the master key, and after a day and a half by the server's clock, without a restart.
func TestSessions(t *testing.T) {
	var later atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	pem, dir := certificate(t), t.TempDir()
	master, other := filepath.Join(dir, "master.key"), filepath.Join(dir, "other.key")
	one, two := newTLSServer(t, master, pem, now), newTLSServer(t, master, pem, now)
	foreign := newTLSServer(t, other, pem, now)
	client := &tls.Config{InsecureSkipVerify: true, ServerName: "server.example", ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	connect := func(where string, l *listener, resumes bool) {
		t.Helper()
		conn, err := tls.Dial("tcp", l.Addr().String(), client)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if _, err := io.WriteString(conn, "GET /healthz HTTP/1.0\r\n\r\n"); err != nil {
			t.Error(err)
		}
		if answer, err := io.ReadAll(conn); err != nil || len(answer) == 0 {
			t.Errorf("%s: %q, %v", where, answer, err)
		}
		if conn.ConnectionState().DidResume != resumes {
			t.Errorf("%s: resumed %v", where, !resumes)
		}
	}
	connect("the first replica", one.public, false)
	connect("the second replica", two.public, true)
	connect("the admin listener", two.private, false)
	connect("the admin listener of another replica", one.private, true)
	connect("the public listener again", one.public, false)
	connect("under another master key", foreign.public, false)
	connect("under the first master key", two.public, false)
	later.Store(int64(36 * time.Hour))
	connect("36 hours later", two.public, false)
	connect("after that", one.public, true)
}
