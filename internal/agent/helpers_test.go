package agent

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	secret   = "p%40ss+w&rd@-of-the-test"
	boltTOML = "[tokens.bolt]\nprofile = \"boltpay\"\nissuer = %q\nclient = \"shop\"\nsecret_file = \"bolt.secret\"\n"
)

// clock is a settable clock.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Now()} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// fakePlatform issues token-1, token-2 and so on, each valid for ten minutes.
type fakePlatform struct {
	*httptest.Server
	mu     sync.Mutex
	minted int
	asked  int
	refuse func(http.ResponseWriter) // nil: issue a token
}

func newPlatform(t *testing.T) *fakePlatform {
	p := &fakePlatform{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.asked++
		switch {
		case r.PostFormValue("client_secret") != secret:
			w.WriteHeader(http.StatusUnauthorized)
		case p.refuse != nil:
			p.refuse(w)
		default:
			p.minted++
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"access_token":"token-%d","token_type":"Bearer","expires_in":600}`, p.minted)
		}
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *fakePlatform) refuseWith(refuse func(http.ResponseWriter)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = refuse
}

func (p *fakePlatform) counts() (asked, minted int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked, p.minted
}

// arrival is a request that reached an API.
type arrival struct {
	method, uri, host, body string
	header                  http.Header
}

// api records requests and answers with a configurable handler.
type api struct {
	*httptest.Server
	mu     sync.Mutex
	seen   []arrival
	answer http.HandlerFunc
}

func newAPI(t *testing.T, answer http.HandlerFunc) *api {
	a := &api{answer: answer}
	a.Server = httptest.NewServer(a)
	t.Cleanup(a.Close)
	return a
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	a.mu.Lock()
	a.seen = append(a.seen, arrival{r.Method, r.RequestURI, r.Host, string(body), r.Header})
	a.mu.Unlock()
	r.Body = io.NopCloser(bytes.NewReader(body))
	if a.answer != nil {
		a.answer(w, r)
		return
	}
	fmt.Fprint(w, "hello")
}

func (a *api) arrivals() []arrival {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]arrival(nil), a.seen...)
}

// only returns the single request that arrived.
func (a *api) only(t *testing.T) arrival {
	t.Helper()
	seen := a.arrivals()
	if len(seen) != 1 {
		t.Fatalf("%d requests arrived, want 1: %v", len(seen), seen)
	}
	return seen[0]
}

// journal is a log that tests read.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

// testAgent is a running agent.
type testAgent struct {
	*Agent
	url   string
	clock *clock
	log   *journal
	dir   string
}

// folder creates a folder with a secret in it.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "bolt.secret"), secret+"\n")
	return dir
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func load(t *testing.T, dir, toml string) *Config {
	t.Helper()
	file := filepath.Join(dir, "agent.toml")
	write(t, file, toml)
	cfg, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// start runs an agent with a configuration until the test ends.
func start(t *testing.T, dir, toml string) *testAgent {
	t.Helper()
	cfg := load(t, dir, toml)
	l, err := Listen(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := &testAgent{clock: newClock(), log: &journal{}, dir: dir, url: "http://" + l.Addr().String()}
	r.Agent = New(cfg, slog.New(slog.NewJSONHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})), r.clock.now)
	done := make(chan error, 1)
	go func() { done <- r.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := r.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		r.wantNoSecretsLogged(t)
	})
	return r
}

// wantNoSecretsLogged checks that no secret and no token is in the log.
func (r *testAgent) wantNoSecretsLogged(t *testing.T) {
	t.Helper()
	for _, word := range []string{secret, "token-1", "token-2", "Bearer"} {
		if strings.Contains(r.log.String(), word) {
			t.Errorf("%q is in the log:\n%s", word, r.log)
		}
	}
}

// simple starts an agent for one platform and one API under /api/.
func simple(t *testing.T, p *fakePlatform, a *api, more ...string) *testAgent {
	t.Helper()
	return start(t, folder(t), settings(p.URL, a.URL, more...))
}

func settings(issuer, upstream string, more ...string) string {
	return "listen = \"127.0.0.1:0\"\n" + fmt.Sprintf(boltTOML, issuer) +
		fmt.Sprintf("[upstreams.api]\npath = \"/api/\"\nurl = %q\ntoken = \"bolt\"\n", upstream) + strings.Join(more, "\n")
}

// do sends a request to the agent; headers are pairs. It does not follow redirects.
func (r *testAgent) do(t *testing.T, method, path string, body io.Reader, headers ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, r.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		} else {
			req.Header.Add(headers[i], headers[i+1])
		}
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func text(t *testing.T, resp *http.Response) string {
	t.Helper()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func wantStatus(t *testing.T, resp *http.Response, status int, code string) {
	t.Helper()
	if resp.StatusCode != status || resp.Header.Get(errorHeader) != code {
		t.Fatalf("status %d %q, want %d %q: %s", resp.StatusCode, resp.Header.Get(errorHeader), status, code, text(t, resp))
	}
}

// closedPort returns an address on which nothing listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
