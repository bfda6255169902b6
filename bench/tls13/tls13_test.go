package tls13

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"
)

// identity returns a self-signed P-256 certificate.
func identity(t testing.TB) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// server answers each chunk of data with the same data, and reports the state of each connection, or
// why there is none.
func server(t testing.TB, config *tls.Config) (address string, states <-chan any) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	seen := make(chan any, 1000)
	go func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer raw.Close()
				conn := tls.Server(raw, config)
				if err := conn.Handshake(); err != nil {
					seen <- err
					return
				}
				seen <- conn.ConnectionState()
				_, err := io.Copy(conn, conn)
				if err != nil {
					seen <- err
				}
			}()
		}
	}()
	return l.Addr().String(), seen
}

func connect(t testing.TB, c *Client, address string, ticket *Ticket) (*Conn, error) {
	t.Helper()
	raw, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := c.Connect(raw, ticket)
	if err != nil {
		raw.Close()
	}
	return conn, err
}

// echo sends data and wants them back.
func echo(t testing.TB, conn *Conn, data []byte) {
	t.Helper()
	if _, err := conn.Write(data); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(data))
	if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, data) {
		t.Fatalf("%d bytes came back changed, %v", len(data), err)
	}
}

func state(t testing.TB, states <-chan any) tls.ConnectionState {
	t.Helper()
	s, ok := (<-states).(tls.ConnectionState)
	if !ok {
		t.Fatal("no handshake")
	}
	return s
}

