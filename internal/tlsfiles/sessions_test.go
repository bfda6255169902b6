package tlsfiles

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"moneyer/internal/clientcert/certtest"
)

// replica is a listener of the files in dir.
type replica struct {
	dir     string
	files   Server
	loaded  atomic.Pointer[Loaded]
	config  *tls.Config
	session Sessions
}

// newReplica listens like a server whose clock is now.
func newReplica(t testing.TB, dir string, now *time.Time, edit func(*Server, *Sessions)) *replica {
	t.Helper()
	r := &replica{dir: dir, files: Server{Cert: filepath.Join(dir, "server.pem"), Key: filepath.Join(dir, "server.pem")},
		session: Sessions{Secret: bytes.Repeat([]byte{7}, 32), Listener: "public", Now: func() time.Time { return *now }}}
	if edit != nil {
		edit(&r.files, &r.session)
	}
	r.load(t)
	r.config = Listener(r.loaded.Load, r.session)
	return r
}

func (r *replica) load(t testing.TB) {
	t.Helper()
	loaded, err := r.files.Reload(r.loaded.Load())
	if err != nil {
		t.Fatal(err)
	}
	r.loaded.Store(loaded)
}

// connect makes one connection and returns its state at the server. The error is the server's.
func (r *replica) connect(t testing.TB, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	listening, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listening.Close() }()
	var state tls.ConnectionState
	failed := make(chan error, 1)
	go func() {
		there, err := listening.Accept()
		if err != nil {
			failed <- err
			return
		}
		server := tls.Server(there, r.config)
		if err = server.HandshakeContext(t.Context()); err == nil {
			_, err = server.Write([]byte("x")) // so that the client has read the ticket before
		}
		state = server.ConnectionState()
		_ = there.Close()
		failed <- err
	}()
	here, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", listening.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(here, client)
	if err := conn.HandshakeContext(t.Context()); err == nil {
		_, _ = conn.Read(make([]byte, 1))
	}
	_ = here.Close()
	err = <-failed
	return state, err
}

// newFiles makes a folder with the certificate of a server.
func newFiles(t testing.TB, now time.Time) string {
	t.Helper()
	dir := t.TempDir()
	writeServer(t, dir, now)
	return dir
}

func writeServer(t testing.TB, dir string, now time.Time) {
	t.Helper()
	pair := certtest.SelfSigned(t, now, "server", func(c *x509.Certificate) { c.DNSNames = []string{"server.example"} })
	write(t, filepath.Join(dir, "server.pem"), certtest.PEM(pair.Leaf), certtest.KeyPEM(t, pair))
}

// writeCertificate renews the certificate of the loaded files.
func writeCertificate(t testing.TB, dir string, loaded *Loaded, now time.Time) {
	t.Helper()
	pair := loaded.Config.Certificates[0]
	template := *pair.Leaf
	template.NotAfter = now.AddDate(20, 0, 0)
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, pair.Leaf.PublicKey, pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "server.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), []byte(loaded.held.Key))
}

// TestPrivateKeyIsInTheTicketKey: who has the secret and everything that is public cannot make a ticket.
func TestPrivateKeyIsInTheTicketKey(t *testing.T) {
	now := start()
	r := newReplica(t, newFiles(t, now), &now, nil)
	without := *r.loaded.Load()
	without.held.Key = ""
	if s := r.session; s.info(r.loaded.Load(), 1) == s.info(&without, 1) {
		t.Error("the key of tickets follows from the secret and the certificate")
	}
}

// newCaller is a client that keeps one session. The server's certificate is not what is tested.
func newCaller(certs ...tls.Certificate) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, ServerName: "server.example", Certificates: certs, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
}

func start() time.Time { return time.Unix(1_800_000_000, 0).Truncate(sessionPeriod) }

