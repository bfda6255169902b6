package interop

import (
	"cmp"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// line is a proxy between the tested proxies and a Moneyer whose issuers have its address in their
// URLs. It can be cut, and another handler can answer in place of the issuer.
type line struct {
	address string // of plain HTTP
	target  *url.URL
	plain   *httptest.Server
	tls     *httptest.Server
	ca      string // a PEM file
	// standIn answers instead of the issuer, if set.
	standIn atomic.Pointer[http.HandlerFunc]

	mu    sync.Mutex
	asked []http.Header // of /check
	dials int
}

func newLine(t *testing.T, target string) *line {
	t.Helper()
	l := &line{ca: filepath.Join(openDir(t), "ca.pem")}
	var err error
	if l.target, err = url.Parse(target); err != nil {
		t.Fatal(err)
	}
	l.tls = httptest.NewTLSServer(http.HandlerFunc(l.serve))
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: l.tls.Certificate().Raw})
	if err := os.WriteFile(l.ca, cert, 0o644); err != nil {
		t.Fatal(err)
	}
	l.restore(t)
	t.Cleanup(func() {
		l.cut()
		l.tls.Close()
	})
	return l
}

// cut refuses all connections.
func (l *line) cut() {
	l.plain.CloseClientConnections()
	l.plain.Close()
}

// restore listens again, on the same address.
func (l *line) restore(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", cmp.Or(l.address, quietAddress(t)))
	if err != nil {
		t.Fatal(err)
	}
	l.address = listener.Addr().String()
	l.plain = httptest.NewUnstartedServer(http.HandlerFunc(l.serve))
	l.plain.Listener.Close()
	l.plain.Listener = listener
	l.plain.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.dials++
		}
	}
	l.plain.Start()
}

func (l *line) serve(w http.ResponseWriter, r *http.Request) {
	if strings.Contains(r.URL.Path, "/check") {
		l.mu.Lock()
		l.asked = append(l.asked, r.Header.Clone())
		l.mu.Unlock()
	}
	if h := l.standIn.Load(); h != nil {
		(*h)(w, r)
		return
	}
	(&httputil.ReverseProxy{Rewrite: func(pr *httputil.ProxyRequest) {
		pr.SetURL(l.target)
		pr.Out.Host = pr.In.Host
		pr.Out.Header["X-Forwarded-For"] = pr.In.Header["X-Forwarded-For"]
	}}).ServeHTTP(w, r)
}

// since returns the requests and the number of new connections since its last call.
func (l *line) since() (asked []http.Header, dials int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	asked, dials = l.asked, l.dials
	l.asked, l.dials = nil, 0
	return asked, dials
}

// startBehind starts a Moneyer behind a line, with its demo partners and an expired token for each
// of their issuers.
func startBehind(t *testing.T, issuers ...issuer) (s *sandbox, l *line, expired map[issuer]string) {
	t.Helper()
	s = &sandbox{binary: moneyer.binary, dir: filepath.Join(t.TempDir(), "sandbox"), log: &logBuffer{}}
	address := quietAddress(t)
	own := "http://" + address
	l = newLine(t, own)
	s.again(t, "--listen", address, "--admin-listen", quietAddress(t))
	file := filepath.Join(s.dir, "moneyer.toml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	config := strings.ReplaceAll(string(text), `url = "`+own+"/", `url = "http://`+l.address+"/")
	write := func(config string) {
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(strings.ReplaceAll(config, `environment = "sandbox"`, "environment = \"sandbox\"\ntoken_lifetime = \"1s\""))
	s.again(t)
	expired = map[issuer]string{}
	for _, i := range issuers {
		expired[i] = s.minted(t, i)
	}
	write(config)
	s.again(t)
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
	return s, l, expired
}

// again starts the sandbox, after stopping it if it runs.
func (s *sandbox) again(t *testing.T, flags ...string) {
	t.Helper()
	if s.cmd != nil {
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
	}
	s.exited, s.demos = make(chan error, 1), nil
	s.cmd = exec.Command(s.binary, append([]string{"sandbox", "--dir", s.dir, "--json"}, flags...)...)
	s.cmd.Stderr = s.log
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	err = json.NewDecoder(stdout).Decode(&s.demos) // fails if it has exited
	go func() { s.exited <- s.cmd.Wait() }()
	if err != nil {
		t.Fatalf("the sandbox: %v\n%s", err, s.log)
	}
}

func (s *sandbox) demo(t *testing.T, i issuer) demo {
	t.Helper()
	for _, d := range s.demos {
		if d.Profile == profiles[i] {
			return d
		}
	}
	t.Fatalf("the sandbox serves no %s", i)
	return demo{}
}

// minted gets a token for the demo partner.
func (s *sandbox) minted(t *testing.T, i issuer) string {
	t.Helper()
	out := program(t, nil, "bash", "-c", s.demo(t, i).Token)
	var got struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(out, &got); err != nil || got.AccessToken == "" {
		t.Fatalf("%s: %v\n%s", i, err, out)
	}
	return got.AccessToken
}

// revoke revokes a token as its client (RFC 7009).
func (s *sandbox) revoke(t *testing.T, i issuer, token string) {
	t.Helper()
	issuer, partners := s.demo(t, i).Issuer, filepath.Join(s.dir, "partners")
	form := url.Values{"token": {token}}
	if i == boltpay {
		secret, err := os.ReadFile(filepath.Join(partners, "boltpay.secret"))
		if err != nil {
			t.Fatal(err)
		}
		form.Set("client_id", "demo-gtw01")
		form.Set("client_secret", strings.TrimSpace(string(secret)))
	} else {
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", strings.TrimSpace(string(program(t, nil, s.binary, "assert", "--client-auth", "--profile", "oauth2",
			"--issuer", issuer, "--client", "demo-gtw01", "--key", filepath.Join(partners, string(i)+".pem"), "--kid", "demo-1"))))
	}
	resp, err := http.PostForm(issuer+"/revoke", form)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		t.Fatalf("revoke: %s: %s", resp.Status, body)
	}
}

// api is the API behind the proxies. It records requests; under /says/STATUS it responds with that
// status.
type api struct {
	*httptest.Server
	calls atomic.Int64
}

// call is what the API saw of a request.
type call struct {
	Method, URI, Body string
	Header            http.Header
}

func newAPI(t *testing.T) *api {
	a := &api{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.calls.Add(1)
		body, _ := io.ReadAll(r.Body)
		status := http.StatusOK
		if _, err := fmt.Sscanf(r.URL.Path, "/says/%d", &status); err == nil {
			w.Header().Set("WWW-Authenticate", `Custom of="the API"`)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(call{r.Method, r.RequestURI, string(body), r.Header})
	}))
	t.Cleanup(a.Close)
	return a
}

// quietAddress returns an unused address that is not in the range of ephemeral ports, so that a
// server can listen on it, stop and listen again.
func quietAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		address := fmt.Sprint("127.0.0.1:", 20_000+rand.IntN(12_000))
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			return address
		}
	}
	t.Fatal("no address is free")
	return ""
}

// openDir creates a folder that everybody can read, since servers started by root change their
// user.
func openDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// daemon starts a program and waits until it listens. It is stopped after the test.
func daemon(t *testing.T, address string, name string, args ...string) *logBuffer {
	t.Helper()
	log := &logBuffer{}
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-exited:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			t.Errorf("%s does not end:\n%s", name, log)
		}
	})
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		select {
		case <-exited:
			t.Fatalf("%s does not run:\n%s", name, log)
		default:
		}
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			return log
		}
	}
	t.Fatalf("%s does not listen:\n%s", name, log)
	return nil
}
