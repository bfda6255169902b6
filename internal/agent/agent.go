// Package agent is a local proxy for the programs of one machine. It holds a partner's keys and
// secrets, fetches and renews access tokens with package tokensource, and adds them to the requests
// for the upstreams of its configuration. A program in any language can so call a payment API
// without any OAuth code. For programs that need the token itself it keeps a file with a valid
// token.
//
// It is not a network server: it listens only on loopback or on a Unix socket, and refuses
// browsers. It is not a forward proxy: a token is sent only to the host of its upstream. It does
// not cache responses and does not follow redirects.
//
// RFC 6750 section 2.1, RFC 9110 (sections 7.4, 7.6, 15.4), RFC 7523.
package agent

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxHeader   = 64 << 10 // bytes of a request's header
	headerLimit = 5 * time.Second
	idleLimit   = 2 * time.Minute
)

// Agent is the proxy and its tokens, returned by New. Its methods are safe for concurrent use.
type Agent struct {
	log    *slog.Logger
	now    func() time.Time
	server *http.Server
	// guarded: the listener is reachable by browsers, so their requests are refused.
	guarded bool

	current atomic.Pointer[snapshot]
	mu      sync.Mutex // serializes reloads; guards the fields below
	cfg     *Config
}

// New returns an agent and starts to renew its tokens and files, until Shutdown.
func New(cfg *Config, log *slog.Logger, now func() time.Time) *Agent {
	a := &Agent{log: log, now: now, cfg: cfg, guarded: cfg.network() == "tcp"}
	a.server = &http.Server{
		Handler:           a,
		ReadHeaderTimeout: headerLimit,
		ReadTimeout:       maxTotal + headerLimit, // each request has a shorter timeout of its own
		WriteTimeout:      maxTotal + idleLimit,
		IdleTimeout:       idleLimit,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	a.warn(cfg)
	g := a.build(cfg, nil)
	g.start()
	a.current.Store(g)
	return a
}

// Serve serves requests on l until Shutdown.
func (a *Agent) Serve(l net.Listener) error {
	if err := a.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown finishes the requests in flight, at most until ctx ends, and stops renewing the tokens.
// The token files stay as they are.
func (a *Agent) Shutdown(ctx context.Context) error {
	err := a.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, a.server.Close())
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.current.Load().retire()
	return err
}

// Reload replaces the configuration without dropping a request. Tokens whose settings and
// credentials did not change are kept. If a change needs a restart, Reload returns an error and
// changes nothing.
func (a *Agent) Reload(cfg *Config) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range []struct {
		name string
		same bool
	}{
		{"listen", cfg.Listen == a.cfg.Listen}, {"mode", cfg.mode == a.cfg.mode}, {"log", cfg.Log == a.cfg.Log},
	} {
		if !s.same {
			return errors.New("a change of " + s.name + " needs a restart")
		}
	}
	a.warn(cfg)
	old := a.current.Load()
	g := a.build(cfg, old)
	old.retire() // first, so that no file has two writers
	g.inherit(old)
	g.start()
	a.current.Store(g)
	a.cfg = cfg
	return nil
}

func (a *Agent) warn(cfg *Config) {
	for _, warning := range cfg.Warnings() {
		a.log.Warn(warning)
	}
}

// ServeHTTP proxies a request to its upstream, or serves the agent's own paths.
func (a *Agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rec := &recorder{ResponseWriter: w}
	began := a.now()
	var upstream string
	level := slog.LevelInfo
	defer func() { // neither path nor query is logged: they may identify people and cards
		a.log.LogAttrs(r.Context(), level, "request", slog.String("method", r.Method), slog.String("upstream", upstream),
			slog.Int("status", rec.status), slog.String("error", rec.Header().Get(errorHeader)), slog.Int64("ms", a.now().Sub(began).Milliseconds()))
	}()
	if refused := a.admit(r); refused != nil {
		refused.write(rec)
		return
	}
	g := a.current.Load()
	path := r.URL.EscapedPath()
	if reserved(path) {
		level = slog.LevelDebug // probes are frequent
		g.status(rec, r, a.now())
		return
	}
	to := g.find(path)
	if to == nil {
		notFound.write(rec)
		return
	}
	upstream = to.name
	to.serve(rec, r)
}

// recorder records the status of a response.
type recorder struct {
	http.ResponseWriter
	status int
}

// WriteHeader records the final status.
func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap gives http.ResponseController access to the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
