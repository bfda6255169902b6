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

// listener is an address that is listened on, and what answers there.
type listener struct {
	net.Listener
	name   string
	server *http.Server
	// handler can be swapped while requests are in flight.
	handler  atomic.Pointer[http.Handler]
	inFlight atomic.Int64
	// files, and what they held when they were last read; zero and nil without TLS.
	files tlsfiles.Server
	tls   atomic.Pointer[tlsfiles.Loaded]
}

// listen listens on an address, bounded against slow and large requests.
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
		l.server.ReadTimeout, l.server.WriteTimeout = 10*time.Minute, 10*time.Minute // an import streams
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

// through passes requests to the handler of the moment. While the server drains, each
// connection is closed behind its answer, so that the caller's next request goes
// elsewhere instead of meeting a connection that is just being closed.
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

// serve answers until the listener is shut down.
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

// shutdown stops listening and waits for the requests in flight, until ctx ends.
// The rest are cut off.
func (l *listener) shutdown(ctx context.Context) error {
	if l.server.Shutdown(ctx) == nil {
		return nil
	}
	cut := l.inFlight.Load() // connections without a request are no loss
	if err := l.server.Close(); err != nil || cut == 0 {
		return err
	}
	return fmt.Errorf("the %s listener: requests in flight were cut off: %d", l.name, cut)
}

// reloadTLS reads the TLS files again if they have changed. When they are bad, what
// was read before stays.
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

// connectionLog takes what net/http says. What callers do to their connections
// is for debugging; a panic, or a socket that cannot be had, is ours.
type connectionLog struct{ log *slog.Logger }

func (c connectionLog) Write(line []byte) (int, error) {
	level := slog.LevelDebug
	if bytes.HasPrefix(line, []byte("http: panic")) || bytes.HasPrefix(line, []byte("http: Accept")) {
		level = slog.LevelError
	}
	c.log.Log(context.Background(), level, strings.TrimSpace(string(line)))
	return len(line), nil
}
