package jwksuri

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"moneyer/internal/clientcert/certtest"
	"moneyer/internal/jose"
	"moneyer/internal/registry"
	"moneyer/internal/remotekeys"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// partner is a client's JWKS server with a configurable answer.
type partner struct {
	*httptest.Server
	fetches atomic.Int64
	handle  atomic.Pointer[http.HandlerFunc]
}

func newPartner(t *testing.T, answer http.HandlerFunc) *partner {
	t.Helper()
	p := &partner{}
	p.handle.Store(&answer)
	p.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.fetches.Add(1)
		(*p.handle.Load())(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *partner) trust() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(p.Certificate())
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

func keySetOf(t *testing.T, kids ...string) string {
	t.Helper()
	var keys []string
	for _, kid := range kids {
		private, err := jose.GenerateKey(jose.ES256)
		if err != nil {
			t.Fatal(err)
		}
		public, err := jose.NewPublicKey(private.Public(), jose.ES256)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, string(public.AppendJWK(nil, kid)))
	}
	return `{"keys":[` + strings.Join(keys, ",") + `]}`
}

func answer(body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		_, _ = w.Write([]byte(body))
	}
}

// clock is a settable clock.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(1_800_000_000+c.at.Load(), 0) }
func (c *clock) forward(d time.Duration) { c.at.Add(int64(d / time.Second)) }

func TestKeyIsFetchedOnceAndKept(t *testing.T) {
	p, c := newPartner(t, answer(keySetOf(t, "a", "b"))), &clock{}
	s := New(loopback, p.trust(), &registrations{}, c.now, slog.New(slog.DiscardHandler))
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			if _, err := s.Key(context.Background(), p.URL, "a", "ES256"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if _, err := s.Key(context.Background(), p.URL, "b", "ES256"); err != nil {
		t.Error(err)
	}
	if n := p.fetches.Load(); n != 1 {
		t.Errorf("%d fetches, want 1", n)
	}
}

func TestUnknownKidRefetches(t *testing.T) {
	p, c := newPartner(t, answer(keySetOf(t, "a"))), &clock{}
	s := New(loopback, p.trust(), &registrations{}, c.now, slog.New(slog.DiscardHandler))
	for range 3 {
		if _, err := s.Key(context.Background(), p.URL, "b", "ES256"); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("error %v, want not found", err)
		}
	}
	if n := p.fetches.Load(); n != 1 {
		t.Errorf("%d fetches for an unknown kid within a minute, want 1", n)
	}
	rotated := answer(keySetOf(t, "b"))
	p.handle.Store(&rotated)
	c.forward(remotekeys.UnknownKidEvery)
	if _, err := s.Key(context.Background(), p.URL, "b", "ES256"); err != nil {
		t.Errorf("the new key is not found after a minute: %v", err)
	}
	if _, err := s.Key(context.Background(), p.URL, "a", "ES256"); err == nil {
		t.Error("a key that is no longer published is accepted")
	}
}

// TestOutage: while a partner's server is down its keys serve on for a day. What is not among them is
// not said to be unknown, and it is found once the server is back: the next try is after seconds.
func TestOutage(t *testing.T) {
	p, c := newPartner(t, answer(keySetOf(t, "a"), "Cache-Control", "public, max-age=900")), &clock{}
	var logged strings.Builder
	s := New(loopback, p.trust(), &registrations{}, c.now, slog.New(slog.NewTextHandler(&logged, nil)))
	key := func(kid string) error {
		_, err := s.Key(t.Context(), p.URL, kid, "ES256")
		return err
	}
	up, down := *p.handle.Load(), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	p.handle.Store(&down)
	if err := key("a"); !errors.Is(err, remotekeys.ErrUnavailable) {
		t.Errorf("before the first fetch: %v", err)
	}
	if !strings.Contains(logged.String(), "could not be fetched") || !strings.Contains(logged.String(), "502") {
		t.Errorf("logged %q", logged.String())
	}
	p.handle.Store(&up)
	if err := key("a"); !errors.Is(err, remotekeys.ErrUnavailable) {
		t.Errorf("in the same second: %v", err)
	}
	c.forward(time.Second)
	if err := key("a"); err != nil {
		t.Errorf("a second after the server is back: %v", err)
	}
	p.handle.Store(&down)
	c.forward(2 * time.Minute)
	before := p.fetches.Load()
	for range 3 {
		if err := key("unknown"); !errors.Is(err, remotekeys.ErrUnavailable) {
			t.Errorf("an unknown kid while nobody can tell: %v", err)
		}
	}
	if n := p.fetches.Load() - before; n != 1 {
		t.Errorf("%d fetches in a second of the outage", n)
	}
	for _, later := range []time.Duration{0, 20 * time.Minute, 23 * time.Hour} {
		c.forward(later)
		if err := key("a"); err != nil {
			t.Errorf("%s later: %v", later, err)
		}
	}
	c.forward(time.Hour)
	if err := key("a"); !errors.Is(err, remotekeys.ErrUnavailable) {
		t.Errorf("after a day: %v", err)
	}
}

