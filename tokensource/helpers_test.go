package tokensource_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"moneyer/profile"
	"moneyer/tokensource"
)

// endpoint is a token endpoint without a network: a RoundTripper that keeps what
// it was asked.
type endpoint struct {
	answer func(n int, req *http.Request) (*http.Response, error) // n counts from 1

	mu     sync.Mutex
	bodies []string
	asked  []*http.Request
}

func (e *endpoint) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	e.bodies, e.asked = append(e.bodies, string(body)), append(e.asked, req)
	n := len(e.asked)
	e.mu.Unlock()
	return e.answer(n, req)
}

// count is how many requests came.
func (e *endpoint) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.asked)
}

func (e *endpoint) client() *http.Client { return &http.Client{Transport: e} }

// reply makes an answer; headers are pairs.
func reply(status int, body string, headers ...string) *http.Response {
	resp := &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
	for i := 0; i < len(headers); i += 2 {
		resp.Header.Add(headers[i], headers[i+1])
	}
	return resp
}

// always answers the same.
func always(status int, body string, headers ...string) *endpoint {
	return &endpoint{answer: func(int, *http.Request) (*http.Response, error) {
		return reply(status, body, headers...), nil
	}}
}

// numbered gives token-1, token-2 and so on, each good for life.
func numbered(life time.Duration) *endpoint {
	return &endpoint{answer: func(n int, _ *http.Request) (*http.Response, error) {
		return reply(200, tokenBody(n, life)), nil
	}}
}

func tokenBody(n int, life time.Duration) string {
	return fmt.Sprintf(`{"access_token":"token-%d","token_type":"Bearer","expires_in":%d}`, n, int(life/time.Second))
}

func builtin(t testing.TB, name string) *profile.Profile {
	t.Helper()
	p, err := profile.Builtin(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// withSecret is a Source that has a secret for a plain OAuth 2.0 issuer.
func withSecret(e *endpoint) *tokensource.Source {
	return &tokensource.Source{
		Issuer:     "https://issuer.example",
		Credential: tokensource.Credential{ClientID: "shop", Secret: "s3cret-in-the-test"},
		HTTPClient: e.client(),
	}
}

// mustToken gets a token or ends the test.
func mustToken(t *testing.T, s *tokensource.Source) *tokensource.Token {
	t.Helper()
	token, err := s.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return token
}
