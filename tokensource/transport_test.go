package tokensource_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"moneyer/tokensource"
)

// api answers what authorization says: 401 unless the token is the good one.
type api struct {
	*httptest.Server
	good string

	mu     sync.Mutex
	tokens []string // that were shown, in order
	bodies []string
}

func newAPI(t *testing.T, good string) *api {
	a := &api{good: good}
	a.Server = httptest.NewServer(a)
	t.Cleanup(a.Close)
	return a
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	a.mu.Lock()
	a.tokens = append(a.tokens, r.Header.Get("Authorization"))
	a.bodies = append(a.bodies, string(body))
	a.mu.Unlock()
	if to := r.URL.Query().Get("to"); to != "" {
		http.Redirect(w, r, to, http.StatusTemporaryRedirect)
		return
	}
	if r.Header.Get("Authorization") != "Bearer "+a.good {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, "refused")
		return
	}
	_, _ = io.WriteString(w, "served")
}

func TestTransportRenewsOnceOn401(t *testing.T) {
	for _, test := range []struct {
		name, good string
		body       io.Reader
		want       string
		shown      string
	}{
		{"the first token is good", "token-1", strings.NewReader("x"), "served", "Bearer token-1"},
		{"the second is", "token-2", strings.NewReader("x"), "served", "Bearer token-1 Bearer token-2"},
		{"the second is, without a body", "token-2", nil, "served", "Bearer token-1 Bearer token-2"},
		{"none is", "token-9", bytes.NewReader([]byte("x")), "refused", "Bearer token-1 Bearer token-2"},
		{"the body cannot be had again", "token-2", io.MultiReader(strings.NewReader("x")), "refused", "Bearer token-1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := newAPI(t, test.good)
			client := &http.Client{Transport: &tokensource.Transport{Source: withSecret(numbered(time.Hour))}}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.URL, test.body)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			got, err := io.ReadAll(resp.Body)
			if err != nil || string(got) != test.want {
				t.Errorf("got %q, %v", got, err)
			}
			if shown := strings.Join(a.tokens, " "); shown != test.shown {
				t.Errorf("shown: %s", shown)
			}
			if len(a.bodies) == 2 && a.bodies[0] != a.bodies[1] {
				t.Errorf("bodies %q", a.bodies)
			}
			if req.Header.Get("Authorization") != "" {
				t.Error("the caller's request was changed")
			}
		})
	}
}

// A token that was refused is given up also where the request cannot be sent
// again: its caller sees the 401, and the next call has a new token.
func TestTransportGivesUpTheTokenOfABodyThatIsGone(t *testing.T) {
	a := newAPI(t, "token-2")
	e := numbered(time.Hour)
	client := &http.Client{Transport: &tokensource.Transport{Source: withSecret(e)}}
	for _, want := range []int{http.StatusUnauthorized, http.StatusOK, http.StatusOK} {
		resp, err := client.Post(a.URL, "text/plain", io.MultiReader(strings.NewReader("x")))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("status %d, want %d", resp.StatusCode, want)
		}
	}
	if shown := strings.Join(a.tokens, " "); shown != "Bearer token-1 Bearer token-2 Bearer token-2" || e.count() != 2 {
		t.Errorf("shown: %s; %d tokens fetched", shown, e.count())
	}
}

// When a token dies under many calls at once, all of them are served with the
// next one, which is fetched once.
func TestTransportManyCallsOneRenewal(t *testing.T) {
	a := newAPI(t, "token-2")
	e := numbered(time.Hour)
	client := &http.Client{Transport: &tokensource.Transport{Source: withSecret(e)}}
	var calls sync.WaitGroup
	for range 50 {
		calls.Go(func() {
			resp, err := client.Get(a.URL)
			if err != nil {
				t.Error(err)
				return
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("status %d", resp.StatusCode)
			}
		})
	}
	calls.Wait()
	if e.count() != 2 {
		t.Errorf("%d tokens fetched", e.count())
	}
}

