package overload

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"
)

// bounded is a listener on loopback with its bounds, whose clock a test sets.
type bounded struct {
	*Connections
	net.Listener
	now time.Time
}

func newBounded(t *testing.T, total, address int) *bounded {
	t.Helper()
	tcp, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	b := &bounded{now: noon}
	b.Connections = NewConnections(ConnectionBounds{Total: total, Address: address, Part: addressPart, Idle: 5 * time.Second}, func() time.Time { return b.now })
	b.Listener = b.Connections.Listener(tcp)
	t.Cleanup(func() { _ = b.Listener.Close() })
	return b
}

// dial connects from an address of loopback, and returns both ends. The accepted one is nil when
// the connection was closed at once.
func (b *bounded) dial(t *testing.T, from string) (caller, accepted net.Conn) {
	t.Helper()
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	caller, err := dialer.DialContext(t.Context(), "tcp", b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = caller.Close() })
	bounds, ok := b.Listener.(*boundedListener)
	if !ok {
		t.Fatalf("%T", b.Listener)
	}
	tcp, err := bounds.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	if conn := b.admit(tcp); conn != nil {
		return caller, conn
	}
	_ = tcp.Close()
	return caller, nil
}

func (b *bounded) wants(t *testing.T, want ConnectionCounts) {
	t.Helper()
	if got := b.Counts(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// isClosed waits until the caller's connection ends.
func isClosed(t *testing.T, caller net.Conn) {
	t.Helper()
	_ = caller.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := caller.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection is open: %v", err)
	}
}

// TestConnectionsOfAnAddress: one address gets its share, other addresses get theirs, and what
// is closed, also twice, is free again.
func TestConnectionsOfAnAddress(t *testing.T) {
	b := newBounded(t, 100, 3)
	_, first := b.dial(t, "127.0.0.1")
	for range 2 {
		b.dial(t, "127.0.0.1")
	}
	if _, beyond := b.dial(t, "127.0.0.1"); beyond != nil {
		t.Error("a fourth connection of one address")
	}
	if _, other := b.dial(t, "127.0.0.2"); other == nil {
		t.Error("another address got none")
	}
	b.wants(t, ConnectionCounts{Open: 4, AddressRefused: 1})
	for range 2 {
		_ = first.Close()
	}
	b.wants(t, ConnectionCounts{Open: 3, AddressRefused: 1})
	if _, again := b.dial(t, "127.0.0.1"); again == nil {
		t.Error("a closed connection is still counted")
	}
	b.Trust(Proxies{netip.MustParsePrefix("127.0.0.1/32")})
	if _, trusted := b.dial(t, "127.0.0.1"); trusted == nil {
		t.Error("a trusted proxy has a share")
	}
}

// TestConnectionsAreNeverAllTaken: however many addresses take all that they can get and use it, one
// more address gets a connection, and closes nobody else's.
func TestConnectionsAreNeverAllTaken(t *testing.T) {
	b := newBounded(t, 400, 100)
	for n := range 45 {
		from := netip.AddrFrom4([4]byte{127, 0, 1, byte(n)}).String()
		for {
			_, accepted := b.dial(t, from)
			if accepted == nil {
				break
			}
			b.Busy(accepted)
		}
	}
	_, accepted := b.dial(t, "127.0.0.9")
	if counts := b.Counts(); accepted == nil || counts.Closed != 0 || counts.TotalRefused != 0 || counts.Open < 200 {
		t.Errorf("%v, %+v", accepted, counts)
	}
}

// TestLongestWaitIsClosedFirst: with all taken, a new connection replaces the one that has waited
// longest for a request, never one with a request.
func TestLongestWaitIsClosedFirst(t *testing.T) {
	b := newBounded(t, 3, 3)
	var callers, accepted [3]net.Conn
	for n := range accepted {
		callers[n], accepted[n] = b.dial(t, netip.AddrFrom4([4]byte{127, 0, 2, byte(n)}).String())
	}
	b.Busy(accepted[0])
	b.Busy(accepted[1])
	b.Waits(accepted[1])
	b.Waits(accepted[1]) // net/http may say it twice
	if _, fourth := b.dial(t, "127.0.0.9"); fourth == nil {
		t.Fatal("refused while others wait")
	} else {
		b.Busy(fourth)
	}
	isClosed(t, callers[2])
	if _, fifth := b.dial(t, "127.0.0.8"); fifth != nil {
		b.Busy(fifth)
	}
	isClosed(t, callers[1])
	b.wants(t, ConnectionCounts{Open: 3, Closed: 2})
	if _, beyond := b.dial(t, "127.0.0.7"); beyond != nil {
		t.Error("all connections have a request, and one more was accepted")
	}
	b.wants(t, ConnectionCounts{Open: 3, Closed: 2, TotalRefused: 1})
	b.Waits(accepted[1]) // it was closed
	b.Busy(accepted[1])
	for _, conn := range accepted {
		_ = conn.Close()
	}
	b.wants(t, ConnectionCounts{Open: 2, Closed: 2, TotalRefused: 1})
}

// TestIdleTimeNearTheBound: once three quarters are open, those that have waited for longer than the
// shorter time are closed.
func TestIdleTimeNearTheBound(t *testing.T) {
	b := newBounded(t, 8, 8)
	for n := range 5 {
		b.dial(t, netip.AddrFrom4([4]byte{127, 0, 2, byte(n)}).String())
	}
	b.now = b.now.Add(time.Minute)
	b.dial(t, "127.0.0.9")
	b.wants(t, ConnectionCounts{Open: 6}) // far from the bound
	b.dial(t, "127.0.0.8")
	b.wants(t, ConnectionCounts{Open: 6, Closed: 1})
	b.now = b.now.Add(5 * time.Second)
	b.dial(t, "127.0.0.7")
	b.wants(t, ConnectionCounts{Open: 6, Closed: 2})
}

// TestConnectionBelowTLS finds the connection that was accepted, and leaves others alone.
func TestConnectionBelowTLS(t *testing.T) {
	b := newBounded(t, 2, 2)
	_, accepted := b.dial(t, "127.0.0.1")
	b.Busy(tunnel{accepted})
	if b.waiting.next != &b.waiting {
		t.Error("it still waits")
	}
	caller, _ := net.Pipe()
	b.Busy(caller)
	b.Waits(caller)
	b.wants(t, ConnectionCounts{Open: 1})
}

type tunnel struct{ net.Conn }

func (t tunnel) NetConn() net.Conn { return t.Conn }

// TestAccept passes over connections that are beyond the bounds.
func TestAccept(t *testing.T) {
	b := newBounded(t, 100, 1)
	for _, from := range []string{"127.0.0.1", "127.0.0.1", "127.0.0.2"} {
		dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		caller, err := dialer.DialContext(t.Context(), "tcp", b.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = caller.Close() }()
	}
	for _, want := range []string{"127.0.0.1", "127.0.0.2"} {
		conn, err := b.Accept()
		if err != nil || conn.RemoteAddr().(*net.TCPAddr).IP.String() != want {
			t.Errorf("%v, want one from %s", err, want)
		}
	}
	b.wants(t, ConnectionCounts{Open: 2, AddressRefused: 1})
	_ = b.Listener.Close()
	if _, err := b.Accept(); err == nil {
		t.Error("a closed listener accepts")
	}
}

// TestAddressOfIPv6: a /64 counts as one address.
func TestAddressOfIPv6(t *testing.T) {
	one, other := netip.MustParseAddr("2001:db8:0:1::1"), netip.MustParseAddr("2001:db8:0:1:ffff::2%eth0")
	if network(one) != network(other) || network(one) == network(netip.MustParseAddr("2001:db8:0:2::1")) {
		t.Error("not counted by /64")
	}
}

// TestConnectionsOfASite: whoever has a whole network of IPv6 does not get the connections of
// all its addresses.
func TestConnectionsOfASite(t *testing.T) {
	const total = 10_000
	c := NewConnections(ConnectionBounds{Total: total, Address: 500, Part: addressPart, Idle: 5 * time.Second}, func() time.Time { return noon })
	open := func(address netip.Addr) (got int) {
		for c.withinShare(address) && c.open < total {
			c.add(&connection{of: c, address: address}, noon)
			got++
		}
		return got
	}
	for n := range 1 << 12 {
		open(ofSite(1, n))
	}
	if got := c.open; got < total/5 || got > total/3 {
		t.Errorf("one site got %d of %d connections", got, total)
	}
	if got := open(ofSite(2, 0)); got < total/20 {
		t.Errorf("an address of another site got %d", got)
	}
}

// TestLeastConnections: when others have all connections, a new address still may have as many as a
// caller uses; room is made by closing those that wait.
func TestLeastConnections(t *testing.T) {
	for total, least := range map[int]int{2560: leastConnections, 512: 2, 64: 1} {
		c := NewConnections(ConnectionBounds{Total: total, Address: 500, Part: addressPart, Idle: 5 * time.Second}, func() time.Time { return noon })
		add := func(address netip.Addr) { c.add(&connection{of: c, address: address}, noon) }
		for n := range total {
			add(netip.AddrFrom4([4]byte{127, 1, byte(n >> 8), byte(n)}))
		}
		got, caller := 0, netip.AddrFrom4([4]byte{192, 0, 2, 1})
		for ; c.withinShare(caller); got++ {
			add(caller)
		}
		if got != least {
			t.Errorf("of %d connections that are taken an address may have %d, want %d", total, got, least)
		}
	}
}