// TestResumeOnAnotherReplica: a session that one replica began is resumed by another one and by one that
// has restarted, with the client's certificate.
func TestResumeOnAnotherReplica(t *testing.T) {
	now := start()
	dir := newFiles(t, now)
	ask := func(s *Server, _ *Sessions) { s.Ask = true }
	caller := newCaller(certtest.SelfSigned(t, now, "client", nil))
	for i := range 3 {
		state, err := newReplica(t, dir, &now, ask).connect(t, caller)
		if err != nil || state.Version != tls.VersionTLS13 || state.DidResume != (i > 0) || len(state.PeerCertificates) != 1 {
			t.Errorf("connection %d: %v, resumed %v, %d certificates", i, err, state.DidResume, len(state.PeerCertificates))
		}
	}
}

// TestWhatEndsASession: a session is not resumed once anything has changed that it was made under, although
// the client would still be served.
func TestWhatEndsASession(t *testing.T) {
	ca, other := certtest.NewCA(t, start()), certtest.NewCA(t, start())
	for name, tc := range map[string]struct {
		change  func(*testing.T, *replica, *time.Time)
		resumes bool
	}{
		"nothing":                      {func(*testing.T, *replica, *time.Time) {}, true},
		"23 hours":                     {func(_ *testing.T, _ *replica, now *time.Time) { *now = now.Add(23 * time.Hour) }, true},
		"36 hours":                     {func(_ *testing.T, _ *replica, now *time.Time) { *now = now.Add(36 * time.Hour) }, false},
		"a clock that was set back":    {func(_ *testing.T, _ *replica, now *time.Time) { *now = now.Add(-time.Minute) }, false},
		"the same key, certified anew": {func(t *testing.T, r *replica, now *time.Time) { writeCertificate(t, r.dir, r.loaded.Load(), *now) }, false},
		"another master key":           {func(_ *testing.T, r *replica, _ *time.Time) { r.session.Secret = bytes.Repeat([]byte{8}, 32) }, false},
		"another listener":             {func(_ *testing.T, r *replica, _ *time.Time) { r.session.Listener = "admin" }, false},
		"another server certificate":   {func(t *testing.T, r *replica, now *time.Time) { writeServer(t, r.dir, *now) }, false},
		"one authority more":           {func(t *testing.T, r *replica, _ *time.Time) { write(t, r.files.ClientCA, ca.PEM(), other.PEM()) }, false},
		"certificates are asked for":   {func(_ *testing.T, r *replica, _ *time.Time) { r.files.ClientCA, r.files.Ask = "", true }, false},
		"certificates are not wanted":  {func(_ *testing.T, r *replica, _ *time.Time) { r.files.ClientCA = "" }, false},
		"the files are written again":  {func(t *testing.T, r *replica, _ *time.Time) { write(t, r.files.ClientCA, ca.PEM()) }, true},
		"another replica's connection": {func(t *testing.T, r *replica, _ *time.Time) { _, _ = r.connect(t, newCaller()) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			now := start()
			r := newReplica(t, newFiles(t, now), &now, func(s *Server, _ *Sessions) {
				s.ClientCA = filepath.Join(t.TempDir(), "ca.pem")
				write(t, s.ClientCA, ca.PEM())
			})
			caller := newCaller(ca.Client(t, "client", nil))
			if _, err := r.connect(t, caller); err != nil {
				t.Fatal(err)
			}
			tc.change(t, r, &now)
			r.load(t)
			r.config = Listener(r.loaded.Load, r.session)
			state, err := r.connect(t, caller)
			if err != nil || state.DidResume != tc.resumes {
				t.Errorf("%v, resumed %v", err, state.DidResume)
			}
			if again, err := r.connect(t, caller); err != nil || !again.DidResume {
				t.Errorf("the session of the next handshake: %v, resumed %v", err, again.DidResume)
			}
		})
	}
}

