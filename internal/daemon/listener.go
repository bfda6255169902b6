package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"moneyer/internal/config"
	"moneyer/internal/overload"
	"moneyer/internal/tlsfiles"
)

// listener is a listening address with its HTTP server.
type listener struct {
	net.Listener
	name        string
	server      *http.Server
	connections *overload.Connections
	// refused is how many connections were refused when that was last seen to grow, at refusedAt;
	// used by the maintenance only.
	refused   int64
	refusedAt time.Time
	// handler is replaced by a reload.
	handler  atomic.Pointer[http.Handler]
	inFlight atomic.Int64
	// files and their content when they were last loaded; zero and nil without TLS.
	files tlsfiles.Server
	tls   atomic.Pointer[tlsfiles.Loaded]
}

// listen listens on an address, with limits against many connections, and slow and large requests.
func (s *state) listen(ctx context.Context, cfg *config.Config, name string, c config.Listener, loaded *tlsfiles.Loaded) (*listener, error) {
	limits := cfg.Limits.Overload()
	if err := limits.FitDescriptors(descriptors()); err != nil { // prepare has said so
		return nil, &ConfigError{err}
	}
	bounds := limits.PublicConnections()
	if name != "public" {
		bounds = limits.OwnConnections()
	}
	l := &listener{name: name, files: tlsFilesOf(cfg, c), connections: overload.NewConnections(bounds, s.now)}
	l.connections.Trust(prefixes(c.TrustedProxies))
	l.tls.Store(loaded)
	l.server = &http.Server{
		Handler:           s.through(l),
		ReadHeaderTimeout: limits.HeaderTime,
		ReadTimeout:       limits.ReadTime,
		WriteTimeout:      limits.WriteTime,
		IdleTimeout:       limits.IdleTime,
		MaxHeaderBytes:    limits.HeaderBytes,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: limits.Streams, MaxReceiveBufferPerConnection: limits.StreamBytes},
		ConnState:         l.stateChanged,
		ErrorLog:          log.New(connectionLog{s.log}, "", 0),
	}
	if loaded != nil {
		l.server.TLSConfig = tlsfiles.Listener(l.tls.Load, tlsfiles.Sessions{Secret: s.master.SessionKey(), Listener: name, Now: s.now})
	}
	plain, err := listenTCP(ctx, name, c.Address)
	if err != nil {
		return nil, err
	}
	tcp, ok := plain.(*net.TCPListener)
	if !ok {
		return nil, fmt.Errorf("the %s listener: %s is no TCP address", name, c.Address)
	}
	l.Listener = l.connections.Listener(tcp)
	return l, nil
}

// listenTCP listens. That the process may not is an error of the configuration: a restart does not
// help.
func listenTCP(ctx context.Context, name, address string) (net.Listener, error) {
	l, err := keepAlive().Listen(ctx, "tcp", address)
	if errors.Is(err, fs.ErrPermission) {
		return nil, &ConfigError{fmt.Errorf("the %s listener: %w: choose a port from 1024 on, or allow it to this user (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE)", name, err)}
	}
	if err != nil {
		return nil, fmt.Errorf("the %s listener: %w", name, err)
	}
	return l, nil
}

// mayListen returns an error if this process may not listen on an address. It opens a privileged
// port for an instant, and no other: a server may be about to start there.
func mayListen(ctx context.Context, name, address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return &ConfigError{err}
	}
	if n, err := strconv.Atoi(port); err != nil || n == 0 || n >= 1024 {
		return nil
	}
	l, err := listenTCP(ctx, name, address)
	var wrong *ConfigError
	if errors.As(err, &wrong) {
		return err
	}
	if err == nil {
		return l.Close()
	}
	return nil // taken, as by the server that is to be reloaded, or the network is down: neither is the configuration
}

