package load

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"
)

// requests returns n different bodies.
func requests(e *Endpoint, n int) [][]byte {
	all := make([][]byte, n)
	for i := range all {
		all[i] = e.Request(fmt.Appendf(nil, "body %d", i))
	}
	return all
}

func endpoint(t *testing.T, url string) *Endpoint {
	t.Helper()
	e, err := NewEndpoint(url+"/token", http.Header{"Content-Type": {"text/plain"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// echo returns the request body.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if r.URL.Path != "/token" || r.Header.Get("Content-Type") != "text/plain" {
		w.WriteHeader(http.StatusTeapot)
	}
	_, _ = w.Write(body)
}

func chunkedEcho(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	_, _ = w.Write(body[:3])
	w.(http.Flusher).Flush()
	_, _ = w.Write(body[3:])
}

func closingEcho(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Connection", "close")
	echo(w, r)
}

func TestClosedSendsEachOnce(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{"length": echo, "chunked": chunkedEcho, "close": closingEcho} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(handler)
			defer server.Close()
			e := endpoint(t, server.URL)
			round := &Round{Endpoint: e, Connections: 3, Duration: time.Minute, Requests: requests(e, 50)}
			result, err := round.Closed(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !result.Early {
				t.Error("the round does not say that it ended early")
			}
			var got []string
			for _, a := range result.Answers {
				if a.Status != 200 || string(a.Body) != fmt.Sprintf("body %d", a.Index) || a.Latency <= 0 {
					t.Errorf("answer %d: %d %q after %v", a.Index, a.Status, a.Body, a.Latency)
				}
				got = append(got, string(a.Body))
			}
			slices.Sort(got)
			if len(slices.Compact(got)) != 50 {
				t.Errorf("%d different answers, want 50", len(slices.Compact(got)))
			}
		})
	}
}

func TestClosedEndsByTime(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(echo))
	defer server.Close()
	e := endpoint(t, server.URL)
	round := &Round{Endpoint: e, Connections: 2, Duration: 20 * time.Millisecond, Requests: requests(e, 3), Repeat: true}
	result, err := round.Closed(t.Context())
	if err != nil || result.Early || len(result.Answers) < 3 || result.Rate() <= 0 {
		t.Errorf("%+v, %v", result, err)
	}
}

func TestOpenCountsFromWhenDue(t *testing.T) {
	// The only connection is blocked by its first response; requests due meanwhile are late.
	const held = 50 * time.Millisecond
	var once sync.Once
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		once.Do(func() { time.Sleep(held) })
		echo(w, r)
	}))
	defer server.Close()
	e := endpoint(t, server.URL)
	round := &Round{Endpoint: e, Connections: 1, Duration: 20 * time.Millisecond, Requests: requests(e, 20)}
	result, err := round.Open(t.Context(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Answers) != 20 || result.Unsent != 0 {
		t.Fatalf("%d answers, %d unsent", len(result.Answers), result.Unsent)
	}
	if last := result.Answers[19].Latency; last < held-20*time.Millisecond {
		t.Errorf("the last answer was %v late, though the server was held up", last)
	}
}

func TestAgainAfterRefusal(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) <= 5 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		echo(w, r)
	}))
	defer server.Close()
	e := endpoint(t, server.URL)
	round := &Round{Endpoint: e, Connections: 1, Duration: time.Minute, Requests: requests(e, 10), Again: true}
	result, err := round.Closed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	good, told := map[int]bool{}, 0
	for _, a := range result.Answers {
		if a.Status == 200 {
			good[a.Index] = true
		} else if a.RetryAfter {
			told++
		}
	}
	if len(good) != 10 || told != 5 || len(result.Answers) != 15 {
		t.Errorf("%d requests were answered well, %d refused with Retry-After, of %d", len(good), told, len(result.Answers))
	}
}

func TestRefusalsAreKept(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no", http.StatusBadRequest)
	}))
	defer server.Close()
	e := endpoint(t, server.URL)
	round := &Round{Endpoint: e, Connections: 1, Duration: time.Minute, Requests: requests(e, 1)}
	result, err := round.Closed(t.Context())
	if err != nil || len(result.Answers) != 1 || result.Answers[0].Status != 400 || string(result.Answers[0].Body) != "no\n" {
		t.Errorf("%+v, %v", result, err)
	}
}

func TestWrongAnswers(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\n"
	for name, answer := range map[string]string{
		"garbage":            "SSH-2.0-OpenSSH\r\n\r\n",
		"no status":          "HTTP/1.1 OK\r\n\r\n",
		"nothing":            "",
		"cut in head":        head + "Content-Le",
		"cut in body":        head + "Content-Length: 10\r\n\r\n12345",
		"bad length":         head + "Content-Length: -1\r\n\r\n",
		"endless":            head + "Content-Length: 99999999999\r\n\r\n",
		"no colon":           head + "Content-Length 10\r\n\r\n",
		"more than it says":  head + "Content-Length: 2\r\n\r\n12345",
		"unknown coding":     head + "Transfer-Encoding: gzip\r\n\r\n",
		"bad chunk":          head + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
		"cut chunk":          head + "Transfer-Encoding: chunked\r\n\r\n5\r\n123",
		"long chunk":         head + "Transfer-Encoding: chunked\r\n\r\n2\r\n12345\r\n0\r\n\r\n",
		"cut after chunks":   head + "Transfer-Encoding: chunked\r\n\r\n2\r\n12\r\n0\r\n",
		"header has no end":  head + strings.Repeat("X: y\r\n", 300_000),
		"one line of header": head + "X: " + strings.Repeat("y", 2<<20),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := newReader(strings.NewReader(answer)).response()
			if err == nil {
				t.Errorf("taken for an answer: %+v", got)
			}
			url := tcpServer(t, answer)
			e := endpoint(t, url)
			round := &Round{Endpoint: e, Connections: 2, Duration: time.Minute, Requests: requests(e, 8)}
			if result, err := round.Closed(t.Context()); err == nil {
				t.Errorf("the round gave %+v", result.Answers)
			}
		})
	}
}