// TestCertificateOfASession: what has ended since the full handshake, or whose authority was removed, does not
// authenticate by its session. Other clients are served.
func TestCertificateOfASession(t *testing.T) {
	now := start()
	ca, other := certtest.NewCA(t, now), certtest.NewCA(t, now)
	file := filepath.Join(t.TempDir(), "ca.pem")
	write(t, file, ca.PEM(), other.PEM())
	r := newReplica(t, newFiles(t, now), &now, func(s *Server, _ *Sessions) { s.ClientCA = file })
	ends := func(c *x509.Certificate) { c.NotAfter = now.Add(time.Hour) }
	short, removed, stays := newCaller(ca.Client(t, "short", ends)), newCaller(other.Client(t, "removed", nil)), newCaller(ca.Client(t, "stays", nil))
	connect := func(when string, caller *tls.Config, resumes, served bool) {
		t.Helper()
		state, err := r.connect(t, caller)
		if (err == nil) != served || served && state.DidResume != resumes {
			t.Errorf("%s: %v, resumed %v", when, err, state.DidResume)
		}
	}
	for i, caller := range []*tls.Config{short, removed, stays} {
		connect("the first connection of "+[]string{"short", "removed", "stays"}[i], caller, false, true)
		connect("the second", caller, true, true)
	}
	now = now.Add(2 * time.Hour)
	connect("a certificate that has ended", short, true, false)
	connect("one that has not", stays, true, true)
	connect("one whose authority will be removed", removed, true, true)
	write(t, file, ca.PEM())
	r.load(t)
	connect("one whose authority was removed", removed, true, false)
	connect("one whose authority stays", stays, false, true)
}

// TestSessionsAreNotProlonged: resuming a session again and again does not prolong it: its client proves its
// key, and the server its own, at least once in 36 hours.
func TestSessionsAreNotProlonged(t *testing.T) {
	for _, offset := range []time.Duration{0, time.Minute, sessionPeriod - time.Second} {
		now := start().Add(offset)
		r := newReplica(t, newFiles(t, now), &now, nil)
		caller, full := newCaller(), []time.Duration{}
		for range 100 {
			state, err := r.connect(t, caller)
			if err != nil {
				t.Fatal(err)
			}
			if !state.DidResume {
				full = append(full, now.Sub(start().Add(offset)))
			}
			now = now.Add(time.Hour)
		}
		for i, at := range full[1:] {
			if life := at - full[i]; life <= 24*time.Hour || life > 36*time.Hour {
				t.Errorf("from %v: the session of %v ended at %v", offset, full[i], at)
			}
		}
		if len(full) < 3 {
			t.Errorf("from %v: full handshakes after %v", offset, full)
		}
	}
}

// TestSessionOfTLS12: a session of TLS 1.2 is resumed by the process that began it, with keys that no
// other has, and only while the files stay the same.
func TestSessionOfTLS12(t *testing.T) {
	now := time.Now() // crypto/tls keeps its own keys by this clock
	dir := newFiles(t, now)
	r := newReplica(t, dir, &now, nil)
	caller := newCaller()
	caller.MaxVersion = tls.VersionTLS12
	connect := func(when string, r *replica, resumes bool) {
		t.Helper()
		state, err := r.connect(t, caller)
		if err != nil || state.Version != tls.VersionTLS12 || state.DidResume != resumes {
			t.Errorf("%s: %v, resumed %v", when, err, state.DidResume)
		}
	}
	connect("the first", r, false)
	connect("the second", r, true)
	connect("at another replica", newReplica(t, dir, &now, nil), false)
	connect("the first again", r, false)
	connect("after it", r, true)
	writeServer(t, dir, now)
	r.load(t)
	connect("with another certificate", r, false)
	connect("after that", r, true)
}

// TestClientResumes: the client of Client keeps its sessions.
func TestClientResumes(t *testing.T) {
	now := time.Now()
	dir := newFiles(t, now)
	r := newReplica(t, dir, &now, nil)
	client, err := Client(filepath.Join(dir, "server.pem"), "", "")
	if err != nil {
		t.Fatal(err)
	}
	client.ServerName, client.InsecureSkipVerify = "server.example", true
	for i := range 2 {
		if state, err := r.connect(t, client); err != nil || state.DidResume != (i == 1) {
			t.Errorf("connection %d: %v, resumed %v", i, err, state.DidResume)
		}
	}
}

