// Package peers describes the servers that Moneyer is compared with: each from package
// registries, configured as its authors recommend and to issue JWTs, with logging off or at
// warnings.
//
// One file describes one peer. The folder of its name has what is built or installed: a lock file,
// or a small main that uses the peer's public API, in a module of its own so that Moneyer's go.mod
// does not depend on it. The output goes to bench/.cache/peers, and Debian's packages are unpacked
// there: the system installs nothing. Servers in Java need the system's Java and Maven, and are left
// out where these are missing.
//
// The package measures nothing: bench/load sends the requests.
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

// A peer is a server with a check whether it is installed.
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
		keycloak(),
		spring(),
	}
}
