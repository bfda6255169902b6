package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"moneyer/internal/config"
)

// door is one listener and what answers on it.
type door struct {
	name     string
	listener net.Listener
	server   *http.Server
	// handler can be swapped while requests are in flight.
	handler atomic.Pointer[http.Handler]
	// certificate is read again when told to; nil without TLS.
	certificate *certificate
}

// openDoor listens, bounded against slow and large requests.
func openDoor(ctx context.Context, cfg *config.Config, name string, l config.Listener, log *slog.Logger) (*door, error) {
	d := &door{name: name}
	d.server = &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*d.handler.Load()).ServeHTTP(w, r) }),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Minute, // an import streams; token bodies are bounded by size and by the request's own time
		WriteTimeout:      10 * time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	if name == "public" {
		d.server.ReadTimeout, d.server.WriteTimeout = 10*time.Second, 20*time.Second
	}
	if l.TLSCert != "" {
		tlsConfig, err := d.tls(cfg, l)
		if err != nil {
			return nil, err
		}
		d.server.TLSConfig = tlsConfig
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", l.Address)
	if err != nil {
		return nil, fmt.Errorf("the %s listener: %w", name, err)
	}
	d.listener = listener
	return d, nil
}

func (d *door) tls(cfg *config.Config, l config.Listener) (*tls.Config, error) {
	d.certificate = &certificate{cert: cfg.Path(l.TLSCert), key: cfg.Path(l.TLSKey)}
	if err := d.certificate.read(); err != nil {
		return nil, err
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: d.certificate.get}
	if l.ClientCA == "" {
		return t, nil
	}
	pem, err := os.ReadFile(cfg.Path(l.ClientCA))
	if err != nil {
		return nil, err
	}
	t.ClientCAs, t.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	if !t.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", l.ClientCA)
	}
	return t, nil
}

// serve answers until the door is shut.
func (d *door) serve() error {
	var err error
	if d.certificate != nil {
		err = d.server.ServeTLS(d.listener, "", "")
	} else {
		err = d.server.Serve(d.listener)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("the %s listener: %w", d.name, err)
}

// certificate is a TLS certificate that can change while the process runs.
type certificate struct {
	cert, key string // paths
	current   atomic.Pointer[tls.Certificate]
	changed   atomic.Int64 // when the file last changed, as far as was read
}

// read takes the files anew. When they are bad the old certificate stays.
func (c *certificate) read() error {
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("TLS certificate: %w", err)
	}
	c.current.Store(&pair)
	c.changed.Store(c.modified())
	return nil
}

func (c *certificate) modified() int64 {
	info, err := os.Stat(c.cert)
	if err != nil {
		return 0
	}
	return info.ModTime().UnixNano()
}

// refresh reads the files when they have changed.
func (c *certificate) refresh() error {
	if c == nil || c.modified() == c.changed.Load() {
		return nil
	}
	return c.read()
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.current.Load(), nil
}
