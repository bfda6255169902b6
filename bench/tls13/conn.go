package tls13

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

const (
	// maxContent is the most that a record may hold, in bytes (RFC 8446 section 5.1).
	maxContent = 1 << 14
	// maxMessage bounds a handshake message, in bytes.
	maxMessage = 1 << 16
)

// A Conn is one connection, for one goroutine.
type Conn struct {
	conn    net.Conn
	in, out direction

	buffer     *[]byte // of the pool
	begin, end int     // what of it was read from conn and not consumed
	plain      []byte  // application data that was not read yet
	messages   []byte  // handshake messages that were not read yet
	pending    []byte  // sent with the next request

	resumption []byte // the secret of tickets
	ticket     *Ticket
	resumed    bool
}

// buffers holds the memory for records of closed connections. A new connection for each request would
// otherwise leave as much garbage.
var buffers sync.Pool

func newBuffer() *[]byte {
	if b, ok := buffers.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, 2*(headerBytes+maxContent+256))
	return &b
}

// Resumed reports whether the handshake was resumed by a ticket.
func (c *Conn) Resumed() bool { return c.resumed }

// Ticket returns the last ticket that the server sent, or nil. It comes before the first answer.
func (c *Conn) Ticket() *Ticket { return c.ticket }

// AwaitTicket sends what is pending and reads until the server has sent a ticket.
func (c *Conn) AwaitTicket() (*Ticket, error) {
	if _, err := c.Write(nil); err != nil {
		return nil, err
	}
	for c.ticket == nil {
		kind, content, err := c.content()
		if err != nil {
			return nil, fmt.Errorf("no ticket came: %w", err)
		}
		if kind == recordData {
			return nil, errors.New("the server sent data before it was asked")
		}
		c.messages = append(c.messages, content...)
		if err := c.afterHandshake(); err != nil {
			return nil, err
		}
	}
	return c.ticket, nil
}

// Close tells the server, as clients do, and closes the connection.
func (c *Conn) Close() error {
	if c.pending == nil {
		// RFC 8446 section 6.1. The server may have closed already.
		_, _ = c.conn.Write(c.out.seal(nil, recordAlert, []byte{1, 0}))
	}
	if c.buffer != nil {
		buffers.Put(c.buffer)
		c.buffer = nil
	}
	return c.conn.Close()
}

// Write sends data, in as many records as it takes, by one call.
func (c *Conn) Write(data []byte) (int, error) {
	out := c.pending
	c.pending = nil
	for rest := data; len(rest) > 0; {
		n := min(len(rest), maxContent)
		out = c.out.seal(out, recordData, rest[:n])
		rest = rest[n:]
	}
	if len(out) == 0 {
		return 0, nil
	}
	if _, err := c.conn.Write(out); err != nil {
		return 0, err
	}
	return len(data), nil
}

// Read reads application data.
func (c *Conn) Read(data []byte) (int, error) {
	for len(c.plain) == 0 {
		kind, content, err := c.content()
		if err != nil {
			return 0, err
		}
		if kind == recordData {
			c.plain = content
			continue
		}
		c.messages = append(c.messages, content...)
		if err := c.afterHandshake(); err != nil {
			return 0, err
		}
	}
	n := copy(data, c.plain)
	c.plain = c.plain[n:]
	return n, nil
}

// afterHandshake keeps tickets; nothing else may come.
func (c *Conn) afterHandshake() error {
	for {
		kind, whole, err := c.whole()
		if err != nil || whole == nil {
			return err
		}
		if kind != msgNewSessionTicket {
			return fmt.Errorf("the server sent a handshake message of type %d after the handshake", kind)
		}
		if c.ticket, err = parseTicket(whole[4:], c.resumption); err != nil {
			return err
		}
	}
}

// whole takes the next handshake message, with its header, or nil if it is not complete.
func (c *Conn) whole() (kind byte, whole []byte, err error) {
	if len(c.messages) < 4 {
		return 0, nil, nil
	}
	size := 4 + (int(c.messages[1])<<16 | int(c.messages[2])<<8 | int(c.messages[3]))
	if size > maxMessage {
		return 0, nil, fmt.Errorf("a handshake message of %d bytes", size)
	}
	if len(c.messages) < size {
		return 0, nil, nil
	}
	whole = c.messages[:size:size]
	c.messages = c.messages[size:]
	return whole[0], whole, nil
}

// message reads the next message of the handshake, with its header.
func (c *Conn) message() (kind byte, whole []byte, err error) {
	for {
		kind, whole, err = c.whole()
		if err != nil || whole != nil {
			return kind, whole, err
		}
		record, content, err := c.content()
		if err != nil {
			return 0, nil, err
		}
		if record != recordHandshake {
			return 0, nil, fmt.Errorf("the server sent a record of type %d within the handshake", record)
		}
		c.messages = append(c.messages, content...)
	}
}

// content returns the content of the next record, which is valid until the next call. Alerts are
// errors.
func (c *Conn) content() (kind byte, content []byte, err error) {
	record, err := c.record()
	for err == nil && record[0] == recordChangeCipherSpec { // RFC 8446 appendix D.4
		record, err = c.record()
	}
	if err != nil {
		return 0, nil, err
	}
	kind, content = record[0], record[headerBytes:]
	if c.in.aead != nil && kind == recordData {
		kind, content, err = c.in.open(record)
	} else if c.in.aead != nil && kind != recordAlert {
		err = errors.New("the server sent an unprotected record")
	}
	switch {
	case err != nil:
		return 0, nil, err
	case kind == recordAlert:
		return 0, nil, alert(content)
	case kind != recordHandshake && kind != recordData:
		return 0, nil, fmt.Errorf("the server sent a record of type %d", kind)
	}
	return kind, content, nil
}

func alert(content []byte) error {
	if len(content) != 2 {
		return errors.New("the server sent a malformed alert")
	}
	if content[1] == 0 { // close_notify
		return io.EOF
	}
	return fmt.Errorf("the server sent an alert: %w", tls.AlertError(content[1]))
}

// record returns the next record with its header.
func (c *Conn) record() ([]byte, error) {
	for {
		have := (*c.buffer)[c.begin:c.end]
		if len(have) >= headerBytes {
			size := headerBytes + (int(have[3])<<8 | int(have[4]))
			if size > headerBytes+maxContent+256 || have[1] != 3 {
				return nil, fmt.Errorf("not a record of TLS: %.20q", have)
			}
			if len(have) >= size {
				c.begin += size
				return have[:size], nil
			}
		}
		if err := c.fill(); err != nil {
			return nil, err
		}
	}
}

// fill reads more. What was consumed is dropped first.
func (c *Conn) fill() error {
	if c.begin > 0 {
		c.end = copy(*c.buffer, (*c.buffer)[c.begin:c.end])
		c.begin = 0
	}
	n, err := c.conn.Read((*c.buffer)[c.end:])
	c.end += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}
