package wholelife

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// network carries TCP connections to a server that may move, until it is cut.
type network struct {
	listener net.Listener

	mu     sync.Mutex // guards what follows
	state  state
	server string
	links  map[*link]bool
}

// state is what becomes of what is sent.
type state int

const (
	whole    state = iota
	hangs          // nothing arrives, and nobody is told
	refusing       // connections are reset
)

// link is a connection from a caller, and on to the server when it got there.
type link struct {
	caller, server net.Conn
	lost           bool // it hangs for ever, also after the network has healed
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

// lead lets new connections go to another address.
func (n *network) lead(server string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.server = server
}

// turn changes the state of the network, and what becomes of the connections that
// there are: they hang for ever, or are reset.
func (n *network) turn(s state) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.state = s
	for l := range n.links {
		switch {
		case s == hangs:
			l.lose()
		case s == refusing && !l.lost:
			n.end(l)
		}
	}
}

// carry carries one connection to its end.
func (n *network) carry(caller net.Conn) {
	l := n.open(caller)
	if l == nil {
		return
	}
	ended := make(chan struct{}, 2)
	carry := func(to, from net.Conn) {
		_, _ = io.Copy(to, from) // that it ends is all
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

// open leads a connection on to the server. It returns nil when it gets nowhere.
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
		l.lose()
		return nil
	case n.state == refusing || err != nil:
		n.end(l)
		return nil
	}
	return l
}

// lose lets nothing more through, in either direction. Caller holds mu.
func (l *link) lose() {
	l.lost = true
	past := time.Unix(1, 0)
	_ = l.caller.SetDeadline(past)
	if l.server != nil {
		_ = l.server.SetDeadline(past)
	}
}

// end closes a link, with a reset. Caller holds mu.
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
