package daemon

import (
	"net"
	"syscall"
	"testing"
)

// TestKeepAlive: an accepted connection has the options of its listener.
func TestKeepAlive(t *testing.T) {
	l, err := listenTCP(t.Context(), "public", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	caller := dial(t, "127.0.0.1", l.Addr().String())
	defer func() { _ = caller.Close() }()
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = accepted.Close() }()
	raw, err := accepted.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for _, option := range []struct{ level, name, want int }{
		{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1}, {syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, 15},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, 15}, {syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, 9},
		{syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1},
	} {
		err = raw.Control(func(fd uintptr) {
			if got, err := syscall.GetsockoptInt(int(fd), option.level, option.name); err != nil || got != option.want {
				t.Errorf("option %d of level %d: %d, want %d; %v", option.name, option.level, got, option.want, err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
