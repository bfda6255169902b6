package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"moneyer/internal/agent"
)

// requireProgram skips the test without a program, or fails it if
// MONEYER_REQUIRE_ALL=1.
func requireProgram(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err == nil {
		return
	}
	if os.Getenv("MONEYER_REQUIRE_ALL") == "1" {
		t.Fatalf("%s is missing (MONEYER_REQUIRE_ALL=1 requires every program)", name)
	}
	t.Skipf("%s is missing", name)
}

func putFile(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// processOutput is what a process writes, while it does.
type processOutput struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *processOutput) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *processOutput) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// process is a moneyer that runs until the test ends.
type process struct {
	cmd *exec.Cmd
	out processOutput
	end chan error
}

func startMoneyer(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command("moneyer", args...), end: make(chan error, 1)}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, &p.out, &p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { p.end <- p.cmd.Wait(); close(done) }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-done
	})
	return p
}

// await waits for what the process does.
func (p *process) await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case err := <-p.end:
			t.Fatalf("it ended with %v:\n%s", err, &p.out)
		case <-limit:
			t.Fatalf("not so: %s\n%s", what, &p.out)
		}
	}
}

func (p *process) awaitLog(t *testing.T, text string) {
	t.Helper()
	p.await(t, "it says "+text, func() bool { return strings.Contains(p.out.String(), text) })
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// sandboxForAgent runs a sandbox in dir and returns its address.
func sandboxForAgent(t *testing.T, dir string) string {
	t.Helper()
	address := freeAddress(t)
	p := startMoneyer(t, dir, "sandbox", "--listen", address, "--admin-listen", freeAddress(t))
	p.awaitLog(t, "sandbox is ready")
	return address
}

// An agent with the real server: by an assertion and by an API key, on a socket
// and through a file, over a reload and a stop.
func TestAgentWithSandbox(t *testing.T) {
	requireProgram(t, "curl")
	dir := t.TempDir()
	address := sandboxForAgent(t, dir)
	file := filepath.Join(dir, "agent.toml")
	config := fmt.Sprintf(`listen = "unix:a.sock"
[tokens.d1]
profile = "thales-d1"
issuer = "http://%[1]s/d1/authz/v1"
client = "demo-gtw01"
key_file = "sandbox/partners/d1.pem"
kid = "demo-1"
audience = "stg"
[tokens.etp]
profile = "thales-etp"
issuer = "http://%[1]s/tsh-cof"
api_key_file = "sandbox/partners/etp.secret"
scope = "PAYMENT_PASSKEY"
params = { merchantId = "demo-merchant", tokens = ["demo-visa-1"] }
[upstreams.d1]
path = "/d1/"
url = "http://%[1]s/d1/authz/v1/demo"
token = "d1"
[files.etp]
path = "etp.token"
token = "etp"
`, address)
	putFile(t, file, config)
	p := startMoneyer(t, dir, "agent", "--config", file)
	p.awaitLog(t, "wrote the token file")

	who := func(args ...string) map[string]any {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "curl", append([]string{"-sS"}, args...)...).CombinedOutput()
		var claims map[string]any
		if err != nil || json.Unmarshal(out, &claims) != nil {
			t.Fatalf("%v: %s\n%s", err, out, &p.out)
		}
		return claims
	}
	socket := filepath.Join(dir, "a.sock")
	if got := who("--unix-socket", socket, "http://localhost/d1/whoami"); got["sub"] != "demo-gtw01" || got["scope"] != "d1-s2s:api:merchant-gtw" {
		t.Errorf("d1 takes us for %v", got)
	}
	token, err := os.ReadFile(filepath.Join(dir, "etp.token"))
	if err != nil {
		t.Fatal(err)
	}
	if got := who("-H", "Authorization: Bearer "+string(token), "http://"+address+"/tsh-cof/demo/whoami"); got["sub"] != "demo-merchant" {
		t.Errorf("etp takes us for %v", got)
	}

	putFile(t, file, config+"[upstreams.etp]\npath = \"/etp/\"\nurl = \"http://"+address+"/tsh-cof/demo\"\ntoken = \"etp\"\n")
	p.signal(t, syscall.SIGHUP)
	p.awaitLog(t, `"msg":"reloaded"`)
	if got := who("--unix-socket", socket, "http://localhost/etp/whoami"); got["sub"] != "demo-merchant" {
		t.Errorf("etp takes us for %v", got)
	}
	putFile(t, file, "listn = 1\n")
	p.signal(t, syscall.SIGHUP)
	p.awaitLog(t, "reload refused")
	who("--unix-socket", socket, "http://localhost/etp/whoami")

	p.signal(t, syscall.SIGTERM)
	if err := <-p.end; err != nil {
		t.Errorf("it ended with %v:\n%s", err, &p.out)
	}
	if _, err := os.Lstat(socket); err == nil {
		t.Error("the socket is still there")
	}
	if strings.Contains(p.out.String(), string(token)) {
		t.Errorf("the token is in the log:\n%s", &p.out)
	}
}

