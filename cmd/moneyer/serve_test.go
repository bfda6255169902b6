package main

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"moneyer/assertion"
	"moneyer/internal/adminapi"
	"moneyer/internal/adminclient"
	"moneyer/internal/config"
	"moneyer/internal/daemon"
	"moneyer/internal/jose"
	"moneyer/internal/keyring"
	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/internal/store"
	"moneyer/oauth"
)

// installation is a folder as 'moneyer init' makes it, with one issuer, "plain",
// and its one client, "shop", which has a key and a secret.
type installation struct {
	t                         *testing.T
	dir, address, admin       string // the addresses of the listeners
	file, adminFile           string
	secret, secretID          string
	key                       *assertion.Signer
	scheme                    string
	client                    *http.Client
	issuerSettings, listen    string // more of the configuration
	adminSettings, limitLines string
}

// install makes one. change may extend the configuration.
func install(t *testing.T, change ...func(*installation)) *installation {
	t.Helper()
	i := &installation{t: t, dir: t.TempDir(), address: ownAddress(t), admin: ownAddress(t), scheme: "http",
		limitLines: "drain_delay = \"-1s\"\n" + longRequestTimeout,
		client:     &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: tooLong}}
	t.Cleanup(i.client.CloseIdleConnections)
	i.file, i.adminFile = filepath.Join(i.dir, daemon.ConfigFile), filepath.Join(i.dir, adminclient.DefaultFile)
	for _, f := range change {
		f(i)
	}
	withoutForks(func() {
		if _, err := daemon.Init(t.Context(), i.dir, i.config(), time.Now); err != nil {
			t.Fatal(err)
		}
	})
	i.register()
	return i
}

// patient is for a slow disk.
const longRequestTimeout = `request_timeout = "1m"`

func (i *installation) config() string {
	return fmt.Sprintf(`store = "sqlite:moneyer.db"
master_key = "file:master.key"
[listen]
address = %q
%s
[admin]
address = %q
%s
[limits]
client_rate = -1
%s
[issuers.plain]
url = "%s://%s/plain"
profile = "oauth2"
resource_audience = "https://api.example"
%s
`, i.address, i.listen, i.admin, i.adminSettings, i.limitLines, i.scheme, i.address, i.issuerSettings)
}

// rewrite puts another configuration in the place of the one there is.
func (i *installation) rewrite(text string) {
	i.t.Helper()
	replaceFile(i.t, i.file, []byte(text))
}

func replaceFile(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// register gives the issuer its client.
func (i *installation) register() {
	i.t.Helper()
	cfg, err := config.Load(i.file)
	if err != nil {
		i.t.Fatal(err)
	}
	master, err := keyring.ReadMasterKey(filepath.Join(i.dir, "master.key"))
	if err != nil {
		i.t.Fatal(err)
	}
	client := &registry.Client{Issuer: "plain", ID: "shop", Scope: oauth.Scope{"pay"}, Created: time.Now()}
	made, text, err := client.NewSecret(cfg.Issuers["plain"].RegistryIssuer(), master.Pepper(), registry.ClientSecret, time.Time{}, time.Now())
	if err != nil {
		i.t.Fatal(err)
	}
	i.secret, i.secretID = text, made.ID
	private, err := assertion.GenerateKey("ES256")
	if err != nil {
		i.t.Fatal(err)
	}
	if i.key, err = assertion.NewSigner(private, "", "key-1", ""); err != nil {
		i.t.Fatal(err)
	}
	public, err := jose.NewPublicKey(private.Public(), jose.ES256)
	if err != nil {
		i.t.Fatal(err)
	}
	if err := client.AddKey(cfg.Issuers["plain"].RegistryIssuer(), nil, registry.Key{Kid: "key-1", Public: public, Created: time.Now()}); err != nil {
		i.t.Fatal(err)
	}
	i.withStore(func(db *store.DB) error {
		return db.PutClient(i.t.Context(), client, &ledger.Entry{Kind: ledger.KindAdmin, Time: time.Now(), Action: "client.add"})
	})
}

// masterOf reads the master key of an installation.
func masterOf(t *testing.T, dir string) *keyring.MasterKey {
	t.Helper()
	master, err := keyring.ReadMasterKey(filepath.Join(dir, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	return master
}

// withStore opens the store, which no server may hold.
func (i *installation) withStore(do func(*store.DB) error) {
	i.t.Helper()
	withoutForks(func() {
		db, err := store.Open(i.t.Context(), "sqlite:"+i.store(), store.Options{Create: true, Now: time.Now, RowKey: masterOf(i.t, i.dir).RowKey()})
		if err != nil {
			i.t.Fatal(err)
		}
		err = do(db)
		if err := errors.Join(err, db.Close()); err != nil {
			i.t.Fatal(err)
		}
	})
}

// withoutForks does something with a store in this process. A child that is
// forked meanwhile would hold the store's lock until it executes its program.
func withoutForks(do func()) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	do()
}

func (i *installation) store() string { return filepath.Join(i.dir, "moneyer.db") }

var reservedAddresses sync.Map // addresses, by ownAddress

// ownAddress is an unused address on loopback. Its port is below those of outgoing
// connections.
func ownAddress(t *testing.T) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000))
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		_ = l.Close()
		if _, taken := reservedAddresses.LoadOrStore(address, true); !taken {
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}

