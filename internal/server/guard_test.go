package server_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"moneyer/internal/overload"
)

const frontProxy = "10.0.0.1"

// openChecked is an issuer behind a trusted proxy, with a rate of three refused requests for an
// address and room for one token that nobody knows, and two tokens of it.
func openChecked(t *testing.T) (h *testServer, token, other string) {
	t.Helper()
	s := readSetup(t, "testdata/transcripts/oauth2", "limit address=0.1/3")
	s.proxies = []netip.Prefix{netip.MustParsePrefix(frontProxy + "/32")}
	w := &platformServer{platformCase: platforms[0], testServer: s.open(t)}
	token, other = w.mint(t, w.one), w.mint(t, w.one)
	w.admission.Checks = overload.NewConcurrencyLimit(1)
	return w.testServer, token, other
}

// check asks for a token to be judged, from a peer that names a caller if it is not "".
func (h *testServer) check(t *testing.T, token, peer, caller string) int {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), "GET", "https://auth.example.com/check", nil)
	r.RemoteAddr = peer + ":1"
	r.Header.Set("Authorization", "Bearer "+token)
	if caller != "" {
		r.Header.Set("X-Forwarded-For", caller)
	}
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, r)
	if w.Code == http.StatusServiceUnavailable && w.Header().Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
	return w.Code
}

func (h *testServer) checks(t *testing.T, want int, token, peer, caller string) {
	t.Helper()
	if got := h.check(t, token, peer, caller); got != want {
		t.Errorf("from %s, %q: status %d, want %d", peer, caller, got, want)
	}
}

// forged has the form of a good token and another's signature.
func forged(token, other string) string {
	return token[:strings.LastIndexByte(token, '.')] + other[strings.LastIndexByte(other, '.'):]
}

// TestBadTokensCostNoGoodOne: whatever is refused beside it, from the same proxy or in the name of
// the same caller, a good token passes, and a caller's other requests are read.
func TestBadTokensCostNoGoodOne(t *testing.T) {
	h, token, other := openChecked(t)
	bad := forged(token, other)
	for _, from := range []struct{ peer, caller string }{{"192.0.2.9", ""}, {frontProxy, ""}, {frontProxy, "198.51.100.1"}, {"192.0.2.9", "198.51.100.1"}} {
		for range 50 {
			h.checks(t, http.StatusUnauthorized, bad, from.peer, from.caller)
		}
		h.checks(t, http.StatusOK, token, from.peer, from.caller)
		h.checks(t, http.StatusOK, other, from.peer, from.caller)
	}
	r := httptest.NewRequestWithContext(t.Context(), "POST", "https://auth.example.com/oauth2/token", strings.NewReader("grant_type=client_credentials&client_id=app-1&client_secret=secret-of-app-1"))
	r.RemoteAddr = "198.51.100.1:1"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	if h.handler.ServeHTTP(w, r); w.Code != http.StatusOK {
		t.Errorf("the caller's token request: status %d", w.Code)
	}
	if n := h.admission.Checks.InUse() + h.admission.AtWork.InUse(); n != 0 {
		t.Errorf("%d places are still taken", n)
	}
}

// TestShareOfTheChecks: while the share is taken, a token that nobody knows waits if its peer is not
// trusted or its caller is over the rate; a caller that is within it, and a token that was found good,
// pass.
func TestShareOfTheChecks(t *testing.T) {
	h, token, other := openChecked(t)
	bad := forged(token, other)
	for range 3 {
		h.checks(t, http.StatusUnauthorized, bad, frontProxy, "198.51.100.1")
	}
	h.checks(t, http.StatusOK, token, "192.0.2.9", "")
	h.admission.Checks.Acquire()
	h.checks(t, http.StatusServiceUnavailable, bad, "192.0.2.9", "")
	h.checks(t, http.StatusServiceUnavailable, bad, frontProxy, "198.51.100.1")
	h.checks(t, http.StatusServiceUnavailable, other, "192.0.2.9", "198.51.100.2") // who is not trusted names nobody
	h.checks(t, http.StatusOK, token, "192.0.2.9", "")
	h.checks(t, http.StatusOK, token, frontProxy, "198.51.100.1")
	h.checks(t, http.StatusOK, other, frontProxy, "198.51.100.2")
	h.checks(t, http.StatusOK, other, "192.0.2.9", "")
	h.Advance(time.Hour)
	h.checks(t, http.StatusServiceUnavailable, token, "192.0.2.9", "") // it has expired
}

// TestFloodOfBadTokens: beside callers that send forged tokens as fast as they can, from more
// connections than there are places, each request with a good token is granted.
func TestFloodOfBadTokens(t *testing.T) {
	h, token, other := openChecked(t)
	bad := forged(token, other)
	h.checks(t, http.StatusOK, token, frontProxy, "198.51.100.7")
	var flood sync.WaitGroup
	var stop atomic.Bool
	var refused atomic.Int64
	for n := range 16 {
		flood.Go(func() {
			for !stop.Load() {
				switch h.check(t, bad, []string{"192.0.2.9", "192.0.2.10"}[n%2], "") {
				case http.StatusUnauthorized, http.StatusServiceUnavailable:
					refused.Add(1)
				default:
					t.Error("a forged token passes")
				}
			}
		})
	}
	for n := 0; n < 200 || refused.Load() < 1000; n++ {
		h.checks(t, http.StatusOK, token, "192.0.2.9", "")
		h.checks(t, http.StatusOK, token, frontProxy, "198.51.100.7")
	}
	stop.Store(true)
	flood.Wait()
}

// TestPublishedUnderFullLoad: keys, metadata, the list of revocations and health are served while
// every limit is reached, and ask no store: there is none.
func TestPublishedUnderFullLoad(t *testing.T) {
	h := readSetup(t, "testdata/transcripts/oauth2", "limit address=0.001/1").open(t)
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "https://auth.example.com"+path, nil))
		return w
	}
	h.authority.Registry, h.authority.Ledger, h.keyring.Store = nil, nil, nil // whoever asks them panics
	delay, err := overload.NewQueueDelay(-time.Hour, time.Now)
	must(t, err)
	defer func() { must(t, delay.Close()) }()
	h.admission.QueueDelay = delay
	caller := h.admission.Address(httptest.NewRequestWithContext(t.Context(), "GET", "/", nil))
	for range 2 {
		h.admission.Addresses.Take(caller, h.Now())
	}
	for h.admission.AtWork.Acquire() || h.admission.Readers.Acquire(caller) || h.admission.Checks.Acquire() {
	}
	for range 100 {
		for _, path := range []string{"/.well-known/jwks.json", "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration", "/revocations", "/healthz", "/readyz"} {
			if w := get(path); w.Code != http.StatusOK || w.Body.Len() == 0 {
				t.Fatalf("%s: status %d", path, w.Code)
			}
		}
		h.Advance(time.Minute)
	}
	if w := get("/nothing"); w.Code != http.StatusNotFound {
		t.Errorf("status %d", w.Code)
	}
}
