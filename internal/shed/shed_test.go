package shed

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// house is an http.Server behind a Listener, and one connection to it.
type house struct {
	t       *testing.T
	tooLong atomic.Bool
	refused atomic.Int64
	conn    net.Conn
	answers *bufio.Reader
	idle    chan struct{} // written each time that the connection is idle
	slow    chan struct{} // lets a request for /slow go on
}

// one is a listener that accepts one connection.
type one struct {
	net.Conn
	accepted atomic.Bool
	closed   chan struct{}
}

func (o *one) Accept() (net.Conn, error) {
	if o.accepted.CompareAndSwap(false, true) {
		return o.Conn, nil
	}
	<-o.closed
	return nil, net.ErrClosed
}

func (o *one) Close() error {
	close(o.closed)
	return nil
}

func (o *one) Addr() net.Addr { return o.LocalAddr() }

// newHouse has a connection that is a pipe, where pieces stay apart.
func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, idle: make(chan struct{}, 100), slow: make(chan struct{})}
	s := &http.Server{ReadHeaderTimeout: time.Minute,
		ConnState: func(c net.Conn, state http.ConnState) {
			if ConnState(c, state); state == http.StateIdle {
				h.idle <- struct{}{}
			}
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if r.URL.Path == "/slow" {
				<-h.slow
			}
			fmt.Fprintf(w, "%s %s %q %v", r.Method, r.URL, body, err)
		})}
	conn, servers := net.Pipe()
	h.conn, h.answers = conn, bufio.NewReader(conn)
	l := &Listener{Listener: &one{Conn: servers, closed: make(chan struct{})}, TooLong: h.tooLong.Load, Refused: func() { h.refused.Add(1) }, IdleTimeout: time.Minute, Now: time.Now}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() {
		_ = s.Close()
		_ = conn.Close()
	})
	return h
}

// send writes pieces, each to be read apart, while answers are read.
func (h *house) send(pieces ...string) {
	go func() {
		for _, piece := range pieces {
			if _, err := h.conn.Write([]byte(piece)); err != nil {
				return // which the answers show
			}
		}
	}()
}

// gets expects the next answer.
func (h *house) gets(status int, body string) {
	h.t.Helper()
	resp, err := http.ReadResponse(h.answers, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != status || string(text) != body {
		h.t.Errorf("status %d, %q, %v; want %d, %q", resp.StatusCode, text, err, status, body)
	}
	if status == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "1" {
		h.t.Errorf("no Retry-After: %v", resp.Header)
	}
}

func post(body string) string {
	return fmt.Sprintf("POST /token HTTP/1.1\r\nHost: a\r\nContent-Type: x/y\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// warm has the first request answered, as net/http alone does.
func (h *house) warm() {
	h.t.Helper()
	h.send(post("one"))
	h.gets(200, `POST /token "one" <nil>`)
	<-h.idle
}

// TestRefuses: the first request of a connection is net/http's, later ones are
// refused while it is too long, and the connection stays good.
func TestRefuses(t *testing.T) {
	h := newHouse(t)
	h.tooLong.Store(true)
	h.warm()
	for range 3 {
		h.send(post("two"))
		h.gets(503, "")
	}
	h.tooLong.Store(false)
	h.send(post("three"))
	h.gets(200, `POST /token "three" <nil>`)
	<-h.idle
	h.tooLong.Store(true)
	h.send("GET /keys HTTP/1.1\r\nHost: a\r\n\r\n")
	h.gets(200, `GET /keys "" <nil>`)
	<-h.idle
	h.send(post(""))
	h.gets(503, "")
	if n := h.refused.Load(); n != 4 {
		t.Errorf("%d were refused, want 4", n)
	}
}

// TestEarlyOctet: a request of which net/http has the first octet is its own, and
// the next is refused again.
func TestEarlyOctet(t *testing.T) {
	h := newHouse(t)
	h.warm()
	h.tooLong.Store(true)
	for range 3 {
		two := post("two")
		for _, piece := range []string{"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n", two[:1]} {
			if _, err := h.conn.Write([]byte(piece)); err != nil { // returns when net/http has it
				t.Fatal(err)
			}
		}
		h.slow <- struct{}{}
		h.gets(200, `GET /slow "" <nil>`)
		<-h.idle
		h.send(two[1:])
		h.gets(200, `POST /token "two" <nil>`)
		<-h.idle
		h.send(post("three"))
		h.gets(503, "")
	}
}

// TestLeavesOthersAlone: whatever is not one whole plain request in one piece is
// net/http's, and so is all that follows, though it looks like a request.
func TestLeavesOthersAlone(t *testing.T) {
	inside := post("inside")
	for name, pieces := range map[string][]string{
		"in two pieces":    {post("four")[:40], post("four")[40:]},
		"content apart":    {fmt.Sprintf("POST /token HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", len(inside)), inside},
		"pipelined":        {post("four") + post("five")[:30], post("five")[30:]},
		"pipelined whole":  {post("four") + inside},
		"chunked":          {"POST /token HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(inside), inside)},
		"expects a go":     {fmt.Sprintf("POST /token HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", len(inside)), inside},
		"two lengths":      {"POST /token HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n"},
		"line feeds alone": {"POST /token HTTP/1.1\nHost: a\nContent-Length: 0\n\n"},
		"HTTP/1.0":         {"POST /token HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.warm()
			h.tooLong.Store(true)
			h.send(append(pieces, post("last"))...)
			for {
				resp, err := http.ReadResponse(h.answers, nil)
				if err != nil {
					t.Fatal(err)
				}
				text, err := io.ReadAll(resp.Body)
				if err != nil || resp.StatusCode != 200 && resp.StatusCode != http.StatusContinue {
					t.Fatalf("status %d, %q, %v", resp.StatusCode, text, err)
				}
				if strings.Contains(string(text), "last") {
					break
				}
			}
			if n := h.refused.Load(); n != 0 {
				t.Errorf("%d were refused", n)
			}
		})
	}
}