// tcpServer sends the same bytes on each connection and closes it.
func tcpServer(t *testing.T, answer string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = conn.Read(make([]byte, 4096))
				_, _ = io.WriteString(conn, answer)
				conn.Close()
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

func TestRightAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		text, body string
		status     int
		last, wait bool
	}{
		"length":         {text: "HTTP/1.1 200 OK\r\ncontent-length:  5 \r\n\r\n12345", body: "12345", status: 200},
		"no reason":      {text: "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", status: 200},
		"chunked":        {text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3;x=y\r\n123\r\n2 \r\n45\r\n0\r\nT: r\r\n\r\n", body: "12345", status: 200},
		"until the end":  {text: "HTTP/1.1 200 OK\r\n\r\n12345", body: "12345", status: 200, last: true},
		"close":          {text: "HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 1\r\n\r\n1", body: "1", status: 200, last: true},
		"HTTP/1.0":       {text: "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n1", body: "1", status: 200, last: true},
		"1.0 keep-alive": {text: "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n1", body: "1", status: 200},
		"interim":        {text: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 429 Too Many\r\nRetry-After: 1\r\nContent-Length: 1\r\n\r\n1", body: "1", status: 429, wait: true},
		"no content":     {text: "HTTP/1.1 204 No Content\r\n\r\n", status: 204},
		"bare line feed": {text: "HTTP/1.1 200 OK\nContent-Length: 1\n\n1", body: "1", status: 200},
	} {
		t.Run(name, func(t *testing.T) {
			for _, from := range []io.Reader{strings.NewReader(c.text), iotest.OneByteReader(strings.NewReader(c.text))} {
				got, err := newReader(from).response()
				if err != nil || got.status != c.status || string(got.body) != c.body || got.last != c.last || got.retryAfter != c.wait {
					t.Errorf("got %d %q last=%v wait=%v, %v", got.status, got.body, got.last, got.retryAfter, err)
				}
			}
		})
	}
}

func TestBigAnswersInTurn(t *testing.T) {
	big := bytes.Repeat([]byte("x"), 40_000)
	one := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(big), big)
	r := newReader(iotest.HalfReader(strings.NewReader(one + one)))
	for range 2 {
		// Bytes after the response are an error, so it is sent exactly.
		f := response{}
		framing, err := r.head(&f)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.body(&f, framing); err != nil || !bytes.Equal(f.body, big) {
			t.Fatalf("%d bytes, %v", len(f.body), err)
		}
	}
}

func TestInterrupt(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		<-r.Context().Done()
	}))
	defer server.Close()
	e := endpoint(t, server.URL)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	round := &Round{Endpoint: e, Connections: 2, Duration: time.Minute, Requests: requests(e, 2)}
	if _, err := round.Closed(ctx); err == nil {
		t.Error("an interrupted round gave a result")
	}
}

func TestEndpoint(t *testing.T) {
	e, err := NewEndpoint("http://localhost/a/b?c", http.Header{"X-A": {"1"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := "POST /a/b?c HTTP/1.1\r\nHost: localhost\r\nX-A: 1\r\nContent-Length: 2\r\n\r\nhi"
	if got := string(e.Request([]byte("hi"))); got != want || e.Address != "localhost:80" {
		t.Errorf("%q to %s", got, e.Address)
	}
	for _, bad := range []string{"https://localhost/", "http:///x", "::"} {
		if _, err := NewEndpoint(bad, nil, nil); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

func TestQuantile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for q, want := range map[float64]time.Duration{0: 1, 0.5: 50, 0.99: 99, 0.999: 100, 1: 100} {
		if got := Quantile(hundred, q); got != want {
			t.Errorf("quantile %v: %d, want %d", q, got, want)
		}
	}
	if Quantile(nil, 0.5) != 0 || Quantile(hundred[:1], 0.999) != 1 {
		t.Error("quantiles of few")
	}
}

// TestAddressesInTurn: connections are spread evenly over equal servers.
func TestAddressesInTurn(t *testing.T) {
	var counts [3]atomic.Int64
	var addresses []string
	var first *Endpoint
	for i := range counts {
		server := httptest.NewUnstartedServer(http.HandlerFunc(echo))
		server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				counts[i].Add(1)
			}
		}
		server.Start()
		t.Cleanup(server.Close)
		addresses = append(addresses, server.Listener.Addr().String())
		if first == nil {
			first = endpoint(t, server.URL)
		}
	}
	round := Round{Endpoint: first, Addresses: addresses, Connections: 6, Duration: time.Minute, Requests: requests(first, 60)}
	result, err := round.Closed(t.Context())
	if err != nil || len(result.Answers) != 60 {
		t.Fatal(result, err)
	}
	for i := range counts {
		if n := counts[i].Load(); n != 2 {
			t.Errorf("server %d got %d connections of 6, want 2", i+1, n)
		}
	}
}
