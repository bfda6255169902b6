package daemon

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"moneyer/internal/config"
	"moneyer/internal/tlsfiles"
)

// listener is a listening address with its HTTP server.
type listener struct {
	net.Listener
	name   string
	server *http.Server
	// handler is replaced by a reload.
	handler  atomic.Pointer[http.Handler]
	inFlight atomic.Int64
	// files and their content when they were last loaded; zero and nil without TLS.
	files tlsfiles.Server
	tls   atomic.Pointer[tlsfiles.Loaded]
}

// listen listens on an address, with limits against slow and large requests.
func (s *state) listen(ctx context.Context, cfg *config.Config, name string, c config.Listener, loaded *tlsfiles.Loaded) (*listener, error) {
	l := &listener{name: name, files: tlsFilesOf(cfg, c)}
	l.tls.Store(loaded)
	limits := cfg.Limits.Overload()
	l.server = &http.Server{
		Handler:           s.through(l),
		ReadHeaderTimeout: limits.HeaderTime,
		ReadTimeout:       limits.ReadTime,
		WriteTimeout:      limits.WriteTime,
		IdleTimeout:       limits.IdleTime,
		MaxHeaderBytes:    limits.HeaderBytes,
		ErrorLog:          log.New(connectionLog{s.log}, "", 0),
	}
	if name != "public" {
		l.server.ReadTimeout, l.server.WriteTimeout = 10*time.Minute, 10*time.Minute // imports are streamed
	}
	if loaded != nil {
		l.server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12,
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return l.tls.Load().Config, nil }}
	}
	tcp, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Address)
	if err != nil {
		return nil, fmt.Errorf("the %s listener: %w", name, err)
	}
	l.Listener = tcp
	return l, nil
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
		(*l.handler.Load()).ServeHTTP(w, r)
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
	files := tlsfiles.Server{Cert: cfg.Path(l.TLSCert), Key: cfg.Path(l.TLSKey)}
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
