package store

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fate is what happens to a statement between the client and the server.
type fate int

const (
	arrives fate = iota
	// lost: neither it nor what comes after it reaches the server, and both sides
	// learn that their connection is gone.
	lost
	// halfOpen is as lost, but the server does not learn it.
	halfOpen
	// unanswered: it is carried out, and the client's connection is gone before it
	// hears of that.
	unanswered
	// silent: it is carried out, and the client never hears of anything again.
	silent
)

// proxy is a proxy between a store and its server that injects network faults. It parses
// enough of the protocol to distinguish statements.
type proxy struct {
	listener net.Listener
	server   string

	mu      sync.Mutex
	links   map[*link]bool
	working map[uint32]bool // the server's processes that were told to do something
	changed chan struct{}   // closed when held or down change
	held    bool            // nothing goes through, and nothing is lost
	down    bool            // who connects is sent away
	delay   time.Duration   // of each direction
	// rule decides about each statement that is carried out, but for those of a
	// client that is only being told what it looks like.
	rule func(statement string) fate
	// deaf drops all notifications.
	deaf bool

	// cancels are those of sessions that had carried out a statement.
	cancels, notifications atomic.Int64
	ended                  sync.WaitGroup
}

// newProxy stands before the server of url, and returns its own URL.
func newProxy(t *testing.T, text string) (p *proxy, through string) {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	p = &proxy{server: u.Host, links: map[*link]bool{}, working: map[uint32]bool{}, changed: make(chan struct{})}
	if p.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	u.Host = p.listener.Addr().String()
	p.ended.Go(p.accept)
	t.Cleanup(func() {
		_ = p.listener.Close()
		p.set(func() { p.held, p.down, p.delay = false, true, 0 })
		p.reset()
		p.ended.Wait()
	})
	return p, u.String()
}

// set changes what the proxy does from now on.
func (p *proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	close(p.changed)
	p.changed = make(chan struct{})
}

// once has the first execution of a statement meet its fate, and all others arrive.
// It returns how many there were.
func (p *proxy) once(statement string, f fate) (seen *atomic.Int64) {
	seen = &atomic.Int64{}
	p.set(func() {
		p.rule = func(s string) fate {
			if s == statement && seen.Add(1) == 1 {
				return f
			}
			return arrives
		}
	})
	return seen
}

// reset ends all connections.
func (p *proxy) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.end(l.client)
		l.end(l.server)
	}
}

// strand has nothing go through the connections that there are, for ever.
func (p *proxy) strand() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.stranded.Store(true)
	}
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.ended.Go(func() { p.connect(client) })
	}
}

func (p *proxy) connect(client net.Conn) {
	l := &link{proxy: p, client: client, statements: map[string]string{}, over: make(chan struct{})}
	p.mu.Lock()
	down := p.down
	p.mu.Unlock()
	if down {
		l.end(client)
		return
	}
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		l.end(client)
		return
	}
	l.server = server
	p.mu.Lock()
	p.links[l] = true
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { l.pump(client, server, l.up) })
	both.Go(func() { l.pump(server, client, l.down) })
	both.Wait()
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

// link is one connection through the proxy.
type link struct {
	proxy          *proxy
	client, server net.Conn
	started        bool
	pid            atomic.Uint32     // of the server's process
	statements     map[string]string // that are prepared
	over           chan struct{}     // closed by end
	once           sync.Once
	stranded       atomic.Bool
	// muted keeps answers from the client; with cut its connection goes with the
	// first that is whole. refused keeps what it says from the server.
	muted, cut, refused atomic.Bool
}

// end resets one side.
func (l *link) end(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok && tcp != nil {
		_ = tcp.SetLinger(0)
		_ = tcp.Close()
	}
	if c == l.client {
		l.once.Do(func() { close(l.over) })
	}
}

// parcel is a message in transit.
type parcel struct {
	message []byte
	due     time.Time
}

// pump carries messages that look lets through from one side to the other.
func (l *link) pump(from, to net.Conn, look func(message []byte) bool) {
	parcels := make(chan parcel, 1024)
	var carrier sync.WaitGroup
	carrier.Go(func() {
		for p := range parcels {
			if l.wait(p.due) {
				_, _ = to.Write(p.message)
			}
		}
		if l.wait(time.Time{}) {
			_ = to.Close()
		}
	})
	in := bufio.NewReader(from)
	for {
		message, err := l.read(in, from == l.client)
		if err != nil {
			break
		}
		if look(message) {
			l.proxy.mu.Lock()
			delay := l.proxy.delay
			l.proxy.mu.Unlock()
			parcels <- parcel{message, time.Now().Add(delay)}
		}
	}
	close(parcels)
	carrier.Wait()
}

