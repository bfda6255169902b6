package daemon

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"moneyer/internal/clientcert/certtest"
	"moneyer/internal/config"
	"moneyer/internal/keyring"
	"moneyer/internal/openssl"
)

// handshakes are what the client process of BenchmarkHandshake is to do.
type handshakes struct {
	Address, Cert string
	Resume        bool
	// Kept has each caller keep its connection, and HTTP2 has all of them share one.
	Kept, HTTP2 bool
	Number      int
}

const handshakesEnv = "MONEYER_TEST_HANDSHAKES"

// TestHandshakes is the client process of BenchmarkHandshake: 8 callers at once.
func TestHandshakes(t *testing.T) {
	text := os.Getenv(handshakesEnv)
	if text == "" {
		t.Skip("the client of a benchmark")
	}
	var work handshakes
	if err := json.Unmarshal([]byte(text), &work); err != nil {
		t.Fatal(err)
	}
	shared := work.client(t)
	var left atomic.Int64
	left.Store(int64(work.Number))
	var all sync.WaitGroup
	for range 8 {
		client := shared
		if !work.HTTP2 {
			client = work.client(t)
		}
		all.Go(func() {
			for first := true; left.Add(-1) >= 0; first = false {
				resp, err := client.PostForm("https://"+work.Address+"/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {"shop"}, "client_secret": {"0123456789"}})
				if err != nil {
					t.Error(err)
					return
				}
				_, err = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if err != nil || resp.StatusCode != http.StatusOK || resp.ProtoMajor == 2 != work.HTTP2 || resp.TLS.DidResume != (work.Resume && !first) {
					t.Errorf("%s %s, resumed %v, %v", resp.Proto, resp.Status, resp.TLS.DidResume, err)
				}
			}
		})
	}
	all.Wait()
}

// client returns a client of the server, of HTTP/1.1 unless HTTP2 is set.
func (w *handshakes) client(t *testing.T) *http.Client {
	t.Helper()
	config := &tls.Config{InsecureSkipVerify: true}
	if w.Resume {
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	if w.Cert != "" {
		pair, err := tls.LoadX509KeyPair(w.Cert, w.Cert)
		if err != nil {
			t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: w.HTTP2, DisableKeepAlives: !w.Kept && !w.HTTP2}}
}

// processorTime returns what this process has used.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// BenchmarkHandshake measures the server's processor time, as cpu-µs/op, of a request on a new connection of TLS 1.3:
// with a full handshake, one that resumes a session, and one with a client certificate; and of one on a connection
// that is kept. The client is a process of its own. Config "go" is net/http behind the default tls.Config, "moneyer" a listener; both serve a form and a
// P-256 signature by the same library.
func BenchmarkHandshake(b *testing.B) {
	dir := b.TempDir()
	server, client := filepath.Join(dir, "server.pem"), filepath.Join(dir, "client.pem")
	for _, file := range []string{server, client} {
		pair := certtest.SelfSigned(b, time.Now(), "server.example", nil)
		if err := os.WriteFile(file, append(certtest.PEM(pair.Leaf), certtest.KeyPEM(b, pair)...), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	signer := openssl.Signer(key, crypto.SHA256)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		digest := sha256.Sum256([]byte(r.PostFormValue("client_id")))
		sig, err := signer.Sign(rand.Reader, digest[:], crypto.SHA256)
		if err != nil {
			b.Error(err)
		}
		_, _ = fmt.Fprintf(w, `{"access_token":"%x"}`, sig)
	})
	for name, kind := range map[string]handshakes{"full": {}, "resumed": {Resume: true}, "mtls": {Cert: client}, "kept": {Kept: true}, "http2": {HTTP2: true}} {
		for config, start := range map[string]func(*testing.B, string, bool, http.Handler) (string, func()){"go": goServer, "moneyer": moneyerListener} {
			b.Run("kind="+name+"/config="+config, func(b *testing.B) {
				address, stop := start(b, server, kind.Cert != "", handler)
				defer stop()
				kind.Address, kind.Number = address, b.N
				text, err := json.Marshal(kind)
				if err != nil {
					b.Fatal(err)
				}
				cmd := exec.CommandContext(b.Context(), os.Args[0], "-test.run=^TestHandshakes$")
				cmd.Env = append(os.Environ(), handshakesEnv+"="+string(text))
				before := processorTime(b)
				b.ReportAllocs()
				b.ResetTimer()
				if out, err := cmd.CombinedOutput(); err != nil {
					b.Fatalf("%v\n%s", err, out)
				}
				b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
			})
		}
	}
}

// goServer serves with the defaults of Go.
func goServer(b *testing.B, cert string, ask bool, h http.Handler) (address string, stop func()) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := &http.Server{Handler: h, TLSConfig: &tls.Config{}}
	if ask {
		s.TLSConfig.ClientAuth = tls.RequestClientCert
	}
	go func() { _ = s.ServeTLS(l, cert, cert) }()
	return l.Addr().String(), func() { _ = s.Close() }
}

// moneyerListener serves as the public listener does.
func moneyerListener(b *testing.B, cert string, ask bool, h http.Handler) (address string, stop func()) {
	b.Helper()
	master, err := keyring.NewMasterKey()
	if err != nil {
		b.Fatal(err)
	}
	s := &state{log: slog.New(slog.DiscardHandler), now: time.Now, master: master}
	cfg := &config.Config{Limits: config.Limits{Connections: 64}}
	c := config.Listener{Address: "127.0.0.1:0", TLSCert: cert, TLSKey: cert, TrustedProxies: []string{"127.0.0.0/8"}}
	if ask {
		c.ClientCert = "ask"
	}
	loaded, err := tlsFilesOf(cfg, c).Load()
	if err != nil {
		b.Fatal(err)
	}
	l, err := s.listen(b.Context(), cfg, "public", c, loaded)
	if err != nil {
		b.Fatal(err)
	}
	l.handler.Store(&h)
	go func() { _ = l.serve() }()
	return l.Addr().String(), func() { _ = l.server.Close() }
}
