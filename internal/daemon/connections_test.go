package daemon

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"moneyer/internal/config"
)

// withLimits starts a server with more lines in its [limits].
func withLimits(t *testing.T, lines string, log io.Writer) *Server {
	t.Helper()
	file := newFolder(t)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), "[limits]\n", "[limits]\n"+lines, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newTestServer(t, file, log)
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// dial connects from an address of loopback.
func dial(t *testing.T, from, to string) net.Conn {
	t.Helper()
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := dialer.DialContext(t.Context(), "tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// clientFrom sends each request from an address of loopback, on a connection of its own.
func clientFrom(from string) *http.Client {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}}
}

func statusFrom(t *testing.T, from, method, url, body string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := clientFrom(from).Do(req)
	if err != nil {
		t.Errorf("%s %s from %s: %v", method, url, from, err)
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// TestIdleConnectionsOfOneAddress: an address that opens connections without end keeps neither other
// addresses nor administrators out.
func TestIdleConnectionsOfOneAddress(t *testing.T) {
	s := withLimits(t, "connections = 64\naddress_connections = 20\n", io.Discard)
	for range 200 {
		dial(t, "127.0.0.7", s.Addr())
	}
	eventually(t, "the connections beyond the share are refused", func() bool { return s.public.connections.Counts().AddressRefused > 180 })
	for n := range 5 {
		from := netip.AddrFrom4([4]byte{127, 0, 0, byte(10 + n)}).String()
		if status := statusFrom(t, from, "GET", "http://"+s.Addr()+"/healthz", ""); status != http.StatusOK {
			t.Errorf("from %s: status %d", from, status)
		}
		if status := statusFrom(t, from, "GET", "http://"+s.private.Addr().String()+"/metrics", ""); status != http.StatusOK {
			t.Errorf("the admin listener from %s: status %d", from, status)
		}
	}
	if counts := s.public.connections.Counts(); counts.Open > 20 || counts.TotalRefused != 0 {
		t.Errorf("%+v", counts)
	}
}

// TestManyAddressesFillAll: when all connections are taken by those that send nothing, a new one
// replaces the one that has waited longest.
func TestManyAddressesFillAll(t *testing.T) {
	s := withLimits(t, "connections = 16\n", io.Discard)
	for n := range 60 {
		dial(t, netip.AddrFrom4([4]byte{127, 0, 1, byte(n)}).String(), s.Addr())
	}
	for n := range 10 {
		from := netip.AddrFrom4([4]byte{127, 0, 2, byte(n)}).String()
		if status := statusFrom(t, from, "GET", "http://"+s.Addr()+"/healthz", ""); status != http.StatusOK {
			t.Errorf("from %s: status %d", from, status)
		}
	}
	if counts := s.public.connections.Counts(); counts.Open > 16 || counts.Closed < 40 || counts.TotalRefused != 0 {
		t.Errorf("%+v", counts)
	}
}

// slowBody sends the begin of a request with a body.
func slowBody(t *testing.T, from, to, path string) {
	t.Helper()
	conn := dial(t, from, to)
	_, _ = io.WriteString(conn, "POST "+path+" HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\ngrant_type=")
}

// TestSlowBodiesFromManyAddresses: 45 addresses that send as many bodies as they can as slowly as they
// can, to any path, cost no good request a 503 or its connection.
func TestSlowBodiesFromManyAddresses(t *testing.T) {
	for _, path := range []string{"/plain/oauth2/token", "/plain/introspect", "/plain/check", "/nothing"} {
		s := withLimits(t, "connections = 400\nin_flight = 16\n", io.Discard) // 128 are read at once
		for n := range 45 {
			for range 12 {
				slowBody(t, netip.AddrFrom4([4]byte{127, 0, 1, byte(n)}).String(), s.Addr(), path)
			}
		}
		eventually(t, "the server has seen them", func() bool {
			c := s.public.connections.Counts()
			return c.Open+c.Closed+c.AddressRefused+c.TotalRefused >= 45*12
		})
		for n := range 20 {
			from := netip.AddrFrom4([4]byte{127, 0, 2, byte(n)}).String()
			status := statusFrom(t, from, "POST", "http://"+s.Addr()+"/plain/oauth2/token", "grant_type=client_credentials&client_id=a&client_secret=b")
			if status != http.StatusUnauthorized { // judged, not turned away
				t.Errorf("beside slow bodies to %s: status %d", path, status)
			}
		}
	}
}

// TestTrustedProxyHasNoShare, and a reload changes who is trusted.
func TestTrustedProxyHasNoShare(t *testing.T) {
	s := withLimits(t, "connections = 100\naddress_connections = 1\n", io.Discard)
	dial(t, "127.0.0.7", s.Addr())
	dial(t, "127.0.0.7", s.Addr())
	eventually(t, "a connection is refused", func() bool { return s.public.connections.Counts().AddressRefused == 1 })
	load := s.options.Load
	s.options.Load = func() (*config.Config, error) {
		cfg, err := load()
		if err == nil {
			cfg.Listen.TrustedProxies = []string{"127.0.0.7/32"}
		}
		return cfg, err
	}
	if err := s.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		dial(t, "127.0.0.7", s.Addr())
	}
	eventually(t, "all are open", func() bool { return s.public.connections.Counts().Open == 11 })
	s.options.Load = func() (*config.Config, error) {
		cfg, err := load()
		cfg.Limits.Connections++
		return cfg, err
	}
	if err := s.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "limits.connections needs a restart") {
		t.Errorf("%v", err)
	}
}

