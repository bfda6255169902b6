package overload

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Connections bounds the open connections of one listener, so that no caller takes the
// file descriptors of the process. Each address, and each site of IPv6, has a share of them that gets smaller the
// fewer are free: however many addresses hold all they can get, a new one finds a
// connection. Trusted proxies have no share, because all callers come through them.
//
// A connection waits while it has no request whose header has come. When connections get
// scarce those that have waited longest are closed, first to save those in use.
//
// It is safe for concurrent use.
type Connections struct {
	bounds  ConnectionBounds
	now     func() time.Time
	trusted atomic.Pointer[Proxies]
	streams *SharedLimit

	mu      sync.Mutex
	open    int
	held    holders
	waiting connection // the head of a ring of those that wait, longest first

	counts ConnectionCounts // without Open
}

// ConnectionCounts says what became of a listener's connections.
type ConnectionCounts struct {
	// Open connections now.
	Open int64
	// AddressRefused, TotalRefused and Closed count connections since the start: those
	// that were closed when they were accepted, because their address had its share or
	// because there were too many in all, and those that were closed while they waited for a
	// request to make room.
	AddressRefused, TotalRefused, Closed int64
}

// ConnectionBounds are the bounds of one listener.
type ConnectionBounds struct {
	// Total is how many connections may be open, and Address how many of one address.
	Total, Address int
	// Streams is how many requests of HTTP/2 there may be at once on all of them.
	Streams int
	// Part is the part of Total that one address may have while all are free.
	Part int
	// Idle is how long a connection may wait for a request once three quarters of Total
	// are open.
	Idle time.Duration
}

// near is how many connections may be open until Idle applies.
func (b *ConnectionBounds) near() int { return b.Total * 3 / 4 }

// NewConnections makes the bounds effective.
func NewConnections(bounds ConnectionBounds, now func() time.Time) *Connections {
	c := &Connections{bounds: bounds, now: now, streams: NewSharedLimit(bounds.Streams), held: newHolders()}
	c.waiting.next, c.waiting.previous = &c.waiting, &c.waiting
	c.Trust(nil)
	return c
}

// Trust sets the proxies that have no share of their own.
func (c *Connections) Trust(proxies Proxies) { c.trusted.Store(&proxies) }

// Counts returns what became of the connections.
func (c *Connections) Counts() ConnectionCounts {
	c.mu.Lock()
	defer c.mu.Unlock()
	counts := c.counts
	counts.Open = int64(c.open)
	return counts
}

// Listener returns a listener that accepts the connections of tcp that are within the
// bounds, and closes the others at once.
func (c *Connections) Listener(tcp *net.TCPListener) net.Listener {
	return &boundedListener{TCPListener: tcp, connections: c}
}

type boundedListener struct {
	*net.TCPListener
	connections *Connections
}

// Accept implements net.Listener.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		tcp, err := l.AcceptTCP()
		if err != nil {
			return nil, err
		}
		if conn := l.connections.admit(tcp); conn != nil {
			return conn, nil
		}
		_ = tcp.Close()
	}
}

// connection is an accepted connection. Close takes it out of the count.
type connection struct {
	*net.TCPConn
	of      *Connections
	address netip.Addr // whose share it takes; zero for a trusted proxy

	// Guarded by of.mu:
	closed         bool
	since          time.Time   // when it began to wait
	next, previous *connection // among those that wait; nil with a request
}

// wait puts the connection at the end of those that wait.
func (c *connection) wait(head *connection, now time.Time) {
	c.since, c.next, c.previous = now, head, head.previous
	c.previous.next, head.previous = c, c
}

// leave takes it out from there.
func (c *connection) leave() {
	if c.next != nil {
		c.next.previous, c.previous.next = c.previous, c.next
		c.next, c.previous = nil, nil
	}
}

// Close implements net.Conn.
func (c *connection) Close() error {
	c.of.mu.Lock()
	c.of.remove(c)
	c.of.mu.Unlock()
	return c.TCPConn.Close()
}

// admit counts a connection, and makes room for it. It returns nil for one that is
// beyond the bounds.
func (c *Connections) admit(tcp *net.TCPConn) *connection {
	conn := &connection{TCPConn: tcp, of: c}
	if remote, ok := tcp.RemoteAddr().(*net.TCPAddr); ok {
		if peer := remote.AddrPort().Addr().Unmap(); !c.trusted.Load().Contain(peer) {
			conn.address = network(peer)
		}
	}
	now := c.now()
	c.mu.Lock()
	if conn.address.IsValid() && !c.withinShare(conn.address) {
		c.counts.AddressRefused++
		c.mu.Unlock()
		return nil
	}
	waited := c.makeRoom(now)
	admitted := c.open < c.bounds.Total
	if admitted {
		c.add(conn, now)
	} else {
		c.counts.TotalRefused++
	}
	c.mu.Unlock()
	for _, w := range waited {
		_ = w.TCPConn.Close() // the server that reads from it finds it closed
	}
	if !admitted {
		return nil
	}
	return conn
}

// leastConnections is how many connections every address may have, however few are free: callers use
// more than one, and room is made by closing those that wait. Of few connections in all it is less.
const leastConnections = 8

// withinShare reports whether the address may have one more connection now.
func (c *Connections) withinShare(address netip.Addr) bool {
	least := max(min(leastConnections, c.bounds.Total/256), 1)
	return c.held.addresses[address] < c.bounds.Address && c.held.within(address, c.bounds.Total, c.open, c.bounds.Part, least)
}

// makeRoom takes out the connections that have waited too long and, when none is free,
// the one that has waited longest. The caller closes them.
func (c *Connections) makeRoom(now time.Time) (waited []*connection) {
	for c.open >= c.bounds.near() {
		conn := c.waiting.next
		if conn == &c.waiting || c.open < c.bounds.Total && now.Sub(conn.since) <= c.bounds.Idle {
			break
		}
		c.remove(conn)
		c.counts.Closed++
		waited = append(waited, conn)
	}
	return waited
}

func (c *Connections) add(conn *connection, now time.Time) {
	c.open++
	if conn.address.IsValid() {
		c.held.add(conn.address, 1)
	}
	conn.wait(&c.waiting, now)
}

func (c *Connections) remove(conn *connection) {
	if conn.closed {
		return
	}
	conn.closed = true
	c.open--
	conn.leave()
	if conn.address.IsValid() {
		c.held.add(conn.address, -1)
	}
}

// Busy is to be called when the header of a request has come on a connection of the
// listener, or of TLS over one.
func (c *Connections) Busy(of net.Conn) {
	conn := accepted(of)
	if conn == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	conn.leave()
}

// Waits is to be called when a connection is without a request again.
func (c *Connections) Waits(of net.Conn) {
	conn := accepted(of)
	if conn == nil {
		return
	}
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !conn.closed && conn.next == nil {
		conn.wait(&c.waiting, now)
	}
}

// accepted is the connection that Accept returned, also below TLS.
func accepted(of net.Conn) *connection {
	if over, ok := of.(interface{ NetConn() net.Conn }); ok {
		of = over.NetConn()
	}
	conn, _ := of.(*connection)
	return conn
}
