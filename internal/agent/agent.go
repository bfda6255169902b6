// Package agent is a small proxy for the programs of one machine. It holds a
// partner's keys and secrets, gets and renews tokens with package tokensource,
// and puts them on the requests for the upstreams that its configuration names,
// so that a program in any language calls a payment API without a line of OAuth.
// For programs that want the token itself it keeps a file up to date.
//
// It is not a server for a network: it listens on loopback or on a Unix socket
// and nowhere else, and no browser may use it. It is not a forward proxy: a token
// goes to the one host of its upstream. It caches no answers and follows no
// redirects.
//
// RFC 6750 §2.1, RFC 9110 (§7.4, §7.6, §15.4), RFC 7523.
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
	maxHeader   = 64 << 10 // bytes of a request's headers
	headerLimit = 5 * time.Second
	idleLimit   = 2 * time.Minute
)

// Agent is the proxy with the tokens that it keeps. Obtain it from New; its
// methods are safe for concurrent use.
type Agent struct {
	log    *slog.Logger
	now    func() time.Time
	server *http.Server
	// guarded: browsers can reach the listener, so that their requests are refused.
	guarded bool

	current atomic.Pointer[snapshot]
	mu      sync.Mutex // one reload at a time; guards what follows
	cfg     *Config
}

// New makes an agent and begins to keep its tokens and files fresh, which
// Shutdown ends.
func New(cfg *Config, log *slog.Logger, now func() time.Time) *Agent {
	a := &Agent{log: log, now: now, cfg: cfg, guarded: cfg.network() == "tcp"}
	a.server = &http.Server{
		Handler:           a,
		ReadHeaderTimeout: headerLimit,
		ReadTimeout:       maxTotal + headerLimit, // each request has a shorter limit of its own
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

// Serve answers on l until Shutdown.
func (a *Agent) Serve(l net.Listener) error {
	if err := a.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown finishes the requests in flight, as long as ctx lives, and lets the
// tokens be. The token files stay as they are.
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

// Reload replaces the configuration without dropping a request. Tokens whose settings
// and credentials did not change are kept. A change that needs a restart is an error,
// and then nothing changes.
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

// ServeHTTP sends a request to its upstream, or answers about the agent itself.
func (a *Agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rec := &recorder{ResponseWriter: w}
	began := a.now()
	var upstream string
	level := slog.LevelInfo
	defer func() { // neither path nor query: they may name people and cards
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
		level = slog.LevelDebug // probes come every few seconds
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

// recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

// WriteHeader notes the final status.
func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
