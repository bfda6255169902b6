// Package shed refuses requests on plain connections before HTTP is made of them,
// when there are more than can be answered. A refusal by net/http costs a fifth of
// a token, and of three times too many requests two thirds are refusals.
//
// It never guesses where a request ends: it answers only what came in one piece on
// a connection that net/http calls idle, and is one whole request of the plainest
// form (RFC 9112 §3, §6.3), framed by one Content-Length. Everything else is
// net/http's, and so is a connection for good once anything else was seen on it.
// It knows nothing of TLS or HTTP/2.
package shed

import (
	"net"
	"net/http"
	"time"
)

// Listener accepts connections on which POST requests are refused while TooLong.
type Listener struct {
	net.Listener
	TooLong func() bool
	// Refused is called for each request that was refused here.
	Refused func()
	// IdleTimeout is how long a connection may be idle after a refusal.
	IdleTimeout time.Duration
	Now         func() time.Time
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, listener: l, plain: true}, nil
}

// ConnState tells connections of a Listener when they are idle. It is to be the
// http.Server's ConnState, or called by it.
func ConnState(c net.Conn, state http.ConnState) {
	if shed, ok := c.(*conn); ok {
		shed.idle = state == http.StateIdle
	}
}

// conn is a connection. Its fields belong to whoever reads, of whom net/http has
// one at a time.
type conn struct {
	net.Conn
	listener *Listener
	// plain: all that was handed on so far were whole requests, each in one piece,
	// so that nothing of another is in net/http's buffer.
	plain bool
	// idle: net/http has answered all that was handed on.
	idle bool
	// early holds the octet, if any, that net/http took of the next request while it
	// still answered the one before, to see whether the caller is there.
	early []byte
}

// answer has no body: it is the same for each platform.
var answer = []byte("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nCache-Control: no-store\r\nContent-Length: 0\r\n\r\n")

// answerTime is how long a caller may take to receive it.
const answerTime = 5 * time.Second

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if n == 0 || !c.plain {
			return n, err
		}
		if !c.refusable(p[:n]) || err != nil || !c.listener.TooLong() {
			c.idle = false
			return n, err
		}
		if err := c.refuse(); err != nil {
			return 0, err
		}
	}
}

// refusable tells whether what was read is a request that may be refused here, and
// whether the connection stays plain.
func (c *conn) refusable(read []byte) bool {
	if len(read) == 1 && !c.idle && c.early == nil {
		c.early = []byte{read[0]}
		return false
	}
	if c.early != nil { // the request is net/http's, which has its first octet
		read = append(c.early, read...)
		length, _ := request(read)
		c.plain, c.early = length == len(read), nil
		return false
	}
	length, post := request(read)
	c.plain = length == len(read)
	return c.plain && c.idle && post
}

func (c *conn) refuse() error {
	if err := c.SetWriteDeadline(c.listener.Now().Add(answerTime)); err != nil {
		return err
	}
	c.listener.Refused()
	if _, err := c.Write(answer); err != nil {
		return err
	}
	return c.SetReadDeadline(c.listener.Now().Add(c.listener.IdleTimeout))
}

// CloseWrite lets net/http end a connection so that its last answer arrives.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
