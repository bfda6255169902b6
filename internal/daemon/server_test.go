package daemon

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"moneyer/internal/config"
)

// newFolder creates a folder for a first start and returns its configuration file.
func newFolder(t *testing.T) string {
	t.Helper()
	return newFolderOn(t, "sqlite:moneyer.db")
}

// newFolderOn is newFolder with another store.
func newFolderOn(t *testing.T, store string) string {
	t.Helper()
	dir := t.TempDir()
	_, err := Init(t.Context(), dir, fmt.Sprintf("store = %q", store)+`
master_key = "file:master.key"
[listen]
address = "127.0.0.1:0"
[admin]
address = "localhost:0"
url = "http://127.0.0.1:1"
[limits]
drain_delay = "-1s"
[issuers.plain]
url = "http://127.0.0.1:2/plain"
profile = "oauth2"
resource_audience = "https://api.example"
`, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, ConfigFile)
}

// newTestServer starts a server that logs to log.
func newTestServer(t *testing.T, file string, log io.Writer) *Server {
	t.Helper()
	s, err := Start(t.Context(), Options{Load: func() (*config.Config, error) { return config.Load(file) }, Log: log, Version: "test", Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// testLog is a log that is read while a server writes it.
type testLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *testLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *testLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func get(t *testing.T, url string) int {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// TestReloadKeepsClientKeys: a reload keeps the cache of client keys.
func TestReloadKeepsClientKeys(t *testing.T) {
	s := newTestServer(t, newFolder(t), io.Discard)
	first := s.snapshot
	if err := s.Reload(t.Context()); err != nil || s.snapshot == first || s.snapshot.clientKeys != first.clientKeys {
		t.Errorf("%v; another snapshot: %t, the same keys: %t", err, s.snapshot != first, s.snapshot.clientKeys == first.clientKeys)
	}
	if status := get(t, "http://"+s.Addr()+"/readyz"); status != http.StatusOK {
		t.Errorf("/readyz: %d", status)
	}
	http.DefaultClient.CloseIdleConnections()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestListenerFails: Failed reports the error, and the server can be shut down.
func TestListenerFails(t *testing.T) {
	file := newFolder(t)
	var log bytes.Buffer
	s := newTestServer(t, file, &log)
	if err := s.public.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-s.Failed(); err == nil || !strings.Contains(err.Error(), "the public listener") {
		t.Errorf("%v", err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if strings.Contains(log.String(), `"level":"ERROR"`) {
		t.Error(log.String())
	}
	s = newTestServer(t, file, io.Discard) // the store can be opened again
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestConnectionLog: errors that callers cause are debug messages, failures of the server are
// errors.
func TestConnectionLog(t *testing.T) {
	var log strings.Builder
	c := connectionLog{slog.New(slog.NewTextHandler(&log, nil))}
	for _, line := range []string{"http: TLS handshake error from 192.0.2.1: EOF", "http: panic serving 192.0.2.1: boom", "http: Accept error: too many open files; retrying"} {
		if _, err := fmt.Fprintln(c, line); err != nil {
			t.Fatal(err)
		}
	}
	if text := log.String(); strings.Contains(text, "handshake") || strings.Count(text, "level=ERROR") != 2 {
		t.Error(text)
	}
}

// TestSwap: requests are served by the current handler.
func TestSwap(t *testing.T) {
	s := &state{log: slog.New(slog.DiscardHandler), now: time.Now}
	l, err := s.listen(t.Context(), &config.Config{Limits: config.Limits{AddressConnections: 1}}, "public", config.Listener{Address: "127.0.0.1:0"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- l.serve() }()
	var calls atomic.Int64
	for n := range int64(3) {
		var h http.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1 << (10 * n)) })
		l.handler.Store(&h)
		get(t, "http://"+l.Addr().String())
	}
	if n := calls.Load(); n != 1<<20+1<<10+1 {
		t.Errorf("%b", n)
	}
	http.DefaultClient.CloseIdleConnections()
	if err := l.server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// TestEdgeLog: a failure is logged when it begins and when it ends.
func TestEdgeLog(t *testing.T) {
	var log strings.Builder
	l := edgeLog{log: slog.New(slog.NewTextHandler(&log, nil)), failing: map[string]bool{}}
	for _, err := range []error{nil, net.ErrClosed, net.ErrClosed, context.Canceled, nil, nil} {
		l.report("write", err)
	}
	if text := log.String(); strings.Count(text, "does not work") != 1 || strings.Count(text, "works again") != 1 {
		t.Error(text)
	}
}
