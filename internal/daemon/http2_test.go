package daemon

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"moneyer/internal/config"
	"moneyer/internal/keyring"
	"moneyer/internal/overload"
)

// certificate writes a certificate with its key into one file.
func certificate(t *testing.T) string {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	_ = pem.Encode(&file, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	_ = pem.Encode(&file, &pem.Block{Type: "PRIVATE KEY", Bytes: key})
	path := filepath.Join(t.TempDir(), "both.pem")
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// listenTLS starts a listener with TLS and those limits. The result of its end is sent to served.
func listenTLS(t *testing.T, limits config.Limits, proxy string) (l *listener, served chan error) {
	t.Helper()
	master, err := keyring.NewMasterKey()
	if err != nil {
		t.Fatal(err)
	}
	s := &state{log: slog.New(slog.DiscardHandler), now: time.Now, master: master}
	cfg := &config.Config{Limits: limits}
	address := config.Listener{Address: "127.0.0.1:0", TLSCert: certificate(t), TrustedProxies: []string{proxy}}
	address.TLSKey = address.TLSCert
	loaded, err := tlsFilesOf(cfg, address).Load()
	if err != nil {
		t.Fatal(err)
	}
	l, err = s.listen(t.Context(), cfg, "public", address, loaded)
	if err != nil {
		t.Fatal(err)
	}
	served = make(chan error)
	go func() { served <- l.serve() }()
	return l, served
}

// TestHTTP2 bounds the streams of a connection; with a request it is not closed when connections are
// scarce, and without one it is.
func TestHTTP2(t *testing.T) {
	l, served := listenTLS(t, config.Limits{Connections: 64}, "127.0.0.0/8")
	most := int64(overload.Default().Streams)
	var inside atomic.Int64
	release := make(chan struct{})
	var h http.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			return
		}
		inside.Add(1)
		<-release
	})
	l.handler.Store(&h)
	client := clientFrom("127.0.0.7")
	transport := client.Transport.(*http.Transport)
	transport.DisableKeepAlives, transport.ForceAttemptHTTP2 = false, true
	transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	url := "https://" + l.Addr().String()
	first := func() bool {
		resp, err := client.Get(url + "/first")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}
	if !first() { // the others use its connection
		t.Fatal("no answer")
	}
	var callers sync.WaitGroup
	for range most + 20 {
		callers.Go(func() {
			resp, err := client.Get(url)
			if err != nil || resp.ProtoMajor != 2 || resp.StatusCode != http.StatusOK {
				t.Errorf("%v, %v", resp, err)
				return
			}
			_ = resp.Body.Close()
		})
	}
	eventually(t, "all requests have come", func() bool { return inside.Load() == most+20 })
	open := l.connections.Counts().Open
	fill := func() {
		for range 100 {
			dial(t, "127.0.0.8", l.Addr().String())
		}
	}
	fill()
	eventually(t, "room was made for those that wait", func() bool { return l.connections.Counts().Closed >= 100-64 })
	close(release)
	callers.Wait() // nobody was cut off
	if open < 2 {
		t.Errorf("%d streams at once on %d connection", most+20, open)
	}
	closed := l.connections.Counts().Closed
	fill()
	eventually(t, "those that wait are closed", func() bool { return l.connections.Counts().Closed >= closed+64 })
	eventually(t, "the client connects anew", first)
	transport.CloseIdleConnections()
	if err := l.server.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