func TestTransportReturnsThe401WhenThereIsNoOtherToken(t *testing.T) {
	a := newAPI(t, "token-9")
	e := numbered(time.Hour)
	answer := e.answer
	e.answer = func(n int, req *http.Request) (*http.Response, error) {
		if n > 1 {
			return reply(400, ""), nil
		}
		return answer(n, req)
	}
	client := &http.Client{Transport: &tokensource.Transport{Source: withSecret(e)}}
	resp, err := client.Get(a.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "refused" {
		t.Errorf("got %q, %v", body, err)
	}
	if _, err := client.Get(a.URL); err == nil {
		t.Error("sent without a token")
	}
}

func TestTransportKeepsTheTokenToItsHosts(t *testing.T) {
	a, other := newAPI(t, "token-1"), newAPI(t, "token-1")
	host := strings.TrimPrefix(a.URL, "http://")
	get := func(url string, hosts ...string) error {
		transport := &tokensource.Transport{Source: withSecret(numbered(time.Hour)), Hosts: hosts}
		resp, err := (&http.Client{Transport: transport}).Post(url, "text/plain", strings.NewReader("card"))
		if err == nil {
			_ = resp.Body.Close()
		}
		return err
	}
	if err := get(a.URL, "api.example", host); err != nil {
		t.Error(err)
	}
	if err := get(a.URL + "?to=/again"); err != nil {
		t.Error("a redirect within the host:", err)
	}
	a.tokens = nil
	for name, err := range map[string]error{
		"a host that is not named":        get(a.URL, "api.example"),
		"a host without its port":         get(a.URL, "127.0.0.1"),
		"plain http":                      get("http://api.example/"),
		"plain http to a named host":      get("http://api.example/", "api.example"),
		"a name that only begins as one":  get("http://localhost.example/"),
		"another scheme":                  get("ftp://" + host),
		"an address that is not loopback": get("http://10.0.0.1/"),
	} {
		if err == nil || !strings.Contains(err.Error(), "does not go to") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(a.tokens) != 0 {
		t.Errorf("shown: %q", a.tokens)
	}
	if err := get(a.URL + "?to=" + other.URL); err == nil || !strings.Contains(err.Error(), "does not follow") {
		t.Errorf("a redirect to another host: %v", err)
	}
	if len(other.tokens) != 0 {
		t.Error("the token and the body went to another host")
	}
}

func TestTransportHostForms(t *testing.T) {
	for _, test := range []struct {
		allowed, url string
		ok           bool
	}{
		{"api.example", "https://api.example/", true},
		{"api.example", "https://API.example:443/", true},
		{"API.example:443", "https://api.example/", true},
		{"api.example", "https://api.example:8443/", false},
		{"api.example:8443", "https://api.example:8443/", true},
		{"example", "https://api.example/", false},
		{"[::1]:80", "http://[::1]/", true},
		{"", "https://api.example/", false},
	} {
		base := roundTrip(func(*http.Request) (*http.Response, error) { return reply(200, ""), nil })
		transport := &tokensource.Transport{Source: withSecret(numbered(time.Hour)), Hosts: []string{test.allowed}, Base: base}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, test.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := transport.RoundTrip(req)
		if (err == nil) != test.ok {
			t.Errorf("%q for %s: %v", test.allowed, test.url, err)
		}
		if err == nil {
			_ = resp.Body.Close()
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// A RoundTripper closes the body also when it does not send it.
func TestTransportClosesTheBody(t *testing.T) {
	failing := always(400, "")
	for _, url := range []string{"http://api.example/", "https://api.example/"} {
		body := &closable{Reader: strings.NewReader("x")}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, body)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (&tokensource.Transport{Source: withSecret(failing)}).RoundTrip(req); err == nil || !body.closed {
			t.Errorf("%v, closed: %t", err, body.closed)
		}
	}
}

type closable struct {
	io.Reader
	closed bool
}

func (c *closable) Close() error { c.closed = true; return nil }

func TestTransportWhenTheBodyIsNotThereAgain(t *testing.T) {
	base := roundTrip(func(*http.Request) (*http.Response, error) { return reply(401, ""), nil })
	transport := &tokensource.Transport{Source: withSecret(numbered(time.Hour)), Base: base}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://api.example/", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	req.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("gone") }
	resp, err := transport.RoundTrip(req)
	if err != nil || resp.StatusCode != 401 {
		t.Fatalf("%v, %v", resp, err)
	}
	_ = resp.Body.Close()
}

// The Client adds the token, and sends with the transport of HTTPClient.
func TestClient(t *testing.T) {
	var sent []*http.Request
	e := numbered(time.Hour)
	s := withSecret(e)
	s.HTTPClient = &http.Client{
		Timeout: time.Minute,
		Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
			if req.Method == http.MethodPost {
				return e.RoundTrip(req)
			}
			sent = append(sent, req)
			return reply(200, "served"), nil
		}),
	}
	client := s.Client()
	if client.Timeout != 0 || client.Jar != nil {
		t.Errorf("timeout %s, jar %v", client.Timeout, client.Jar)
	}
	for range 2 {
		resp, err := client.Get("https://api.example/cards")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	for _, req := range sent {
		if got := req.Header.Get("Authorization"); got != "Bearer token-1" {
			t.Errorf("Authorization: %s", got)
		}
	}
	if len(sent) != 2 || e.count() != 1 {
		t.Errorf("%d requests, %d tokens fetched", len(sent), e.count())
	}
	if _, err := client.Get("http://api.example/cards"); err == nil || len(sent) != 2 {
		t.Errorf("over plain http: %v", err)
	}
}

// Without an HTTPClient, the Client uses http.DefaultTransport; a request ends with
// its context.
func TestClientByDefault(t *testing.T) {
	a := newAPI(t, "token-1")
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, tokenBody(1, time.Hour))
	}))
	defer endpoint.Close()
	s := withSecret(nil)
	s.HTTPClient, s.Issuer = nil, endpoint.URL
	resp, err := s.Client().Get(a.URL)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("status %d", resp.StatusCode)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Client().Do(req); !errors.Is(err, context.Canceled) {
		t.Errorf("after its context: %v", err)
	}
}

// The Transport writes the type of the token as the scheme, as package oauth spells
// it.
func TestTransportWritesTheTokenType(t *testing.T) {
	for _, answer := range []string{`{"access_token":"a","token_type":"bEARER"}`, `{"access_token":"a"}`} {
		var scheme string
		base := roundTrip(func(req *http.Request) (*http.Response, error) {
			scheme = req.Header.Get("Authorization")
			return reply(200, ""), nil
		})
		client := &http.Client{Transport: &tokensource.Transport{Source: withSecret(always(200, answer)), Base: base}}
		resp, err := client.Get("https://api.example/")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if scheme != "Bearer a" {
			t.Errorf("%s: %s", answer, scheme)
		}
	}
}
