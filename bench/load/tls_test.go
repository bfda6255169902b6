package load

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"moneyer/bench/subject"
)

// tlsServer serves over TLS with new certificates, which it returns.
func tlsServer(t *testing.T, mutual bool, config *tls.Config, handler http.HandlerFunc) (string, *subject.Certificates) {
	t.Helper()
	certificates, err := subject.NewCertificates(t.TempDir(), mutual)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(certificates.Cert, certificates.Key)
	if err != nil {
		t.Fatal(err)
	}
	config.Certificates = []tls.Certificate{pair}
	if mutual {
		text, err := os.ReadFile(certificates.CA)
		if err != nil {
			t.Fatal(err)
		}
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		config.ClientCAs.AppendCertsFromPEM(text)
	}
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = config
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL, certificates
}

func tlsRound(t *testing.T, url string, connect *subject.TLS, n int) *Round {
	t.Helper()
	e, err := NewEndpoint(url+"/token", http.Header{"Content-Type": {"text/plain"}}, connect)
	if err != nil {
		t.Fatal(err)
	}
	return &Round{Endpoint: e, Connections: 3, Duration: time.Minute, Requests: requests(e, n)}
}

// TestConnections: every kind of connection does what its name says, as the server sees it.
func TestConnections(t *testing.T) {
	const n = 20
	for _, mutual := range []bool{false, true} {
		var handshakes, resumed, shown, hybrid atomic.Int64
		url, certificates := tlsServer(t, mutual, &tls.Config{VerifyConnection: func(s tls.ConnectionState) error {
			handshakes.Add(1)
			if s.DidResume {
				resumed.Add(1)
			}
			if len(s.PeerCertificates) > 0 {
				shown.Add(1)
			}
			if s.CurveID == tls.X25519MLKEM768 {
				hybrid.Add(1)
			}
			return nil
		}}, echo)
		for _, connect := range certificates.Connections() {
			t.Run(string(connect.Connection), func(t *testing.T) {
				for _, count := range []*atomic.Int64{&handshakes, &resumed, &shown, &hybrid} {
					count.Store(0)
				}
				result, err := tlsRound(t, url, connect, n).Closed(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, a := range result.Answers {
					if a.Status != 200 || string(a.Body) != fmt.Sprintf("body %d", a.Index) || a.Latency <= 0 || a.Served <= 0 {
						t.Errorf("answer %d: %d %q after %v", a.Index, a.Status, a.Body, a.Latency)
					}
				}
				var want struct{ handshakes, resumed, shown, hybrid int64 }
				want.handshakes, want.hybrid = n, n
				switch connect.Connection {
				case subject.TLSResumed:
					want.handshakes, want.hybrid, want.resumed = n+1, n+1, n // the first ticket is of a full handshake
				case subject.TLSClassic:
					want.hybrid = 0
				case subject.MutualTLS:
					want.shown = n
				}
				got := want
				got.handshakes, got.resumed, got.shown, got.hybrid = handshakes.Load(), resumed.Load(), shown.Load(), hybrid.Load()
				if got != want || result.Full+result.Resumed != n || int64(result.Resumed) != want.resumed {
					t.Errorf("the server saw %+v, want %+v; the client counts %d full and %d resumed", got, want, result.Full, result.Resumed)
				}
			})
		}
	}
}

// TestHandshakesAreJudged: a round is an error when a handshake is not what is to be measured.
func TestHandshakesAreJudged(t *testing.T) {
	byKind := func(c *subject.Certificates, kind subject.Connection) *subject.TLS {
		for _, connect := range c.Connections() {
			if connect.Connection == kind {
				return connect
			}
		}
		t.Fatalf("no connection %s", kind)
		return nil
	}
	_, others := tlsServer(t, true, &tls.Config{}, echo)
	url, certificates := tlsServer(t, false, &tls.Config{}, echo)
	noTickets, withoutTickets := tlsServer(t, false, &tls.Config{SessionTicketsDisabled: true}, echo)
	old, ofOld := tlsServer(t, false, &tls.Config{MaxVersion: tls.VersionTLS12}, echo)
	demands, ofDemands := tlsServer(t, true, &tls.Config{}, echo)
	nothing := byKind(ofDemands, subject.MutualTLS)
	stranger := *byKind(others, subject.MutualTLS)
	stranger.Server = nothing.Server
	for name, c := range map[string]struct {
		url     string
		connect *subject.TLS
		want    string
	}{
		"no ticket":              {noTickets, byKind(withoutTickets, subject.TLSResumed), "data before it was asked|no ticket|ended|timeout"},
		"another certificate":    {url, byKind(others, subject.MutualTLS), "another certificate"},
		"TLS 1.2":                {old, byKind(ofOld, subject.TLSFull), "protocol version"},
		"no client certificate":  {demands, &subject.TLS{Connection: subject.TLSFull, Server: nothing.Server}, "certificate required"},
		"another authority":      {demands, &stranger, "unknown certificate authority"},
		"it does not ask for it": {url, &subject.TLS{Connection: subject.MutualTLS, Server: byKind(certificates, subject.TLSFull).Server, Identity: nothing.Identity}, "does not ask"},
	} {
		t.Run(name, func(t *testing.T) {
			round := tlsRound(t, c.url, c.connect, 4)
			round.Duration, round.Timeout = 0, time.Second
			if name != "no ticket" {
				round.Duration, round.Timeout = time.Minute, 0
			}
			_, err := round.Closed(t.Context())
			if err == nil {
				t.Fatal("the round gave a result")
			}
			for want := range strings.SplitSeq(c.want, "|") {
				if strings.Contains(err.Error(), want) {
					return
				}
			}
			t.Errorf("%v, want %s", err, c.want)
		})
	}
}

// TestNotResumedIsAnError: a server that forgets the keys of its tickets makes full handshakes.
func TestNotResumedIsAnError(t *testing.T) {
	var asked atomic.Int64
	var before, after tls.Config
	before.SetSessionTicketKeys([][32]byte{{1}})
	after.SetSessionTicketKeys([][32]byte{{2}})
	choose := &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		if asked.Load() < 5 {
			return &before, nil
		}
		return &after, nil
	}}
	url, certificates := tlsServer(t, false, choose, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		echo(w, r)
	})
	before.Certificates, after.Certificates = choose.Certificates, choose.Certificates
	round := tlsRound(t, url, certificates.Connections()[1], 50)
	if _, err := round.Closed(t.Context()); err == nil || !strings.Contains(err.Error(), errNotResumed.Error()) {
		t.Errorf("%v, want %v", err, errNotResumed)
	}
}

