// Package server is the protocol over HTTP: it turns a request of a profile's
// wire shape into an authority.Request, and tokens and refusals back into HTTP.
// It also publishes each issuer's metadata and keys.
//
// It decides nothing about tokens (authority does) and it is the only package
// that knows which error is which HTTP status. No platform has code here: what
// differs between them is read from the profile.
//
// RFC 6749 (§2.3, §3.2, §5), RFC 7517 §5, RFC 8414, RFC 9110.
package server

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"moneyer/internal/authority"
	"moneyer/internal/keyring"
	"moneyer/internal/overload"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

// Server serves a set of issuers. Its fields are set before Handler is called.
type Server struct {
	Issuers   []*registry.Issuer
	Authority *authority.Authority
	Keyring   *keyring.Keyring
	// Admission applies the limits that are not a client's own.
	Admission *overload.Admission
	// Certificates says where client certificates are read; nil means that none can arrive.
	Certificates *Certificates
	// Ready says why the process should get no requests now; nil error means it should.
	Ready func(context.Context) error
	// Refused writes the log line of a refusal.
	Refused *RefusalLog
	// Observe counts the outcome of one request at an endpoint (token, revoke,
	// introspect, check, or revocations where they are not public); code is "" when it was granted.
	Observe func(issuer, endpoint string, code oauth.Code, took time.Duration)
	Now     func() time.Time
}

// endpoint is one issuer's endpoint with what is computed once.
type endpoint struct {
	*Server
	// name of the endpoint in the log and the metrics.
	name   string
	issuer *registry.Issuer
	wire   *wire
}

// Handler routes to every issuer. The error names two issuers that cannot be
// told apart.
func (s *Server) Handler() (http.Handler, error) {
	mux := &router{mux: http.NewServeMux(), taken: map[string]string{}}
	mux.handle("GET /healthz", "health", s.health)
	mux.handle("GET /readyz", "health", s.ready)
	bases, err := s.bases()
	if err != nil {
		return nil, err
	}
	for _, b := range bases {
		host := b.host
		if !slices.ContainsFunc(bases, func(other base) bool { return other.path == b.path && other.issuer != b.issuer }) {
			host = "" // only issuers that share a path are told apart by host
		}
		s.route(mux, b.issuer, host, b.path)
	}
	mux.exact()
	return lowerHost(mux.mux), mux.err
}

// base is where an issuer is served.
type base struct {
	issuer     *registry.Issuer
	host, path string
}

// bases lists where each issuer is served: at its URL, and where its clients show certificates.
func (s *Server) bases() (all []base, err error) {
	for _, issuer := range s.Issuers {
		for _, text := range []string{issuer.URL, issuer.MTLSURL} {
			u, err := url.Parse(text)
			if err != nil {
				return nil, fmt.Errorf("issuer %s: %w", issuer.Name, err)
			}
			if text != "" {
				all = append(all, base{issuer, strings.ToLower(u.Hostname()), u.Path})
			}
		}
	}
	return all, nil
}

// lowerHost lets hosts match in any case (RFC 9110 §4.2.3), which ServeMux does not.
func lowerHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if lower := strings.ToLower(r.Host); lower != r.Host {
			r = r.WithContext(r.Context())
			r.Host = lower
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) route(mux *router, issuer *registry.Issuer, host, path string) {
	e := &endpoint{Server: s, name: "token", issuer: issuer, wire: newWire(issuer)}
	e.wire.certificates = s.certificatesOf(issuer)
	for _, p := range issuer.Profile.Wire.Paths() {
		mux.handle(host+path+exactly(p), issuer.Name, e.token)
	}
	mux.handle("GET "+host+path+jwksPath, issuer.Name, e.jwks)
	mux.handle(host+path+revokePath, issuer.Name, e.tokenEndpoint("revoke").revoke)
	mux.handle(host+path+introspectPath, issuer.Name, e.tokenEndpoint("introspect").introspect)
	if issuer.PrivateRevocations {
		mux.handle(host+path+revocationsPath, issuer.Name, e.listEndpoint().privateRevocations(&signedList{}))
	} else {
		mux.handle("GET "+host+path+revocationsPath, issuer.Name, e.revocations(&signedList{}))
	}
	check := e.checkEndpoint()
	mux.handle(host+path+checkPath, issuer.Name, check.check)
	mux.handle(host+path+checkPath+"/{rest...}", issuer.Name, check.check)
	m := e.metadata()
	published := map[string]http.HandlerFunc{
		metadataPath: e.document(m, false),
		openIDPath:   e.document(m, true),
	}
	for name, handler := range published {
		for _, p := range around(path, name) {
			mux.handle("GET "+host+p, issuer.Name, handler)
		}
	}
}

// exactly is the pattern of a path alone: one that ends in a slash would match all below it.
func exactly(path string) string {
	if strings.HasSuffix(path, "/") {
		return path + "{$}"
	}
	return path
}

// router refuses a pattern that is taken, where ServeMux would panic.
type router struct {
	mux   *http.ServeMux
	taken map[string]string
	err   error
}

func (r *router) handle(pattern, owner string, h http.HandlerFunc) {
	other, taken := r.taken[pattern]
	switch {
	case !taken:
		r.taken[pattern] = owner
		r.mux.HandleFunc(pattern, h)
	case other != owner && r.err == nil:
		r.err = fmt.Errorf("issuers %s and %s both want %q: give them URLs with different paths or hosts", other, owner, pattern)
	}
}

// exact keeps ServeMux from redirecting a path to the one with a slash behind it: these are two paths, and
// a client that follows would show its credentials where it was not asked to.
func (r *router) exact() {
	for pattern := range maps.Clone(r.taken) {
		bare, slash := strings.CutSuffix(pattern, "/{$}")
		if _, served := r.taken[bare]; slash && !served {
			r.handle(bare, r.taken[pattern], http.NotFound)
		}
	}
}

// health says that the process runs.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	plain(w, http.StatusOK, "ok\n")
}

// ready says whether the process should get requests.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	if err := s.Ready(r.Context()); err != nil {
		plain(w, http.StatusServiceUnavailable, "not ready: "+err.Error()+"\n")
		return
	}
	plain(w, http.StatusOK, "ready\n")
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text))
}
