package agent

import (
	"context"
	"maps"
	"net/http/httputil"
	"slices"
	"strings"
	"sync"

	"moneyer/tokensource"
)

// snapshot holds the routes and renewers of one configuration.
type snapshot struct {
	routes   []*route   // longest prefix first
	renewers []*renewer // sorted by name
	running  sync.WaitGroup
	cancel   context.CancelFunc // cancels the renewers
}

// build returns a snapshot. It takes over unchanged tokens from old, which may be nil.
func (a *Agent) build(cfg *Config, old *snapshot) *snapshot {
	g := &snapshot{}
	sources := map[string]*tokensource.Source{}
	for _, name := range slices.Sorted(maps.Keys(cfg.Tokens)) {
		log := a.log.With("token", name)
		k := &renewer{name: name, settings: cfg.Tokens[name], log: log, now: a.now}
		if before := old.renewer(name); before != nil && before.settings.fingerprint == k.settings.fingerprint {
			k.source = before.source
			k.expiry, k.reason = before.state()
		} else {
			k.source = k.settings.source(log, a.now)
		}
		for _, file := range slices.Sorted(maps.Keys(cfg.Files)) {
			if f := cfg.Files[file]; f.Token == name {
				k.files = append(k.files, &tokenFile{name: file, path: f.path, mode: f.mode})
			}
		}
		sources[name] = k.source
		g.renewers = append(g.renewers, k)
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Upstreams)) {
		u := cfg.Upstreams[name]
		r := &route{name: name, settings: u, prefix: strings.TrimSuffix(u.Path, "/"), log: a.log, source: sources[u.Token]}
		r.base.Transport = u.transport
		if u.files != nil {
			r.base.Transport = tokensource.WithCertificate(u.transport, u.files.load(a.log.With("upstream", name)))
		}
		r.proxy = &httputil.ReverseProxy{
			Transport: &tokensource.Transport{Source: r.source, Hosts: []string{u.url.Host}, Base: r.base.Transport},
			Rewrite:   r.rewrite, ModifyResponse: r.clean, ErrorHandler: r.failed, ErrorLog: a.server.ErrorLog,
		}
		g.routes = append(g.routes, r)
	}
	slices.SortStableFunc(g.routes, func(a, b *route) int { return len(b.prefix) - len(a.prefix) })
	return g
}

// inherit takes over from old, which has been retired, what is in the token files.
func (s *snapshot) inherit(old *snapshot) {
	for _, k := range s.renewers {
		before := old.renewer(k.name)
		if before == nil {
			continue
		}
		for _, f := range k.files {
			for _, had := range before.files {
				if had.path == f.path {
					f.written, f.rewrite = had.written, true
				}
			}
		}
	}
}

// renewer returns the renewer of a token, or nil. The snapshot may be nil.
func (s *snapshot) renewer(name string) *renewer {
	if s == nil {
		return nil
	}
	for _, k := range s.renewers {
		if k.name == name {
			return k
		}
	}
	return nil
}

// start starts the renewers.
func (s *snapshot) start() {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	for _, k := range s.renewers {
		s.running.Go(func() { k.run(ctx) })
		s.running.Go(func() { k.watch(ctx) })
	}
}

// retire stops the renewers and waits for them, so that no file is written any more. Requests in
// flight continue.
func (s *snapshot) retire() {
	s.cancel()
	s.running.Wait()
	for _, r := range s.routes {
		r.base.CloseIdleConnections()
	}
}

// find returns the route of a path, or nil.
func (s *snapshot) find(path string) *route {
	for _, r := range s.routes {
		if rest, ok := strings.CutPrefix(path, r.prefix); ok && (rest == "" || rest[0] == '/') {
			return r
		}
	}
	return nil
}