// program is a running command.
type program struct {
	t   *testing.T
	cmd *exec.Cmd
	// lines are the written lines that were not awaited yet; closed at its end.
	lines chan string
	mu    sync.Mutex
	wrote strings.Builder
}

// begin runs the command. What it writes to standard output and standard error
// is looked at line by line.
func begin(t *testing.T, args ...string) *program {
	t.Helper()
	return follow(t, exec.Command("moneyer", args...))
}

// follow is begin for a command whose environment and standard error may be set.
func follow(t *testing.T, cmd *exec.Cmd) *program {
	t.Helper()
	p := &program{t: t, cmd: cmd, lines: make(chan string, 1<<16)}
	cmd.Env = append(cmd.Environ(), "GORACE=atexit_sleep_ms=0")
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = in
	if cmd.Stderr == nil {
		cmd.Stderr = in
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = in.Close()
	go p.read(out)
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s\n%s", cmd, p.output())
		}
	})
	return p
}

func (p *program) read(out *os.File) {
	defer close(p.lines)
	defer out.Close()
	for in := bufio.NewScanner(out); in.Scan(); {
		p.mu.Lock()
		fmt.Fprintln(&p.wrote, in.Text())
		p.mu.Unlock()
		p.lines <- in.Text()
	}
}

// output is all that it wrote.
func (p *program) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wrote.String()
}

// tooLong bounds each wait for something that must happen.
const tooLong = time.Minute

// await waits for the next line that holds text, and returns it.
func (p *program) await(text string) string {
	p.t.Helper()
	late := time.After(tooLong)
	for {
		select {
		case line, more := <-p.lines:
			if !more {
				p.t.Fatalf("the process ended and never said %q", text)
			}
			if strings.Contains(line, text) {
				return line
			}
		case <-late:
			p.t.Fatalf("the process does not say %q", text)
		}
	}
}

func (p *program) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// ended waits for the end and returns the exit code.
func (p *program) ended() int {
	p.t.Helper()
	late := time.After(tooLong)
	for {
		select {
		case _, more := <-p.lines:
			if more {
				continue
			}
			_ = p.cmd.Wait()
			return p.cmd.ProcessState.ExitCode()
		case <-late:
			p.t.Fatal("the process does not end")
		}
	}
}

// stop ends the process, which must exit with 0.
func (p *program) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.ended(); code != exitOK {
		p.t.Errorf("exit code %d", code)
	}
}

// says fails unless the process wrote text exactly so many times.
func (p *program) says(times int, text string) {
	p.t.Helper()
	if n := strings.Count(p.output(), text); n != times {
		p.t.Errorf("%q was written %d times, want %d", text, n, times)
	}
}

// serve starts the server and waits until it serves.
func (i *installation) serve() *program {
	i.t.Helper()
	p := begin(i.t, "serve", "--config", i.file)
	p.await(`"serving"`)
	return p
}

// cli runs a command that administers, and returns its exit code and output.
func (i *installation) cli(args ...string) (int, string) {
	i.t.Helper()
	p := begin(i.t, append(args, "--admin", i.adminFile)...)
	code := p.ended()
	return code, p.output()
}

