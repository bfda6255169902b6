package peers

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"moneyer/bench/subject"
)

// TestTokens starts each installed peer and sends every exchange twice: the response must be a
// token that verifies with the peer's keys.
func TestTokens(t *testing.T) {
	peers := all()
	for _, p := range all() {
		if p.ConfigureTLS != nil {
			p.Server = subject.OverTLS(p.Server, subject.TLSFull)
			peers = append(peers, p)
		}
	}
	for _, p := range peers {
		t.Run(p.Name, func(t *testing.T) {
			if testing.Short() {
				t.Skip("starts servers")
			}
			if p.WarmUp > 0 {
				needSlow(t, p)
			}
			if err := p.installed(); err != nil {
				t.Skipf("not installed: %v", err)
			}
			address, err := subject.FreeAddress(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			setup, err := p.Configure(t.Context(), emptyFolder(t), address)
			if err != nil {
				t.Fatal(err)
			}
			for _, program := range append(setup.Beside, setup.Server) {
				start(t, program)
			}
			if len(setup.Exchanges) == 0 {
				t.Fatal("nothing to ask for")
			}
			for _, exchange := range setup.Exchanges {
				t.Run(string(exchange.Kind), func(t *testing.T) {
					if exchange.Kind == subject.Introspection {
						introspectOnce(t, exchange)
						return
					}
					for n := range 2 {
						exchangeOnce(t, exchange, n)
					}
					testReplay(t, exchange)
				})
			}
		})
	}
}

// needSlow skips a peer that takes a minute to start, or else installs it.
func needSlow(t *testing.T, p peer) {
	t.Helper()
	if os.Getenv("MONEYER_COUNTERPARTS") != "1" {
		t.Skip("too slow for each change: make test-counterparts")
	}
	if _, err := p.Install(t.Context(), io.Discard); err != nil {
		t.Fatal(err)
	}
}

// testReplay sends an assertion twice: it is refused, or a note says that there is no replay check.
func testReplay(t *testing.T, exchange subject.Exchange) {
	if exchange.Kind != subject.JWTBearerES256 && exchange.Kind != subject.PrivateKeyJWTES256 {
		return
	}
	body, err := exchange.Body(2)
	if err != nil {
		t.Fatal(err)
	}
	first, answer := ask(t, exchange, body)
	if first != http.StatusOK {
		t.Fatalf("%d: %s", first, answer)
	}
	second, answer := ask(t, exchange, body)
	accepted := second == http.StatusOK
	if said := strings.Contains(exchange.Note, "no replay check"); said != accepted {
		t.Errorf("an assertion sent again: %d %s; the note says %q", second, answer, exchange.Note)
	}
}

// TestTable checks that each peer supports each kind, or says why not.
func TestTable(t *testing.T) {
	for _, p := range all() {
		t.Run(p.Name, func(t *testing.T) {
			if p.Name == "" || p.Keeps == "" || p.Install == nil {
				t.Fatal("the table wants a name, what is kept, and how to install it")
			}
			setup, err := p.Configure(t.Context(), emptyFolder(t), "127.0.0.1:1")
			if err != nil {
				if installed := p.installed(); installed != nil {
					t.Skipf("cannot be set up without being installed: %v", err)
				}
				t.Fatal(err)
			}
			does := map[subject.Kind]bool{}
			for _, exchange := range setup.Exchanges {
				does[exchange.Kind] = true
				first, err := exchange.Body(0)
				if err != nil {
					t.Fatal(err)
				}
				second, err := exchange.Body(1)
				if err != nil {
					t.Fatal(err)
				}
				assertion := exchange.Kind == subject.JWTBearerES256 || exchange.Kind == subject.PrivateKeyJWTES256
				if assertion == bytes.Equal(first, second) {
					t.Errorf("%s: an assertion must be new each time, and nothing else", exchange.Kind)
				}
			}
			for _, kind := range []subject.Kind{subject.ClientCredentialsES256, subject.JWTBearerES256} {
				if does[kind] == (p.Cannot[kind] != "") {
					t.Errorf("%s: it is done, or Cannot says why not", kind)
				}
			}
		})
	}
}

// start runs a program until the end of the test and waits until it is ready.
func start(t *testing.T, program subject.Program) {
	t.Helper()
	var output bytes.Buffer
	program.Command.Stdout, program.Command.Stderr = &output, &output
	if err := program.Command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		program.Command.Wait()
	}()
	t.Cleanup(func() { stop(t, program.Command, ended) })
	deadline := time.Now().Add(5 * time.Minute)
	for {
		err := program.Ready(t.Context())
		if err == nil {
			break
		}
		select {
		case <-ended:
			t.Fatalf("%s ended:\n%s", program.Command.Path, &output)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", program.Command.Path, err)
		}
	}
	if program.Prepare == nil {
		return
	}
	if err := program.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// stop stops a program like the benchmark.
func stop(t *testing.T, command *exec.Cmd, ended <-chan struct{}) {
	command.Process.Signal(syscall.SIGTERM)
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Errorf("%s does not stop by SIGTERM", command.Path)
		command.Process.Kill()
		<-ended
	}
}

