package daemon

import (
	"errors"
	"net"
	"syscall"
)

// keepAlive sets on a listening socket what package net sets on each connection by four system calls: connections
// inherit it (tcp(7)). After 15 s without a byte a peer is asked, again every 15 s, and after 9 times without
// an answer its connection is closed.
func keepAlive() *net.ListenConfig {
	return &net.ListenConfig{KeepAlive: -1, Control: func(_, _ string, conn syscall.RawConn) error {
		var set error
		err := conn.Control(func(fd uintptr) {
			set = errors.Join(
				syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1),
				syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, 15),
				syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, 15),
				syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, 9))
		})
		return errors.Join(err, set)
	}}
}
