// Package peers describes the servers that Moneyer is measured beside: each
// installed from the package registries, set up as its makers mean it to be run
// and so that it issues JWTs, with logging off or at warnings, and no debugging.
//
// One file describes one peer. What is built or installed for it stands in the
// folder of its name: a lock file, or a small main on the peer's public API in a
// module of its own, so that Moneyer's go.mod knows nothing of it. What comes out
// goes to bench/.cache/peers.
//
// It measures nothing: bench/load asks what is described here.
package peers

import "moneyer/bench/subject"

// All returns every peer.
func All() []subject.Server {
	var servers []subject.Server
	for _, p := range all() {
		servers = append(servers, p.Server)
	}
	return servers
}

// A peer is a server, and whether it is installed already.
type peer struct {
	subject.Server
	// installed returns why the peer cannot be started without Install, or nil.
	installed func() error
}

func all() []peer {
	return []peer{
		oidcProvider(),
		zitadel(),
		fosite(),
		dex(),
		glewlwyd(),
		hydra(),
	}
}
