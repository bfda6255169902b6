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

// snapshot is one reading of the configuration, at work.
type snapshot struct {
	routes  []*route  // longest prefix first
	keepers []*keeper // by name
	watches sync.WaitGroup
	cancel  context.CancelFunc // of the watches
}

// build makes a snapshot that takes over what an older one, if there is one,
// knows of tokens that have not changed.
func (a *Agent) build(cfg *Config, old *snapshot) *snapshot {
	g := &snapshot{}
	sources := map[string]*tokensource.Source{}
	for _, name := range slices.Sorted(maps.Keys(cfg.Tokens)) {
		log := a.log.With("token", name)
		k := &keeper{name: name, settings: cfg.Tokens[name], log: log, now: a.now}
		if before := old.keeper(name); before != nil && before.settings.fingerprint == k.settings.fingerprint {
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
		g.keepers = append(g.keepers, k)
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Upstreams)) {
		u := cfg.Upstreams[name]
		r := &route{name: name, settings: u, prefix: strings.TrimSuffix(u.Path, "/"), log: a.log, source: sources[u.Token]}
		r.proxy = &httputil.ReverseProxy{
			Transport: &tokensource.Transport{Source: r.source, Hosts: []string{u.url.Host}, Base: u.transport},
			Rewrite:   r.rewrite, ModifyResponse: r.clean, ErrorHandler: r.failed, ErrorLog: a.server.ErrorLog,
		}
		g.routes = append(g.routes, r)
	}
	slices.SortStableFunc(g.routes, func(a, b *route) int { return len(b.prefix) - len(a.prefix) })
	return g
}

// keeper finds the keeper of a token; a nil snapshot has none.
func (s *snapshot) keeper(name string) *keeper {
	if s == nil {
		return nil
	}
	for _, k := range s.keepers {
		if k.name == name {
			return k
		}
	}
	return nil
}

// start begins to keep the tokens fresh.
func (s *snapshot) start() {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	for _, k := range s.keepers {
		s.watches.Go(func() { k.watch(ctx) })
	}
}

// retire ends that, and returns when nothing is written any more. Requests in
// flight go on.
func (s *snapshot) retire() {
	s.cancel()
	s.watches.Wait()
	for _, r := range s.routes {
		r.settings.transport.CloseIdleConnections()
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