// An address in use is a failure of the machine, not wrong usage.
func TestAgentCannotListen(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := t.TempDir()
	putFile(t, filepath.Join(dir, "shop.secret"), "s")
	putFile(t, filepath.Join(dir, "agent.toml"), fmt.Sprintf("listen = %q\n[tokens.a]\nprofile = \"boltpay\"\nissuer = \"https://bolt.example\"\n"+
		"client = \"shop\"\nsecret_file = \"shop.secret\"\n[files.a]\npath = \"a\"\ntoken = \"a\"\n", l.Addr()))
	a := &app{out: new(bytes.Buffer), err: new(bytes.Buffer), now: time.Now}
	if code := a.run(t.Context(), []string{"agent", "--config", filepath.Join(dir, "agent.toml")}); code != exitUnavailable {
		t.Errorf("exit code %d", code)
	}
}

// The example of the help is a configuration that is taken.
func TestAgentExample(t *testing.T) {
	dir := t.TempDir()
	certificate, _ := certificateFile(t)
	_, toml, found := strings.Cut(agentExample, "# agent.toml\n")
	if !found {
		t.Fatal("the help has no agent.toml")
	}
	toml = strings.NewReplacer(`"/run/moneyer/etp.token"`, `"etp.token"`, `"/run/moneyer/shop.token"`, `"shop.token"`,
		`"shop.crt"`, strconv.Quote(certificate), `"shop.key"`, strconv.Quote(certificate)).Replace(toml)
	putFile(t, filepath.Join(dir, "agent.toml"), toml)
	putFile(t, filepath.Join(dir, "etp.key"), "key")
	a := &app{out: new(bytes.Buffer), err: new(bytes.Buffer), now: time.Now}
	if code := a.run(t.Context(), []string{"keygen", "--out", filepath.Join(dir, "d1.pem")}); code != exitOK {
		t.Fatal(a.err)
	}
	if _, err := agent.Load(filepath.Join(dir, "agent.toml")); err != nil {
		t.Error(err)
	}
}

var shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")

// Every command of the agent's page does what the page says.
func TestAgentPage(t *testing.T) {
	for _, name := range []string{"bash", "curl", "/usr/bin/python3", "node"} {
		requireProgram(t, name)
	}
	page, err := os.ReadFile("../../docs/agent.md")
	if err != nil {
		t.Fatal(err)
	}
	script := "set -eu\ntrap 'kill $(jobs -p); wait' EXIT\n"
	for _, block := range shellBlock.FindAllStringSubmatch(string(page), -1) {
		script += block[1]
	}
	for _, address := range []string{"127.0.0.1:8080", "127.0.0.1:8081", "127.0.0.1:7070"} {
		script = strings.ReplaceAll(script, address, freeAddress(t))
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
	cmd.Dir = t.TempDir()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		log, _ := os.ReadFile(filepath.Join(cmd.Dir, "agent.log"))
		t.Fatalf("%v\n%s\n%s\n%s", err, &stdout, &stderr, log)
	}
	for want, times := range map[string]int{"agent.toml is good": 1, `"client_id":"demo-gtw01"`: 4, `"sub":"demo-merchant"`: 1, `"ready":true`: 8} {
		if n := strings.Count(stdout.String(), want); n != times {
			t.Errorf("%s is there %d times, want %d:\n%s", want, n, times, &stdout)
		}
	}
}
