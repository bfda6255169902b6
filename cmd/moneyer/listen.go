package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
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
	inside  atomic.Int64 // requests in flight
	// files, and what they held when they were last read; zero and nil without TLS.
	files tlsFiles
	tls   atomic.Pointer[tlsState]
}

// openDoor listens, bounded against slow and large requests.
func (e *estate) openDoor(ctx context.Context, cfg *config.Config, name string, l config.Listener, state *tlsState) (*door, error) {
	d := &door{name: name, files: tlsFilesOf(cfg, l)}
	d.tls.Store(state)
	limits := cfg.Limits.Overload()
	d.server = &http.Server{
		Handler:           e.through(d),
		ReadHeaderTimeout: limits.HeaderTime,
		ReadTimeout:       limits.ReadTime,
		WriteTimeout:      limits.WriteTime,
		IdleTimeout:       limits.IdleTime,
		MaxHeaderBytes:    limits.HeaderBytes,
		ErrorLog:          log.New(connectionLog{e.log}, "", 0),
	}
	if name != "public" {
		d.server.ReadTimeout, d.server.WriteTimeout = 10*time.Minute, 10*time.Minute // an import streams
	}
	if state != nil {
		d.server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12,
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return d.tls.Load().config, nil }}
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", l.Address)
	if err != nil {
		return nil, fmt.Errorf("the %s listener: %w", name, err)
	}
	d.listener = listener
	return d, nil
}

// through leads into the house of the moment. While the server drains, each
// connection is closed behind its answer, so that the caller's next request goes
// elsewhere instead of meeting a connection that is just being closed.
func (e *estate) through(d *door) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.inside.Add(1)
		defer d.inside.Add(-1)
		if e.draining.Load() {
			w.Header().Set("Connection", "close")
		}
		(*d.handler.Load()).ServeHTTP(w, r)
	})
}

// serve answers until the door is shut.
func (d *door) serve() error {
	var err error
	if d.server.TLSConfig != nil {
		err = d.server.ServeTLS(d.listener, "", "")
	} else {
		err = d.server.Serve(d.listener)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("the %s listener: %w", d.name, err)
}

// shut closes the listener and waits for the requests in flight, until ctx ends.
// The rest are cut off.
func (d *door) shut(ctx context.Context) error {
	if d.server.Shutdown(ctx) == nil {
		return nil
	}
	cut := d.inside.Load() // connections without a request are no loss
	if err := d.server.Close(); err != nil || cut == 0 {
		return err
	}
	return fmt.Errorf("the %s listener: requests in flight were cut off: %d", d.name, cut)
}

// refresh takes the TLS files anew if they have changed. When they are bad, what
// was read before stays.
func (d *door) refresh() error {
	was := d.tls.Load()
	if was == nil {
		return nil
	}
	texts, err := d.files.texts()
	if err != nil || texts == was.texts {
		return err
	}
	state, err := d.files.state(texts)
	if err != nil {
		return err
	}
	d.tls.Store(state)
	return nil
}

// tlsFiles are the paths of what a listener shows within TLS, and of whom it lets
// in; all empty without TLS.
type tlsFiles struct{ cert, key, clientCA string }

func tlsFilesOf(cfg *config.Config, l config.Listener) tlsFiles {
	if l.TLSCert == "" {
		return tlsFiles{}
	}
	files := tlsFiles{cert: cfg.Path(l.TLSCert), key: cfg.Path(l.TLSKey)}
	if l.ClientCA != "" {
		files.clientCA = cfg.Path(l.ClientCA)
	}
	return files
}

// tlsTexts are the contents of the files at one moment.
type tlsTexts struct{ cert, key, clientCA string }

// tlsState is what follows from them.
type tlsState struct {
	texts  tlsTexts
	config *tls.Config
}

// read makes the state of what the files hold now; there is none without TLS.
func (f tlsFiles) read() (*tlsState, error) {
	if f.cert == "" {
		return nil, nil
	}
	texts, err := f.texts()
	if err != nil {
		return nil, err
	}
	return f.state(texts)
}

func (f tlsFiles) texts() (tlsTexts, error) {
	cert, err1 := os.ReadFile(f.cert)
	key, err2 := os.ReadFile(f.key)
	var clientCA []byte
	var err3 error
	if f.clientCA != "" {
		clientCA, err3 = os.ReadFile(f.clientCA)
	}
	return tlsTexts{string(cert), string(key), string(clientCA)}, errors.Join(err1, err2, err3)
}

func (f tlsFiles) state(t tlsTexts) (*tlsState, error) {
	pair, err := tls.X509KeyPair([]byte(t.cert), []byte(t.key))
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", f.cert, f.key, err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}}
	if f.clientCA != "" {
		config.ClientCAs, config.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !config.ClientCAs.AppendCertsFromPEM([]byte(t.clientCA)) {
			return nil, fmt.Errorf("client_ca %s holds no certificate in PEM", f.clientCA)
		}
	}
	return &tlsState{t, config}, nil
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
