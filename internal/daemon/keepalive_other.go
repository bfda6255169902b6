//go:build !linux

package daemon

import "net"

// keepAlive leaves it to package net to ask silent peers.
func keepAlive() *net.ListenConfig { return &net.ListenConfig{} }