// ticketOf returns a ticket that the replica made, and what uses it.
func ticketOf(t testing.TB, r *replica) ([]byte, *epoch) {
	t.Helper()
	caller := newCaller()
	if _, err := r.connect(t, caller); err != nil {
		t.Fatal(err)
	}
	session, ok := caller.ClientSessionCache.Get("server.example")
	if !ok {
		t.Fatal("no session")
	}
	ticket, _, err := session.ResumptionState()
	if err != nil {
		t.Fatal(err)
	}
	now := r.session.Now()
	e, err := r.session.epoch(r.loaded.Load(), uint32(now.Unix()/int64(sessionPeriod/time.Second)))
	if err != nil {
		t.Fatal(err)
	}
	return ticket, e
}

// TestAlteredTickets: of a ticket every byte counts.
func TestAlteredTickets(t *testing.T) {
	now := start()
	ticket, e := ticketOf(t, newReplica(t, newFiles(t, now), &now, nil))
	if session, period := e.open(ticket); session == nil || period != e.period {
		t.Fatal("the ticket is not good")
	}
	for i := range ticket {
		altered := slices.Clone(ticket)
		altered[i] ^= 1
		if session, _ := e.open(altered); session != nil {
			t.Errorf("byte %d does not count", i)
		}
		if session, _ := e.open(ticket[:i]); session != nil {
			t.Errorf("the first %d bytes are a ticket", i)
		}
	}
	if session, _ := e.open(append(slices.Clone(ticket), 0)); session != nil {
		t.Error("a byte more is ignored")
	}
}

// TestSessionAfterRetry: a configuration that serves many connections resumes no session of TLS 1.3, since the
// period of the session would be that of another connection. A client can offer one after a HelloRetryRequest.
func TestSessionAfterRetry(t *testing.T) {
	now := start()
	r := newReplica(t, newFiles(t, now), &now, nil)
	ticket, e := ticketOf(t, r)
	state := tls.ConnectionState{Version: tls.VersionTLS13}
	for _, tc := range []struct {
		extensions []uint16
		resumes    bool
	}{{nil, false}, {[]uint16{preSharedKey}, true}} {
		config := e.configFor(&tls.ClientHelloInfo{Extensions: tc.extensions})
		session, err := config.UnwrapSession(ticket, state)
		if err != nil || (session != nil) != tc.resumes {
			t.Errorf("%v: %v, %v", tc.extensions, session, err)
		}
	}
}

// FuzzTicket: whatever a client offers as a ticket is refused without an error, unless it is one.
func FuzzTicket(f *testing.F) {
	now := start()
	ticket, e := ticketOf(f, newReplica(f, newFiles(f, now), &now, nil))
	f.Add(ticket)
	f.Add(ticket[:periodSize])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, other []byte) {
		if session, _ := e.open(other); session != nil && !bytes.Equal(other, ticket) {
			t.Errorf("%x is a ticket", other)
		}
	})
}

// TestAskedAfterASession: a client that has a session from before certificates were asked for is asked for its own.
func TestAskedAfterASession(t *testing.T) {
	now := start()
	r := newReplica(t, newFiles(t, now), &now, nil)
	caller := newCaller(certtest.SelfSigned(t, now, "client", nil))
	for i, ask := range []bool{false, false, true, true} {
		r.files.Ask = ask
		r.load(t)
		state, err := r.connect(t, caller)
		if err != nil || state.DidResume != (i%2 == 1) || len(state.PeerCertificates) > 0 != ask {
			t.Errorf("connection %d: %v, resumed %v, %d certificates", i, err, state.DidResume, len(state.PeerCertificates))
		}
	}
}