// TestNewerKey: a publisher may replace a key under the same kid. The keys are fetched again for it at
// most once a minute, however many signatures do not verify.
func TestNewerKey(t *testing.T) {
	p, c := newPartner(t, answer(keySetOf(t, "a"))), &clock{}
	s := New(loopback, p.trust(), &registrations{}, c.now, slog.New(slog.DiscardHandler))
	old, err := s.Key(t.Context(), p.URL, "a", "ES256")
	if err != nil {
		t.Fatal(err)
	}
	next := answer(keySetOf(t, "a"))
	p.handle.Store(&next)
	ask := func() (found int64) {
		var callers sync.WaitGroup
		var n atomic.Int64
		for range 30 {
			callers.Go(func() {
				if key := s.Newer(t.Context(), p.URL, "a", "ES256", old); key != nil && key.Thumbprint() != old.Thumbprint() {
					n.Add(1)
				}
			})
		}
		callers.Wait()
		return n.Load()
	}
	if found := ask(); found != 0 || p.fetches.Load() != 1 {
		t.Errorf("within the minute: found by %d after %d fetches", found, p.fetches.Load())
	}
	c.forward(remotekeys.UnknownKidEvery)
	if found := ask(); found != 30 || p.fetches.Load() != 2 {
		t.Errorf("after a minute: found by %d after %d fetches", found, p.fetches.Load())
	}
}

// TestKeysThatAreLeftOut: one bad key costs the others nothing, and is told once.
func TestKeysThatAreLeftOut(t *testing.T) {
	good := strings.TrimSuffix(keySetOf(t, "a"), "]}")
	p, c := newPartner(t, answer(good+`,{"kty":"EC","crv":"P-384","kid":"b","x":"AA","y":"AA"}]}`)), &clock{}
	var logged strings.Builder
	s := New(loopback, p.trust(), &registrations{}, c.now, slog.New(slog.NewTextHandler(&logged, nil)))
	for range 2 {
		if _, err := s.Key(t.Context(), p.URL, "a", "ES256"); err != nil {
			t.Error(err)
		}
		c.forward(time.Hour)
	}
	if n := strings.Count(logged.String(), "left out 1 of 2 keys"); n != 1 || p.fetches.Load() != 2 {
		t.Errorf("told %d times in %d fetches: %s", n, p.fetches.Load(), logged.String())
	}
}

func TestHostileAnswers(t *testing.T) {
	good := keySetOf(t, "a")
	for name, handle := range map[string]http.HandlerFunc{
		"redirect":     func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"error status": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500); _, _ = w.Write([]byte(good)) },
		"too large":    answer(good + strings.Repeat(" ", maxBody)),
		"not JSON":     answer("<html>"),
		"private key":  answer(`{"keys":[{"kty":"EC","crv":"P-256","kid":"a","d":"AA","x":"AA","y":"AA"}]}`),
	} {
		t.Run(name, func(t *testing.T) {
			p, c := newPartner(t, handle), &clock{}
			if _, err := New(loopback, p.trust(), &registrations{}, c.now, slog.New(slog.DiscardHandler)).Key(context.Background(), p.URL, "a", "ES256"); err == nil {
				t.Error("a key was found")
			}
		})
	}
}

