package server_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"moneyer/assertion"
	"moneyer/internal/overload"
	"moneyer/oauth"
)

// form sends a form from a peer.
func (h *testServer) form(t *testing.T, peer, target string, form url.Values) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, target, strings.NewReader(form.Encode()))
	req.RemoteAddr = peer
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, req)
	return w
}

// authenticated is a request of app-1 with a new assertion.
func (h *testServer) authenticated(t *testing.T) url.Values {
	t.Helper()
	k := h.setup.keys["k1"]
	signer, err := assertion.NewSigner(k.private, k.alg, k.kid, "")
	must(t, err)
	signed, err := signer.Sign(assertion.Assertion{Issuer: k.client, Subject: k.client, Audience: []string{k.issuer.URL}, ID: assertion.NewID(), Expiry: h.Now().Add(5 * time.Minute)})
	must(t, err)
	return url.Values{"grant_type": {"client_credentials"}, "client_assertion_type": {oauth.AssertionTypeJWT}, "client_assertion": {signed}, "token": {"x"}}
}

// TestRepeatsOfAnAssertionCostTheirAddress: whoever repeats a consumed assertion is told to
// wait, at every endpoint; its owner at another address gets a token each time.
func TestRepeatsOfAnAssertionCostTheirAddress(t *testing.T) {
	for _, path := range []string{"/oauth2/token", "/introspect", "/revoke"} {
		h := readSetup(t, "testdata/transcripts/oauth2", "limit client=0.1/3 address=0.1/5").open(t)
		target := "https://auth.example.com" + path
		used := h.authenticated(t)
		if w := h.form(t, "198.51.100.7:1", target, used); w.Code != http.StatusOK {
			t.Fatalf("%s: status %d: %s", path, w.Code, w.Body)
		}
		last := 0
		for range 20 {
			w := h.form(t, "192.0.2.66:1", target, used)
			last = w.Code
			if wait := w.Header().Get("Retry-After"); (w.Code == http.StatusTooManyRequests) != (wait != "") {
				t.Errorf("%s: status %d, Retry-After %q", path, w.Code, wait)
			}
		}
		if last != http.StatusTooManyRequests {
			t.Errorf("%s: the last of the repeats got %d, want %d", path, last, http.StatusTooManyRequests)
		}
		for range 2 {
			if w := h.form(t, "198.51.100.7:1", target, h.authenticated(t)); w.Code != http.StatusOK {
				t.Errorf("%s: the owner got %d: %s", path, w.Code, w.Body)
			}
		}
	}
}

// TestAThiefKeepsNoPartnerOut is a quarter of a minute: a stranger repeats a consumed assertion as
// fast as its address may, and each of the partner's requests is granted.
func TestAThiefKeepsNoPartnerOut(t *testing.T) {
	h := readSetup(t, "testdata/transcripts/oauth2", "").open(t)
	h.setup.clientRate, h.setup.addressRate = overload.Rate{PerSecond: 2, Burst: 2}, overload.Rate{PerSecond: 50, Burst: 500}
	h.serve(t)
	used := h.authenticated(t)
	h.form(t, "198.51.100.7:1", "https://auth.example.com/oauth2/token", used)
	refused := 0
	for range 15 {
		h.Advance(time.Second)
		for range 40 {
			h.form(t, "192.0.2.66:1", "https://auth.example.com/oauth2/token", used)
		}
		if w := h.form(t, "198.51.100.7:1", "https://auth.example.com/oauth2/token", h.authenticated(t)); w.Code != http.StatusOK {
			refused++
		}
	}
	if refused > 0 {
		t.Errorf("%d of the partner's 15 requests were refused", refused)
	}
}

// TestStrangersWriteABoundedLog has a stranger cause each kind of refusal many times. All
// of them together are written within one budget, half of which is left for others.
func TestStrangersWriteABoundedLog(t *testing.T) {
	h := readSetup(t, "testdata/transcripts/oauth2", "").open(t)
	h.written = overload.Rate{PerSecond: 1, Burst: 40}
	h.serve(t)
	const issuer = "https://auth.example.com"
	send := func(peer, method, target, contentType, body string) {
		req := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
		req.RemoteAddr = peer
		req.Header.Set("Content-Type", contentType)
		req.Header.Set("Authorization", "Bearer x")
		h.handler.ServeHTTP(httptest.NewRecorder(), req)
	}
	const form = "application/x-www-form-urlencoded"
	lines := func() int { return strings.Count(h.log.String(), "token refused") }
	h.log.Reset()
	for range 30 {
		for _, path := range []string{"/oauth2/token", "/introspect", "/revoke", "/check", "/check/more"} {
			for _, method := range []string{"GET", "POST", "PUT"} {
				send("192.0.2.66:1", method, issuer+path, form, "grant_type=client_credentials&client_id=app-1&client_secret=wrong&token=x")
				send("192.0.2.66:1", method, issuer+path, form, "grant_type=none")
				send("192.0.2.66:1", method, issuer+path, form, strings.Repeat("x", 100_000))
				send("192.0.2.66:1", method, issuer+path, "text/plain", "%")
			}
		}
		for _, path := range []string{"/.well-known/jwks.json", "/.well-known/oauth-authorization-server", "/revocations", "/healthz", "/readyz", "/nothing"} {
			send("192.0.2.66:1", "GET", issuer+path, form, "")
		}
	}
	if n := lines(); n != 20 {
		t.Errorf("one address wrote %d lines, want 20, half of the budget", n)
	}
	if all := strings.Count(h.log.String(), "\n"); all != lines() {
		t.Errorf("%d lines of other kinds are written:\n%s", all-lines(), h.log.String())
	}
	send("198.51.100.7:1", "POST", issuer+"/oauth2/token", form, "grant_type=client_credentials&client_id=app-1&client_secret=wrong")
	if n := lines(); n != 21 {
		t.Error("the flood hides the refusal of another address")
	}
}
