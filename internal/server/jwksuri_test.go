package server_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"moneyer/assertion"
	"moneyer/internal/jose"
	"moneyer/internal/jwksuri"
	"moneyer/internal/ledger"
	"moneyer/oauth"
)

// partnerKeys is a client's server with its keys.
type partnerKeys struct {
	*httptest.Server
	sign    *assertion.Signer
	answer  atomic.Pointer[string] // nil while it is down
	fetches atomic.Int64
}

// openWithKeysElsewhere opens a setup whose first client publishes a key of the kid "remote" beside its registered
// ones. It may be fetched from the networks.
func openWithKeysElsewhere(t *testing.T, networks ...netip.Prefix) (*testServer, *partnerKeys, string) {
	t.Helper()
	h := readSetup(t, "testdata/transcripts/oauth2", "").open(t)
	private, err := jose.GenerateKey(jose.ES256)
	must(t, err)
	public, err := jose.NewPublicKey(private.Public(), jose.ES256)
	must(t, err)
	p := &partnerKeys{}
	p.sign, err = assertion.NewSigner(private, "ES256", "remote", "")
	must(t, err)
	p.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.fetches.Add(1)
		if answer := p.answer.Load(); answer != nil {
			_, _ = w.Write([]byte(*answer))
			return
		}
		w.WriteHeader(http.StatusBadGateway)
	}))
	t.Cleanup(p.Close)
	roots := x509.NewCertPool()
	roots.AddCert(p.Certificate())
	issuer := h.setup.issuers[0]
	client := *issuer.clients[0]
	client.Revision = 1
	client.SetJWKSURI(&issuer.Issuer, p.URL)
	must(t, h.store.PutClient(t.Context(), &client, &ledger.Entry{Kind: ledger.KindAdmin, Time: noon, Actor: "test"}))
	h.authority.KeySource = jwksuri.New(networks, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, h.store, h.Now, slog.New(slog.DiscardHandler))
	return h, p, `{"keys":[` + string(public.AppendJWK(nil, "remote")) + `]}`
}

// asks is a token request by an assertion that the partner's own key signs.
func (p *partnerKeys) asks(t *testing.T, h *testServer) *httptest.ResponseRecorder {
	t.Helper()
	k := h.setup.keys["k1"]
	signed, err := p.sign.Sign(assertion.Assertion{Issuer: k.client, Subject: k.client, Audience: []string{k.issuer.URL}, ID: assertion.NewID(), IssuedAt: h.Now(), Expiry: h.Now().Add(5 * time.Minute)})
	must(t, err)
	h.log.Reset()
	return h.form(t, "192.0.2.1:1", "https://auth.example.com/oauth2/token",
		url.Values{"grant_type": {"client_credentials"}, "client_assertion_type": {oauth.AssertionTypeJWT}, "client_assertion": {signed}})
}

// TestOutageOfAJWKSURI: while nobody can tell whether a partner has a key, it gets 503 with Retry-After and the log says
// why; its registered keys serve. Keys that were read serve for a day, and a key is refused as unknown only by a set that was read.
func TestOutageOfAJWKSURI(t *testing.T) {
	h, p, set := openWithKeysElsewhere(t, netip.MustParsePrefix("127.0.0.0/8"))
	want := func(what string, status int, fetches int64) {
		t.Helper()
		answer := p.asks(t, h)
		if answer.Code != status || p.fetches.Load() != fetches {
			t.Errorf("%s: %d %s after %d fetches, want %d after %d", what, answer.Code, answer.Body, p.fetches.Load(), status, fetches)
		}
		if status != http.StatusServiceUnavailable {
			return
		}
		if answer.Header().Get("Retry-After") != "1" || !isError(answer, oauth.TemporarilyUnavailable) || strings.Contains(answer.Body.String(), "127.0.0.1") || strings.Contains(answer.Body.String(), "502") {
			t.Errorf("%s: %v %s", what, answer.Header(), answer.Body)
		}
		if !strings.Contains(h.log.String(), p.URL+" answered 502") {
			t.Errorf("%s: the log does not say why: %s", what, h.log.String())
		}
	}
	want("down from the start", 503, 1)
	if answer := h.form(t, "192.0.2.1:1", "https://auth.example.com/oauth2/token", h.authenticated(t)); answer.Code != http.StatusOK {
		t.Errorf("by a registered key: %d %s", answer.Code, answer.Body)
	}
	want("at once again", 503, 1)
	h.Advance(time.Second)
	want("after 1 s", 503, 2)
	h.Advance(time.Second)
	want("1 s later, of 2 s", 503, 2)
	p.answer.Store(&set)
	h.Advance(time.Second)
	want("up again", 200, 3)
	p.answer.Store(nil)
	h.Advance(23 * time.Hour)
	want("down for 23 h", 200, 4)
	h.Advance(time.Hour)
	want("down for 24 h", 503, 5)
	other := `{"keys":[]}`
	p.answer.Store(&other)
	h.Advance(time.Minute)
	want("the key is gone", 401, 6)
	for _, record := range h.entries(t) {
		data, err := json.Marshal(record)
		must(t, err)
		if strings.Contains(string(data), "answered 502") {
			t.Errorf("the ledger holds it against the partner: %s", data)
		}
	}
}

// TestForbiddenAddressOfAJWKSURI: the answer where an address is refused is that of an outage; the log tells them apart.
func TestForbiddenAddressOfAJWKSURI(t *testing.T) {
	h, p, _ := openWithKeysElsewhere(t)
	refused := p.asks(t, h)
	log := h.log.String()
	open, down, _ := openWithKeysElsewhere(t, netip.MustParsePrefix("127.0.0.0/8"))
	outage := down.asks(t, open)
	for _, answer := range []*httptest.ResponseRecorder{refused, outage} {
		answer.Header().Del("X-Correlation-Id")
	}
	if refused.Code != outage.Code || refused.Body.String() != outage.Body.String() || len(refused.Header()) != len(outage.Header()) || refused.Header().Get("Retry-After") != outage.Header().Get("Retry-After") {
		t.Errorf("%d %v %s\n%d %v %s", refused.Code, refused.Header(), refused.Body, outage.Code, outage.Header(), outage.Body)
	}
	if p.fetches.Load() != 0 || !strings.Contains(log, "is not a public one") {
		t.Errorf("%d fetches, log %s", p.fetches.Load(), log)
	}
}
