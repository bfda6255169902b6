package wholelife

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// network forwards TCP connections to a server that may move, until it is interrupted.
type network struct {
	listener net.Listener

	mu     sync.Mutex // guards the fields below
	state  state
	server string
	links  map[*link]bool
}

// state is how the network treats connections.
type state int

const (
	whole    state = iota
	hangs          // nothing is delivered, without an error
	refusing       // connections are reset
)

// link is a connection of a caller and, once connected, the one to the server.
type link struct {
	caller, server net.Conn
	lost           bool // it hangs for ever, even after the network recovers
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &network{listener: l, links: map[*link]bool{}}
	t.Cleanup(n.close)
	go func() {
		for {
			caller, err := l.Accept()
			if err != nil {
				return
			}
			go n.carry(caller)
		}
	}()
	return n
}

func (n *network) url() string { return "http://" + n.listener.Addr().String() }

// redirect sends new connections to another address.
func (n *network) redirect(server string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.server = server
}

// setState changes the state of the network. Existing connections then hang for ever, or are reset.
func (n *network) setState(s state) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.state = s
	for l := range n.links {
		switch {
		case s == hangs:
			l.drop()
		case s == refusing && !l.lost:
			n.end(l)
		}
	}
}

// carry forwards one connection until it ends.
func (n *network) carry(caller net.Conn) {
	l := n.open(caller)
	if l == nil {
		return
	}
	ended := make(chan struct{}, 2)
	carry := func(to, from net.Conn) {
		_, _ = io.Copy(to, from) // the result does not matter
		ended <- struct{}{}
	}
	go carry(l.server, l.caller)
	go carry(l.caller, l.server)
	<-ended
	n.mu.Lock()
	defer n.mu.Unlock()
	if !l.lost {
		n.end(l)
	}
}

// open connects a connection to the server. It returns nil on failure.
func (n *network) open(caller net.Conn) *link {
	n.mu.Lock()
	s, address := n.state, n.server
	n.mu.Unlock()
	l := &link{caller: caller}
	err := errors.New("cut")
	if s == whole {
		l.server, err = net.DialTimeout("tcp", address, 5*time.Second)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.links[l] = true
	switch {
	case n.state == hangs:
		l.drop()
		return nil
	case n.state == refusing || err != nil:
		n.end(l)
		return nil
	}
	return l
}

// drop stops forwarding in both directions. The caller holds mu.
func (l *link) drop() {
	l.lost = true
	past := time.Unix(1, 0)
	_ = l.caller.SetDeadline(past)
	if l.server != nil {
		_ = l.server.SetDeadline(past)
	}
}

// end closes a link with a reset. The caller holds mu.
func (n *network) end(l *link) {
	delete(n.links, l)
	for _, conn := range []net.Conn{l.caller, l.server} {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
			_ = tcp.Close()
		}
	}
}

func (n *network) close() {
	_ = n.listener.Close()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.state = refusing
	for l := range n.links {
		n.end(l)
	}
}