// TestTooFewDescriptors: a configuration that the process cannot serve is refused at the start.
func TestTooFewDescriptors(t *testing.T) {
	s := &state{log: slog.New(slog.DiscardHandler), now: time.Now}
	cfg := &config.Config{Limits: config.Limits{Connections: 1 << 30}}
	if _, err := s.listen(t.Context(), cfg, "public", config.Listener{Address: "127.0.0.1:0"}, nil); err == nil || !strings.Contains(err.Error(), "file descriptors") {
		t.Errorf("%v", err)
	}
}

// TestRefusedConnectionsAreReported: a line when it begins, one a minute after it ended, and the
// metrics of each listener.
func TestRefusedConnectionsAreReported(t *testing.T) {
	var log strings.Builder
	s := withLimits(t, "connections = 100\naddress_connections = 1\n", io.Discard)
	dial(t, "127.0.0.7", s.Addr())
	dial(t, "127.0.0.7", s.Addr())
	eventually(t, "a connection is refused", func() bool { return s.public.connections.Counts().AddressRefused == 1 })
	now := s.now()
	other := &state{now: func() time.Time { return now }, problems: edgeLog{log: slog.New(slog.NewTextHandler(&log, nil)), failing: map[string]bool{}}}
	l := &listener{name: "public", connections: s.public.connections}
	for range 3 {
		other.reportRefused(l)
		now = now.Add(time.Second)
	}
	if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "1 were refused because their address had its share") {
		t.Error(text)
	}
	now = now.Add(time.Minute)
	other.reportRefused(l)
	if text := log.String(); strings.Count(text, "works again") != 1 {
		t.Error(text)
	}
	resp, err := clientFrom("127.0.0.9").Get("http://" + s.private.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	for _, line := range []string{
		`moneyer_connections{listener="public"} 1`, `moneyer_connections{listener="admin"} 1`, `moneyer_connections_closed_waiting_total{listener="public"} 0`,
		`moneyer_connections_refused_total{listener="public",reason="address"} 1`, `moneyer_connections_refused_total{listener="admin",reason="total"} 0`,
	} {
		if !strings.Contains(string(page), line+"\n") {
			t.Errorf("no %s: %v", line, err)
		}
	}
}