// TestTLSInterrupt: a round is interrupted while the server keeps it waiting within a handshake, also
// one that takes broken connections.
func TestTLSInterrupt(t *testing.T) {
	_, certificates := tlsServer(t, false, &tls.Config{}, echo)
	for _, broken := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096)) // a ClientHello, which gets no answer
			cancel()
			_, _ = io.Copy(io.Discard, conn)
			conn.Close()
		}()
		round := tlsRound(t, "https://"+l.Addr().String(), certificates.Connections()[0], 4)
		round.Broken = broken
		if result, err := round.Closed(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("the round gave %+v, %v", result, err)
		}
		l.Close()
	}
}

// TestBroken: a round that takes broken connections goes on after them, and sends what they kept from
// being sent again.
func TestBroken(t *testing.T) {
	const n, broken = 20, 5
	var handshakes atomic.Int64
	url, certificates := tlsServer(t, false, &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		if handshakes.Add(1) <= broken {
			return nil, errors.New("too many")
		}
		return nil, nil
	}}, echo)
	round := tlsRound(t, url, certificates.Connections()[0], n)
	round.Broken, round.Again = true, true
	result, err := round.Closed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	good, bad := map[int]bool{}, 0
	for _, a := range result.Answers {
		switch {
		case a.Status == 200:
			good[a.Index] = true
		case a.Status == 0 && len(a.Body) > 0 && a.Latency > 0:
			bad++
		default:
			t.Errorf("%+v", a)
		}
	}
	if len(good) != n || bad != broken || result.Full != n {
		t.Errorf("%d requests were answered by %d handshakes, %d connections broke", len(good), result.Full, bad)
	}
	handshakes.Store(0)
	round.Broken = false
	if _, err := round.Closed(t.Context()); err == nil {
		t.Error("a broken connection is no error")
	}
}
