// Package cluster has the files of this folder that the cluster on loopback is made of, so that
// what is tried out is what runs in production. It is not part of the server.
package cluster

import _ "embed"

// HAProxy is haproxy.cfg: the configuration for three replicas on machines of their own.
//
//go:embed haproxy.cfg
var HAProxy string