func TestPrivateAddressIsRefused(t *testing.T) {
	p, c := newPartner(t, answer(keySetOf(t, "a"))), &clock{}
	_, err := New(nil, p.trust(), &registrations{}, c.now, slog.New(slog.DiscardHandler)).Key(context.Background(), p.URL, "a", "ES256")
	if err == nil || !strings.Contains(err.Error(), "not a public one") {
		t.Errorf("error %v", err)
	}
	if p.fetches.Load() != 0 {
		t.Error("the private address was called")
	}
}

func TestGuard(t *testing.T) {
	for address, ok := range map[string]bool{
		"8.8.8.8:443": true, "[2606:4700::1]:443": true,
		"127.0.0.1:443": false, "10.0.0.1:443": false, "172.16.0.1:443": false, "192.168.1.1:443": false,
		"169.254.169.254:443": false, "100.64.0.1:443": false, "0.0.0.0:443": false, "224.0.0.1:443": false,
		"255.255.255.255:443": false, "192.0.2.1:443": false, "198.18.0.1:443": false,
		"[::1]:443": false, "[fe80::1]:443": false, "[fc00::1]:443": false, "[::ffff:127.0.0.1]:443": false,
		"[::ffff:169.254.169.254]:443": false, "[64:ff9b::7f00:1]:443": false, "[2002:7f00:1::]:443": false, "[::]:443": false,
		"192.31.196.1:443": false, "192.52.193.1:443": false, "192.88.99.1:443": false, "192.175.48.1:443": false,
		"[3fff::1]:443": false, "[3fff:1000::1]:443": true, "[5f00::1]:443": false, "[100::1]:443": false, "[fec0::1]:443": false,
		"[2001::1]:443": false, "[2001:db8::1]:443": false, "[2620:4f:8000::1]:443": false, "[64:ff9b:1::1]:443": false, "[ff02::1]:443": false,
		"[::808:808]:443": false, "[::a00:1]:443": false, "[::ffff:10.0.0.1]:443": false, "[::ffff:8.8.8.8]:443": false, "192.88.99.2:443": false,
		"[64:ff9b::a00:1]:443": false, "[64:ff9b::808:808]:443": false, "[64:ff9b:1:a00:1::]:443": false, "[100::]:443": false,
		"[2001::ffff]:443": false, "[2001:1ff:ffff::1]:443": false, "[2001:200::1]:443": true, "[2001:20::1]:443": false,
		"[3fff:fff:ffff::1]:443": false, "[2606:4700::1%eth0]:443": false, "192.0.0.170:443": false, "192.0.1.1:443": true,
		"8.8.8.8:8443": true, "nonsense": false,
	} {
		if err := guard(nil)(networkOf(address), address, nil); (err == nil) != ok {
			t.Errorf("guard(%s) = %v", address, err)
		}
	}
}

// networkOf returns the network name that net.Dialer uses for an address.
func networkOf(address string) string {
	if strings.HasPrefix(address, "[") {
		return "tcp6"
	}
	return "tcp4"
}

// TestGuardAllowsConfiguredNetworks: configured networks are allowed beside public addresses.
func TestGuardAllowsConfiguredNetworks(t *testing.T) {
	networks := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00:1::/32"), netip.MustParsePrefix("64:ff9b::/96")}
	for address, ok := range map[string]bool{
		"10.1.2.3:443": true, "10.2.0.1:443": false, "[fd00:1::5]:8443": true, "[fd00:2::5]:443": false,
		"[64:ff9b::808:808]:443": true, "[64:ff9b::a02:1]:443": false, "[64:ff9b::7f00:1]:443": false, "[64:ff9b::a01:203]:443": true,
		"8.8.8.8:443": true, "[2606:4700::1]:443": true, "127.0.0.1:443": false,
	} {
		if err := guard(networks)(networkOf(address), address, nil); (err == nil) != ok {
			t.Errorf("guard(%s) = %v", address, err)
		}
	}
	if err := guard(networks)("udp4", "10.1.2.3:443", nil); err == nil {
		t.Error("a network other than TCP is allowed")
	}
}