// introspectOnce asks about a live token, and about what is none.
func introspectOnce(t *testing.T, exchange subject.Exchange) {
	t.Helper()
	if err := exchange.Before(t.Context()); err != nil {
		t.Fatal(err)
	}
	body, err := exchange.Body(0)
	if err != nil {
		t.Fatal(err)
	}
	status, answer := ask(t, exchange, body)
	if err := exchange.Check(answer); status != http.StatusOK || err != nil {
		t.Errorf("%d: %s, %v", status, answer, err)
	}
	status, answer = ask(t, exchange, append(body, "AAAA"...))
	if err := exchange.Check(answer); status == http.StatusOK && err == nil {
		t.Errorf("a token that was not issued is active: %s", answer)
	}
}

// exchangeOnce requests a token and verifies it.
func exchangeOnce(t *testing.T, exchange subject.Exchange, n int) {
	t.Helper()
	body, err := exchange.Body(n)
	if err != nil {
		t.Fatal(err)
	}
	status, answer := ask(t, exchange, body)
	if status != http.StatusOK {
		t.Fatalf("%d: %s", status, answer)
	}
	var token struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(answer, &token); err != nil {
		t.Fatal(err)
	}
	if exchange.Token != nil {
		if token.AccessToken, err = exchange.Token(answer); err != nil {
			t.Fatal(err)
		}
	}
	parsed, err := jwt.ParseSigned(token.AccessToken, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(exchange.Alg)})
	if err != nil {
		t.Fatalf("%v: %s", err, answer)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, exchange.Keys, nil)
	if err != nil {
		t.Fatal(err)
	}
	var keys jose.JSONWebKeySet
	if _, answer = do(t, exchange, request); json.Unmarshal(answer, &keys) != nil {
		t.Fatalf("no key set: %s", answer)
	}
	var claims jwt.Claims
	if err := parsed.Claims(&keys, &claims); err != nil {
		t.Fatalf("%v: %s", err, token.AccessToken)
	}
	if claims.Expiry.Time().Before(time.Now()) {
		t.Errorf("the token expired at %s", claims.Expiry.Time())
	}
}

// ask sends a token request.
func ask(t *testing.T, exchange subject.Exchange, body []byte) (status int, answer []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, exchange.URL, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = exchange.Header
	return do(t, exchange, request)
}

func do(t *testing.T, exchange subject.Exchange, request *http.Request) (status int, body []byte) {
	t.Helper()
	response, err := exchange.TLS.Client(time.Minute).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err = io.ReadAll(response.Body); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, body
}

// emptyFolder returns a new folder in the system's temporary one: a test's own folder is too long a
// path for a Unix socket.
func emptyFolder(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "peers") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	return folder
}