// does is cli for what must succeed.
func (i *installation) does(args ...string) string {
	i.t.Helper()
	code, out := i.cli(args...)
	if code != exitOK {
		i.t.Fatalf("moneyer %s: exit code %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// outcome is what came back on a request.
type outcome struct {
	status int
	header http.Header
	body   string
	closes bool
}

func (i *installation) do(req *http.Request) (outcome, error) {
	resp, err := i.client.Do(req)
	if err != nil {
		return outcome{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return outcome{resp.StatusCode, resp.Header, string(body), resp.Close}, err
}

// get asks for a path of a listener.
func (i *installation) get(address, path string) outcome {
	i.t.Helper()
	req, err := http.NewRequest(http.MethodGet, i.scheme+"://"+address+path, nil)
	if err != nil {
		i.t.Fatal(err)
	}
	a, err := i.do(req)
	if err != nil {
		i.t.Fatal(err)
	}
	return a
}

// gets waits until a path answers with a status.
func (i *installation) gets(address, path string, status int) outcome {
	i.t.Helper()
	for late := time.Now().Add(tooLong); time.Now().Before(late); runtime.Gosched() {
		if a := i.get(address, path); a.status == status {
			return a
		}
	}
	i.t.Fatalf("%s does not get %d", path, status)
	return outcome{}
}

// refusesConnections waits until the public listener is closed.
func (i *installation) refusesConnections() {
	i.t.Helper()
	for late := time.Now().Add(tooLong); time.Now().Before(late); runtime.Gosched() {
		conn, err := net.Dial("tcp", i.address)
		if err != nil {
			return
		}
		_ = conn.Close()
	}
	i.t.Fatal("the listener does not close")
}

// byKey and bySecret authenticate a token request.
func (i *installation) byKey() url.Values {
	signed, err := i.key.Sign(assertion.Assertion{Issuer: "shop", Subject: "shop", Audience: []string{i.scheme + "://" + i.address + "/plain"},
		Expiry: time.Now().Add(time.Minute), ID: assertion.NewID()})
	if err != nil {
		i.t.Error(err)
	}
	return url.Values{"grant_type": {string(oauth.JWTBearer)}, "assertion": {signed}}
}

func (i *installation) bySecret() url.Values {
	return url.Values{"grant_type": {string(oauth.ClientCredentials)}, "client_id": {"shop"}, "client_secret": {i.secret}}
}

func (i *installation) tokenRequest(form url.Values) *http.Request {
	req, err := http.NewRequest(http.MethodPost, i.scheme+"://"+i.address+"/plain/oauth2/token", strings.NewReader(form.Encode()))
	if err != nil {
		i.t.Error(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return req
}

// token asks for a token.
func (i *installation) token(form url.Values) outcome {
	i.t.Helper()
	a, err := i.do(i.tokenRequest(form))
	if err != nil {
		i.t.Fatal(err)
	}
	return a
}

// wantToken fails unless there is a token, good for that many seconds.
func (i *installation) wantToken(lifetime int) {
	i.t.Helper()
	a := i.token(i.bySecret())
	var body struct {
		Token string `json:"access_token"`
		In    int    `json:"expires_in"`
	}
	if err := json.Unmarshal([]byte(a.body), &body); err != nil || a.status != http.StatusOK || body.Token == "" || body.In != lifetime {
		i.t.Errorf("%d %s, want a token for %d s", a.status, a.body, lifetime)
	}
}

// retriesUntilToken retries after 503, as a caller should.
func (i *installation) retriesUntilToken() {
	i.t.Helper()
	for late := time.Now().Add(tooLong); time.Now().Before(late); runtime.Gosched() {
		switch a := i.token(i.bySecret()); a.status {
		case http.StatusOK:
			return
		case http.StatusServiceUnavailable:
		default:
			i.t.Fatalf("%d %s", a.status, a.body)
		}
	}
	i.t.Fatal("there is no token")
}

// load asks for tokens from many callers. Each request that gets none is an error.
type load struct {
	served  chan struct{}
	stopped atomic.Bool
	callers sync.WaitGroup
}

func (i *installation) load() *load {
	l := &load{served: make(chan struct{}, 1<<20)}
	for n := range 8 {
		form := i.bySecret
		if n%2 == 0 {
			form = i.byKey
		}
		l.callers.Go(func() {
			for !l.stopped.Load() {
				a, err := i.do(i.tokenRequest(form()))
				if err != nil || a.status != http.StatusOK {
					i.t.Errorf("under load: %d %s %v", a.status, a.body, err)
					return
				}
				l.served <- struct{}{}
			}
		})
	}
	i.t.Cleanup(l.stop)
	return l
}

// await waits for so many more tokens.
func (l *load) await(t *testing.T, tokens int) {
	t.Helper()
	late := time.After(tooLong)
	for range tokens {
		select {
		case <-l.served:
		case <-late:
			t.Fatal("the load gets no more tokens")
		}
	}
}

func (l *load) stop() {
	l.stopped.Store(true)
	l.callers.Wait()
}

// slowRequest is a token request of which the server has the head and half of the
// body. finish sends the rest and returns the answer.
func (i *installation) slowRequest() (finish func() outcome) {
	i.t.Helper()
	conn, err := net.Dial("tcp", i.address)
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() { _ = conn.Close() })
	body := i.bySecret().Encode()
	head := fmt.Sprintf("POST /plain/oauth2/token HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n",
		i.address, len(body))
	if _, err := io.WriteString(conn, head); err != nil {
		i.t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	if line, err := in.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") { // the handler reads
		i.t.Fatalf("%q %v", line, err)
	}
	if _, err := in.ReadString('\n'); err != nil {
		i.t.Fatal(err)
	}
	return func() outcome {
		i.t.Helper()
		if _, err := io.WriteString(conn, body); err != nil {
			return outcome{}
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return outcome{}
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		return outcome{resp.StatusCode, resp.Header, string(text), resp.Close}
	}
}

func TestServe(t *testing.T) {
	t.Parallel()
	i := install(t)
	p := i.serve()
	i.wantToken(600)
	if a := i.token(i.byKey()); a.status != http.StatusOK {
		t.Errorf("by key: %d %s", a.status, a.body)
	}
	for _, c := range []struct {
		address, path string
		status        int
		body          string
	}{
		{i.address, "/healthz", 200, "ok"},
		{i.address, "/readyz", 200, "ready"},
		{i.address, "/plain/.well-known/jwks.json", 200, `"kid"`},
		{i.address, "/.well-known/oauth-authorization-server/plain", 200, "/plain/oauth2/token"},
		{i.address, "/metrics", 404, ""},
		{i.address, adminapi.Prefix + "/issuers", 404, ""},
		{i.address, "/oauth2/token", 404, ""}, // of the admin issuer
		{i.admin, "/readyz", 200, "ready"},
		{i.admin, "/.well-known/jwks.json", 200, `"kid"`},
		{i.admin, "/metrics", 200, `moneyer_requests_total{endpoint="token",issuer="plain",outcome="granted"} 2`},
		{i.admin, adminapi.Prefix + "/issuers", 401, ""},
		{i.admin, adminapi.Prefix + "/backup", 401, ""},
		{i.admin, "/plain/.well-known/jwks.json", 404, ""},
	} {
		if a := i.get(c.address, c.path); a.status != c.status || !strings.Contains(a.body, c.body) {
			t.Errorf("%s%s: %d %s, want %d %s", c.address, c.path, a.status, a.body, c.status, c.body)
		}
	}
	p.stop()
	for _, line := range []string{`"serving"`, `"stopping"`, `"stopped"`} {
		p.says(1, line)
	}
	p.says(0, i.secret)
}

func TestReloadUnderLoad(t *testing.T) {
	t.Parallel()
	i := install(t)
	p := i.serve()
	l := i.load()
	l.await(t, 20)
	i.issuerSettings = "token_lifetime = \"77s\"\n[issuers.second]\nurl = \"http://" + i.address + "/second\"\nprofile = \"boltpay\""
	if a := i.get(i.address, "/second/.well-known/jwks.json"); a.status != http.StatusNotFound {
		t.Errorf("before: %d", a.status)
	}
	i.rewrite(i.config())
	p.signal(syscall.SIGHUP)
	p.await(`"reloaded"`)
	i.wantToken(77)
	if a := i.get(i.address, "/second/.well-known/jwks.json"); a.status != http.StatusOK {
		t.Errorf("the new issuer's keys: %d %s", a.status, a.body)
	}
	if out := i.does("client", "list", "--issuer", "second"); !strings.Contains(out, "none") {
		t.Errorf("the new issuer's clients: %s", out)
	}
	l.await(t, 20)

	good := i.config()
	for _, c := range []struct{ name, file, line string }{
		{"unknown setting", strings.Replace(good, "[limits]", "[limits]\nclient_rat = 5", 1), `moneyer.toml:10: limits.client_rat`},
		{"no TOML", good + "\n[", "moneyer.toml:"},
		{"another store", strings.Replace(good, "moneyer.db", "other.db", 1), "a change of store needs a restart"},
		{"another address", strings.Replace(good, i.admin, ownAddress(t), 1), "a change of admin needs a restart"},
		{"recorded refusals", strings.Replace(good, "[limits]", "[limits]\nrefusals_recorded = 2", 1), "a change of limits.refusals_recorded needs a restart"},
		{"one path for two", strings.Replace(good, "/second", "/plain/", 1), "slash"},
		{"no such profile", strings.Replace(good, "boltpay", "boltpaid", 1), "boltpaid"},
		{"the paths of two issuers", strings.Replace(good, "http://"+i.address+"/second", "http://localhost/plain", 1), ""},
	} {
		i.rewrite(c.file)
		p.signal(syscall.SIGHUP)
		if c.line == "" {
			p.await(`"reloaded"`)
			i.rewrite(good)
			p.signal(syscall.SIGHUP)
			p.await(`"reloaded"`)
			continue
		}
		if line := p.await("reload refused"); !strings.Contains(line, c.line) {
			t.Errorf("%s: %s", c.name, line)
		}
		i.wantToken(77)
	}
	l.stop()
	if _, err := os.Stat(filepath.Join(i.dir, "other.db")); err == nil {
		t.Error("a refused reload opened another store")
	}
	p.stop()
	p.says(7, "reload refused")
}

// TestReloadRefusesOnePathTwice: nothing is made for an issuer that cannot be
// served.
func TestReloadRefusesOnePathTwice(t *testing.T) {
	t.Parallel()
	i := install(t)
	p := i.serve()
	i.issuerSettings = "[issuers.second]\nurl = \"https://" + i.address + "/plain\"\nprofile = \"oauth2\"\nresource_audience = \"x\""
	i.rewrite(i.config())
	p.signal(syscall.SIGHUP)
	p.await("both want")
	i.wantToken(600)
	p.stop()
	i.withStore(func(db *store.DB) error {
		keys, err := db.SigningKeys(t.Context(), "second")
		if len(keys.Keys) != 0 {
			t.Error("there are keys for it")
		}
		return err
	})
	if code := begin(t, "serve", "--config", i.file).ended(); code != exitUsage {
		t.Errorf("a start with it: exit code %d", code)
	}
}

// TestStopUnderLoad acts as a load balancer: until /readyz fails, each request is
// answered.
func TestStopUnderLoad(t *testing.T) {
	t.Parallel()
	i := install(t, func(i *installation) { i.limitLines = "drain_delay = \"1m\"\n" + longRequestTimeout })
	p := i.serve()
	l := i.load()
	l.await(t, 20)
	p.signal(syscall.SIGTERM)
	i.gets(i.address, "/readyz", http.StatusServiceUnavailable)
	i.gets(i.admin, "/readyz", http.StatusServiceUnavailable)
	l.await(t, len(l.served)+20) // requests that came later
	l.stop()
	if a := i.token(i.bySecret()); a.status != http.StatusOK || !a.closes {
		t.Errorf("in the delay: %d, the connection is closed behind it: %t", a.status, a.closes)
	}
	p.signal(syscall.SIGTERM) // no need to wait for the rest of the minute
	if code := p.ended(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	p.says(0, "cut off")
}

// TestStopFinishesRequests: a request that is in flight when the listeners close
// is answered.
func TestStopFinishesRequests(t *testing.T) {
	t.Parallel()
	i := install(t)
	p := i.serve()
	finish := i.slowRequest()
	p.signal(syscall.SIGTERM)
	i.refusesConnections()
	if a := finish(); a.status != http.StatusOK {
		t.Errorf("the request in flight: %d %s", a.status, a.body)
	}
	if code := p.ended(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	p.says(1, `"stopped"`)
}

// TestSecondSignal: a second signal ends the server at once. It reports interrupted
// requests only when there were some.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	for name, busy := range map[string]bool{"idle": false, "busy": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := install(t, func(i *installation) {
				i.limitLines = "drain_delay = \"1m\"\ndrain_timeout = \"10m\"\n" + longRequestTimeout
			})
			p := i.serve()
			want := exitOK
			if busy {
				i.slowRequest()
				want = exitUnavailable
			} else if conn, err := net.Dial("tcp", i.address); err != nil { // without a request there is nothing to cut off
				t.Fatal(err)
			} else {
				defer conn.Close()
			}
			p.signal(syscall.SIGINT)
			p.await(`"stopping"`)
			p.signal(syscall.SIGINT)
			if code := p.ended(); code != want {
				t.Errorf("exit code %d, want %d", code, want)
			}
			if busy {
				p.says(1, "cut off")
			}
		})
	}
}

func TestStartRefuses(t *testing.T) {
	t.Parallel()
	i := install(t)
	running := i.serve()
	refuses := func(code int, text string, args ...string) {
		t.Helper()
		p := begin(t, args...)
		if got := p.ended(); got != code || !strings.Contains(p.output(), text) {
			t.Errorf("moneyer %s: exit code %d, want %d and %q:\n%s", strings.Join(args, " "), got, code, text, p.output())
		}
	}
	refuses(exitUnavailable, fmt.Sprintf("in use by process %d", running.cmd.Process.Pid), "serve", "--config", i.file)
	if err := os.Remove(i.adminFile); err != nil {
		t.Fatal(err)
	}
	refuses(exitUnavailable, "in use by process", "init", "--dir", i.dir)
	if _, err := os.Stat(i.adminFile); err == nil {
		t.Error("init left an admin file whose key nobody knows")
	}

	other := install(t, func(o *installation) { o.address = i.address })
	refuses(exitUnavailable, "the public listener: listen tcp "+i.address, "serve", "--config", other.file)
	other = install(t, func(o *installation) { o.admin = i.admin })
	refuses(exitUnavailable, "the admin listener: listen tcp "+i.admin, "serve", "--config", other.file)
	running.stop()

	foreign := install(t)
	key, err := os.ReadFile(filepath.Join(foreign.dir, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	replaceFile(t, filepath.Join(i.dir, "master.key"), key)
	refuses(exitUsage, `master_key "file:master.key" is not the key under which the keys in "sqlite:moneyer.db" were sealed`, "serve", "--config", i.file)
}

// TestServeInProcess checks that the server leaves no goroutine, no listener and no
// lock behind, however it ends.
func TestServeInProcess(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // which closes what was forgotten
	i := install(t)
	busy, err := net.Listen("tcp", i.admin)
	if err != nil {
		t.Fatal(err)
	}
	serve := func(ctx context.Context, started func(context.Context, *daemon.Server) error) (int, string) {
		var log bytes.Buffer
		a := &app{out: io.Discard, err: &log, now: time.Now}
		err := a.serve(ctx, daemon.Options{Load: func() (*config.Config, error) { return config.Load(i.file) }}, started)
		if log.Len() > 0 && strings.Contains(log.String(), `"level":"ERROR"`) {
			t.Error(log.String())
		}
		var f *failure
		if errors.As(err, &f) {
			return f.code, f.Error()
		}
		if err != nil {
			t.Errorf("no exit code: %v", err)
		}
		return exitOK, ""
	}
	check := func(when string, want, got int, text string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %d %s, want %d", when, got, text, want)
		}
		if leaked := leakedGoroutine(); leaked != "" {
			t.Errorf("%s: a goroutine goes on:\n%s", when, leaked)
		}
		i.withStore(func(*store.DB) error { return nil })
		l, err := net.Listen("tcp", i.address)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		_ = l.Close()
	}
	code, text := serve(t.Context(), nil)
	check("a port in use", exitUnavailable, code, text)
	_ = busy.Close()

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	code, text = serve(ctx, nil)
	check("stopped during the start", exitOK, code, text)

	code, text = serve(t.Context(), func(context.Context, *daemon.Server) error { return io.ErrNoProgress })
	check("what comes first does not work", exitUnavailable, code, text)

	ctx, cancel = context.WithCancel(t.Context())
	code, text = serve(ctx, func(context.Context, *daemon.Server) error {
		i.wantToken(600)
		cancel()
		return nil
	})
	i.client.CloseIdleConnections()
	check("stopped", exitOK, code, text)
}

// TestHangupWhileStarting: a hangup during the start causes a reload after it.
func TestHangupWhileStarting(t *testing.T) {
	i := install(t)
	ctx, cancel := context.WithTimeout(t.Context(), tooLong)
	defer cancel()
	reads, swaps := 0, 0
	a := &app{out: io.Discard, err: io.Discard, now: time.Now}
	err := a.serve(ctx, daemon.Options{
		Load: func() (*config.Config, error) {
			if reads++; reads == 1 {
				if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
					t.Error(err)
				}
			}
			return config.Load(i.file)
		},
		Public: func(snapshot *daemon.Snapshot) http.Handler {
			if swaps++; swaps == 2 {
				cancel()
			}
			return snapshot.Public
		},
	}, nil)
	if err != nil || reads != 2 || swaps != 2 {
		t.Errorf("%v, %d reads, %d swaps", err, reads, swaps)
	}
}

// leakedGoroutine returns the stack of a goroutine that serves.
func leakedGoroutine() (leaked string) {
	for range 10_000 { // a stopped goroutine may not have ended yet
		buffer := make([]byte, 4<<20)
		leaked = ""
		for _, stack := range strings.Split(string(buffer[:runtime.Stack(buffer, true)]), "\n\n")[1:] {
			if strings.Contains(stack, "moneyer/internal/") {
				leaked = stack
			}
		}
		if leaked == "" {
			return ""
		}
		runtime.Gosched()
	}
	return leaked
}

func TestDisabledAtOnce(t *testing.T) {
	t.Parallel()
	i := install(t)
	p := i.serve()
	for _, c := range []struct {
		name string
		args []string
		form func() url.Values
		code string
	}{
		{"client, by secret", []string{"client", "VERB", "shop"}, i.bySecret, "invalid_client"},
		{"client, by key", []string{"client", "VERB", "shop"}, i.byKey, "invalid_grant"},
		{"secret", []string{"secret", "VERB", "shop", i.secretID}, i.bySecret, "invalid_client"},
		{"key", []string{"key", "VERB", "shop", "key-1"}, i.byKey, "invalid_grant"},
	} {
		verb := func(verb string) {
			t.Helper()
			args := append([]string{}, c.args...)
			args[1] = verb
			i.does(append(args, "--issuer", "plain")...)
		}
		if a := i.token(c.form()); a.status != http.StatusOK {
			t.Errorf("%s, before: %d %s", c.name, a.status, a.body)
		}
		verb("disable")
		if a := i.token(c.form()); a.status == http.StatusOK || !strings.Contains(a.body, c.code) {
			t.Errorf("%s, disabled: %d %s, want %s", c.name, a.status, a.body, c.code)
		}
		verb("enable")
		if a := i.token(c.form()); a.status != http.StatusOK {
			t.Errorf("%s, enabled again: %d %s", c.name, a.status, a.body)
		}
	}
	p.stop()
}

// TestStoreOutage locks the store of a running server by another program, and unlocks
// it again.
func TestStoreOutage(t *testing.T) {
	t.Parallel()
	i := install(t, func(i *installation) { i.limitLines = "request_timeout = \"1s\"\ndrain_delay = \"-1s\"" })
	p := i.serve()
	i.retriesUntilToken()
	db, err := sql.Open("sqlite", i.store())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	thief, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := thief.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		a := i.token(i.bySecret())
		if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || !strings.Contains(a.body, "temporarily_unavailable") {
			t.Errorf("without a store: %d %v %s", a.status, a.header, a.body)
		}
	}
	if a := i.gets(i.address, "/readyz", http.StatusServiceUnavailable); a.body != "not ready: the store takes no writes\n" {
		t.Errorf("/readyz tells %q", a.body)
	}
	for range 3 {
		i.get(i.address, "/readyz")
	}
	if a := i.get(i.admin, "/metrics"); !strings.Contains(a.body, "moneyer_store_up 0") {
		t.Error("the metrics tell nothing of it")
	}
	for _, path := range []string{"/healthz", "/plain/.well-known/jwks.json"} {
		if a := i.get(i.address, path); a.status != http.StatusOK {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	if _, err := thief.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	i.gets(i.address, "/readyz", http.StatusOK)
	i.retriesUntilToken()
	p.stop()
	p.says(1, `"this does not work for now","what":"write to the store"`)
	p.says(1, `"this works again","what":"write to the store"`)
}