// reportRefused logs when connections begin to be refused, and when none was for a minute.
func (s *state) reportRefused(l *listener) {
	counts, now := l.connections.Counts(), s.now()
	refused := counts.AddressRefused + counts.TotalRefused
	var err error
	switch {
	case refused > l.refused:
		l.refused, l.refusedAt = refused, now
		err = fmt.Errorf("%d are open; since the start %d were refused because their address had its share, and %d because all were taken",
			counts.Open, counts.AddressRefused, counts.TotalRefused)
	case now.Sub(l.refusedAt) < time.Minute:
		return
	}
	s.problems.report("accept all connections of the "+l.name+" listener", err)
}

// streamTime is how long a request of an administrator may take to come and to be answered.
const streamTime = 10 * time.Minute

// extendDeadlines gives a request streamTime instead of the time of one without a valid token.
func (s *state) extendDeadlines(w http.ResponseWriter) {
	c, until := http.NewResponseController(w), s.now().Add(streamTime)
	_, _ = c.SetReadDeadline(until), c.SetWriteDeadline(until) // of a connection that is closed: it is noticed anyway
}

// stateChanged is the ConnState of the HTTP server.
func (l *listener) stateChanged(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateActive:
		l.connections.Busy(conn)
	case http.StateIdle:
		l.connections.Waits(conn)
	}
}

// through passes requests to the current handler. While the server drains, each connection is
// closed after its response, so that the caller's next request goes to another server instead of
// failing on a closed connection.
func (s *state) through(l *listener) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.inFlight.Add(1)
		defer l.inFlight.Add(-1)
		if s.draining.Load() {
			w.Header().Set("Connection", "close")
		}
		if !l.connections.Serve(*l.handler.Load(), w, r) {
			w.Header().Set("Cache-Control", "no-store")
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable) // without a body, which would wait as well
		}
	})
}

// serve serves until the listener is shut down.
func (l *listener) serve() error {
	var err error
	if l.server.TLSConfig != nil {
		err = l.server.ServeTLS(l.Listener, "", "")
	} else {
		err = l.server.Serve(l.Listener)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("the %s listener: %w", l.name, err)
}

// shutdown stops listening and waits for the requests in flight until ctx ends, then closes their
// connections.
func (l *listener) shutdown(ctx context.Context) error {
	if l.server.Shutdown(ctx) == nil {
		return nil
	}
	cut := l.inFlight.Load() // idle connections do not count
	if err := l.server.Close(); err != nil || cut == 0 {
		return err
	}
	return fmt.Errorf("the %s listener: requests in flight were cut off: %d", l.name, cut)
}

// reloadTLS reloads the TLS files if they have changed. On an error the loaded ones stay active.
func (l *listener) reloadTLS() error {
	loaded, err := l.files.Reload(l.tls.Load())
	if err == nil {
		l.tls.Store(loaded)
	}
	return err
}

func tlsFilesOf(cfg *config.Config, l config.Listener) tlsfiles.Server {
	if l.TLSCert == "" {
		return tlsfiles.Server{}
	}
	files := tlsfiles.Server{Cert: cfg.Path(l.TLSCert), Key: cfg.Path(l.TLSKey), Ask: l.ClientCert == "ask"}
	if l.ClientCA != "" {
		files.ClientCA = cfg.Path(l.ClientCA)
	}
	return files
}

// connectionLog is the ErrorLog of the HTTP servers. Errors that callers cause are logged as debug,
// panics and failures of accept as errors. The messages are constant, as lineBudget wants it.
type connectionLog struct{ log *slog.Logger }

// maxCause bounds what is logged of a panic with its stack.
const maxCause = 4096

func (c connectionLog) Write(line []byte) (int, error) {
	level, message := slog.LevelDebug, "connection failed"
	for _, ours := range []string{"http: panic", "http: Accept"} {
		if bytes.HasPrefix(line, []byte(ours)) {
			level, message = slog.LevelError, ours
		}
	}
	cause := strings.TrimSpace(string(line[:min(len(line), maxCause)]))
	c.log.LogAttrs(context.Background(), level, message, slog.String("cause", cause))
	return len(line), nil
}