func TestCheck(t *testing.T) {
	for uri, ok := range map[string]bool{
		"https://idp.example.com/keys": true, "http://idp.example.com/keys": false, "https://": false, "file:///etc/passwd": false,
		"https://user@idp.example.com/": false, "https://idp.example.com/#a": false, "https://idp.example.com/" + strings.Repeat("x", 1024): false,
	} {
		if err := registry.CheckJWKSURI(uri); (err == nil) != ok {
			t.Errorf("CheckJWKSURI(%.40s) = %v", uri, err)
		}
	}
}

func TestCanceledCaller(t *testing.T) {
	hold := make(chan struct{})
	p, c := newPartner(t, func(http.ResponseWriter, *http.Request) { <-hold }), &clock{}
	defer close(hold)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := New(loopback, p.trust(), &registrations{}, c.now, slog.New(slog.DiscardHandler)).Key(ctx, p.URL, "a", "ES256"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// TestFetchLimit: while as many fetches go on as may, another one waits for its place.
func TestFetchLimit(t *testing.T) {
	p, c := newPartner(t, answer(keySetOf(t, "k1"))), &clock{}
	s := New(loopback, p.trust(), &registrations{}, c.now, slog.New(slog.DiscardHandler))
	for range maxFetches {
		s.fetches <- struct{}{}
	}
	got := make(chan error)
	go func() {
		_, err := s.Key(context.Background(), p.URL, "k1", "ES256")
		got <- err
	}()
	select {
	case err := <-got:
		t.Fatalf("with %d fetches going on: %v", maxFetches, err)
	case <-s.fetches: // one of them ends
	}
	if err := <-got; err != nil {
		t.Errorf("after one of them: %v", err)
	}
}

// TestCertificate: a certificate is found by its digest where it is the first of a key's x5c, and of that
// key (RFC 7517 section 4.7). An unknown one is asked for once a minute.
func TestCertificate(t *testing.T) {
	c := &clock{}
	mine, other := certtest.SelfSigned(t, c.now(), "mine", nil), certtest.SelfSigned(t, c.now(), "other", nil)
	jwk := func(key, cert tls.Certificate, kid string) string {
		public, err := jose.NewPublicKey(key.Leaf.PublicKey, jose.ES256)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSuffix(string(public.AppendJWK(nil, kid)), "}") + `,"x5c":["` + base64.StdEncoding.EncodeToString(cert.Leaf.Raw) + `"]}`
	}
	p := newPartner(t, answer(`{"keys":[`+jwk(mine, mine, "a")+`,`+jwk(mine, other, "b")+`]}`))
	s := New(loopback, p.trust(), &registrations{}, c.now, slog.New(slog.DiscardHandler))
	key, err := s.Certificate(t.Context(), p.URL, sha256.Sum256(mine.Leaf.Raw))
	if err != nil || key.Kid != "a" || !mine.Leaf.PublicKey.(*ecdsa.PublicKey).Equal(key.Public.CryptoKey()) {
		t.Errorf("%+v, %v", key, err)
	}
	if key, err := s.Certificate(t.Context(), p.URL, sha256.Sum256(other.Leaf.Raw)); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("the certificate of another key: %+v, %v", key, err)
	}
	if n := p.fetches.Load(); n != 1 {
		t.Errorf("%d fetches, want 1", n)
	}
	c.forward(remotekeys.UnknownKidEvery)
	next := answer(`{"keys":[` + jwk(other, other, "") + `]}`)
	p.handle.Store(&next)
	if key, err = s.Certificate(t.Context(), p.URL, sha256.Sum256(other.Leaf.Raw)); err != nil || key.Kid != key.Public.Thumbprint() {
		t.Errorf("the next one: %+v, %v", key, err)
	}
	if _, err := s.Certificate(t.Context(), p.URL, sha256.Sum256(mine.Leaf.Raw)); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("the one before: %v", err)
	}
}