// wait returns when what is due may go on, or false when the client is gone.
func (l *link) wait(due time.Time) bool {
	late := time.NewTimer(time.Until(due))
	defer late.Stop()
	select {
	case <-late.C:
	case <-l.over:
		return false
	}
	for {
		l.proxy.mu.Lock()
		held, changed := l.proxy.held, l.proxy.changed
		l.proxy.mu.Unlock()
		if l.stranded.Load() {
			changed = nil
		} else if !held {
			return true
		}
		select {
		case <-changed:
		case <-l.over:
			return false
		}
	}
}

// read reads one message. Those of a client begin with one that has no type.
func (l *link) read(in *bufio.Reader, client bool) ([]byte, error) {
	head := make([]byte, 5)
	if client && !l.started {
		head = head[:4]
	}
	if _, err := io.ReadFull(in, head); err != nil {
		return nil, err
	}
	size := int(binary.BigEndian.Uint32(head[len(head)-4:])) - 4
	if size < 0 || size > 1<<26 {
		return nil, errors.New("no message is as long")
	}
	message := append(head, make([]byte, size)...)
	_, err := io.ReadFull(in, message[len(head):])
	return message, err
}

// up looks at what a client says.
func (l *link) up(message []byte) bool {
	const cancel = 80877102
	if !l.started {
		l.started = true
		if len(message) >= 12 && binary.BigEndian.Uint32(message[4:]) == cancel {
			l.proxy.cancelled(binary.BigEndian.Uint32(message[8:]))
		}
		return true
	}
	words := bytes.SplitN(message[5:], []byte{0}, 3)
	statement := ""
	switch message[0] {
	case 'P':
		l.statements[string(words[0])] = string(words[1])
	case 'B':
		statement = l.statements[string(words[1])]
	case 'Q':
		statement = string(words[0])
	}
	if statement != "" && statement != "show transaction_read_only" { // by which servers are told apart
		l.proxy.mu.Lock()
		l.proxy.working[l.pid.Load()] = true
		l.proxy.mu.Unlock()
		l.meet(statement)
	}
	return !l.refused.Load()
}

func (l *link) meet(statement string) {
	l.proxy.mu.Lock()
	rule := l.proxy.rule
	l.proxy.mu.Unlock()
	if rule == nil {
		return
	}
	switch rule(statement) {
	case arrives:
	case lost:
		l.refused.Store(true)
		l.end(l.server)
		l.end(l.client)
	case halfOpen:
		l.refused.Store(true)
		l.muted.Store(true)
		l.stranded.Store(true)
		l.abandon()
	case unanswered:
		l.muted.Store(true)
		l.cut.Store(true)
	case silent:
		l.muted.Store(true)
	}
}

// abandon ends the client's side and leaves the server's as it is.
func (l *link) abandon() {
	if tcp, ok := l.client.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
		_ = tcp.Close()
	}
}

// cancelled notes a wish to cancel what a process of the server does.
func (p *proxy) cancelled(pid uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.working[pid] {
		p.cancels.Add(1)
	}
}

// down looks at what the server answers.
func (l *link) down(message []byte) bool {
	if message[0] == 'K' && len(message) >= 9 {
		l.pid.Store(binary.BigEndian.Uint32(message[5:]))
	}
	l.proxy.mu.Lock()
	deaf := l.proxy.deaf
	l.proxy.mu.Unlock()
	if message[0] == 'A' {
		l.proxy.notifications.Add(1)
		if deaf {
			return false
		}
	}
	if l.muted.Load() && l.cut.Load() && message[0] == 'Z' {
		l.end(l.client)
	}
	return !l.muted.Load()
}

func (f fate) String() string {
	return [...]string{"arrives", "lost", "half-open", "unanswered", "silent"}[f]
}

// atOnce runs subtests side by side whatever the number of processors: most of the
// time they wait.
type atOnce struct {
	*testing.T
	running sync.WaitGroup
}

func (a *atOnce) run(name string, test func(t *testing.T)) {
	a.running.Go(func() { a.T.Run(name, test) })
}

func (a *atOnce) wait() { a.running.Wait() }