func TestHandshakes(t *testing.T) {
	id, mine := identity(t), identity(t)
	for name, c := range map[string]struct {
		server *tls.Config
		client Config
		group  tls.CurveID
		shown  int
	}{
		"default":            {group: tls.X25519MLKEM768},
		"classic":            {client: Config{Classic: true}, group: tls.X25519},
		"a classic server":   {server: &tls.Config{CurvePreferences: []tls.CurveID{tls.X25519}}, group: tls.X25519},
		"client certificate": {server: &tls.Config{ClientAuth: tls.RequireAnyClientCert}, client: Config{Identity: mine}, group: tls.X25519MLKEM768, shown: 1},
		"asked, but none":    {server: &tls.Config{ClientAuth: tls.RequestClientCert}, group: tls.X25519MLKEM768},
	} {
		t.Run(name, func(t *testing.T) {
			if c.server == nil {
				c.server = &tls.Config{}
			}
			c.server.Certificates = []tls.Certificate{*id}
			c.server.NextProtos = []string{"h2", "http/1.1"}
			c.client.Server = id.Leaf
			address, states := server(t, c.server)
			client, err := NewClient(c.client)
			if err != nil {
				t.Fatal(err)
			}
			var ticket *Ticket
			for _, resumed := range []bool{false, true, true, false} {
				if !resumed {
					ticket = nil
				}
				conn, err := connect(t, client, address, ticket)
				if err != nil {
					t.Fatal(err)
				}
				echo(t, conn, []byte("hello"))
				echo(t, conn, bytes.Repeat([]byte("0123456789"), 5000))
				s := state(t, states)
				if s.DidResume != resumed || conn.Resumed() != resumed || s.CurveID != c.group || s.NegotiatedProtocol != "http/1.1" || len(s.PeerCertificates) != c.shown {
					t.Errorf("resumed %v and %v, want %v: %+v", s.DidResume, conn.Resumed(), resumed, s)
				}
				if ticket = conn.Ticket(); ticket == nil {
					t.Error("no ticket came")
				}
				if err := conn.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestNotResumed: a server that does not take the ticket makes a full handshake, and the client says
// so.
func TestNotResumed(t *testing.T) {
	id := identity(t)
	one, _ := server(t, &tls.Config{Certificates: []tls.Certificate{*id}})
	other, states := server(t, &tls.Config{Certificates: []tls.Certificate{*id}})
	client, err := NewClient(Config{Server: id.Leaf})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := connect(t, client, one, nil)
	if err != nil {
		t.Fatal(err)
	}
	echo(t, conn, []byte("hello"))
	ticket := conn.Ticket()
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if conn, err = connect(t, client, other, ticket); err != nil {
		t.Fatal(err)
	}
	echo(t, conn, []byte("hello"))
	if conn.Resumed() || state(t, states).DidResume {
		t.Error("resumed by another server's ticket")
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
}

func TestRefused(t *testing.T) {
	id, other := identity(t), identity(t)
	forged := *id
	forged.PrivateKey = other.PrivateKey
	for name, c := range map[string]struct {
		server *tls.Config
		client Config
		want   string
	}{
		"another certificate":   {server: &tls.Config{Certificates: []tls.Certificate{*other}}, want: "another certificate"},
		"another key":           {server: &tls.Config{Certificates: []tls.Certificate{forged}}, want: "signature is wrong"},
		"TLS 1.2":               {server: &tls.Config{MaxVersion: tls.VersionTLS12}, want: "protocol version"},
		"another group":         {server: &tls.Config{CurvePreferences: []tls.CurveID{tls.CurveP256}}, want: "key share of another group"},
		"it asks for no client": {client: Config{Identity: other}, want: "does not ask"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.server == nil {
				c.server = &tls.Config{}
			}
			if c.server.Certificates == nil {
				c.server.Certificates = []tls.Certificate{*id}
			}
			c.client.Server = id.Leaf
			address, _ := server(t, c.server)
			client, err := NewClient(c.client)
			if err != nil {
				t.Fatal(err)
			}
			conn, err := connect(t, client, address, nil)
			if err == nil {
				conn.Close()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

// TestRefusedClient: in TLS 1.3 a server refuses a client's certificate after the handshake.
func TestRefusedClient(t *testing.T) {
	id, other := identity(t), identity(t)
	address, _ := server(t, &tls.Config{Certificates: []tls.Certificate{*id}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x509.NewCertPool()})
	client, err := NewClient(Config{Server: id.Leaf, Identity: other})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := connect(t, client, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = conn.Write([]byte("hello"))
	if err == nil {
		_, err = conn.Read(make([]byte, 10))
	}
	if err == nil || !strings.Contains(err.Error(), "alert") {
		t.Errorf("%v, want an alert", err)
	}
	conn.Close()
}

func TestEnds(t *testing.T) {
	for name, text := range map[string]string{
		"nothing": "", "no TLS": "HTTP/1.1 400 Bad Request\r\n\r\n", "too long": "\x16\x03\x03\xff\xff", "cut": "\x16\x03\x03\x00\x05\x02",
		"alert": "\x15\x03\x03\x00\x02\x02\x28", "long message": "\x16\x03\x03\x00\x04\x02\xff\xff\xff",
	} {
		ours, theirs := net.Pipe()
		go func() {
			_, _ = theirs.Read(make([]byte, 4096))
			_, _ = io.WriteString(theirs, text)
			theirs.Close()
		}()
		client, err := NewClient(Config{Server: identity(t).Leaf})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Connect(ours, nil); err == nil {
			t.Errorf("%s: a handshake", name)
		}
		ours.Close()
	}
}

// FuzzMessages: what a server sends is refused or read, and never a panic.
func FuzzMessages(f *testing.F) {
	f.Add([]byte{3, 3, 0, 0})
	f.Add(append(make([]byte, 34), 0, 0x13, 1, 0, 0, 6, 0, 43, 0, 2, 3, 4))
	f.Add([]byte{0, 0, 0, 1, 0, 0, 0, 2, 1, 9, 0, 1, 7, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		if hello, err := parseServerHello(data); err == nil && len(hello.share) > len(data) {
			t.Error("a share longer than the message")
		}
		if first, err := leaf(data); err == nil && len(first) == 0 {
			t.Error("an empty certificate")
		}
		if ticket, err := parseTicket(data, make([]byte, secretBytes)); err == nil && len(ticket.psk) != secretBytes {
			t.Error("a ticket without a secret")
		}
		c := &Conn{messages: data}
		for {
			_, whole, err := c.whole()
			if err != nil || whole == nil {
				return
			}
		}
	})
}

// BenchmarkClient compares with crypto/tls; both include the server's half.
func BenchmarkClient(b *testing.B) {
	id := identity(b)
	address, states := server(b, &tls.Config{Certificates: []tls.Certificate{*id}})
	go func() {
		for range states {
		}
	}()
	client, err := NewClient(Config{Server: id.Leaf})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("this", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			conn, err := connect(b, client, address, nil)
			if err != nil {
				b.Fatal(err)
			}
			echo(b, conn, []byte("hello"))
			conn.Close()
		}
	})
	b.Run("crypto-tls", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13})
			if err != nil {
				b.Fatal(err)
			}
			if _, err := conn.Write([]byte("hello")); err != nil {
				b.Fatal(err)
			}
			if _, err := conn.Read(make([]byte, 10)); err != nil {
				b.Fatal(err)
			}
			conn.Close()
		}
	})
}
