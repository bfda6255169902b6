package wholelife

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"moneyer/assertion"
	"moneyer/internal/adminapi"
	"moneyer/internal/ledger"
	"moneyer/oauth"
	"moneyer/tokensource"
)

// configuration of the server. Its listeners use any free port: callers and operators connect
// through a network each.
const configuration = `store = "sqlite:moneyer.db"
master_key = "file:master.key"

[listen]
address = "127.0.0.1:0"

[admin]
address = "localhost:0"
url = %q

[limits]
drain_delay = "0s"

[issuers.d1]
url = %q
profile = "thales-d1"
resource_audience = %q
token_lifetime = %q
`

// server is `moneyer serve`, started repeatedly in one folder.
type server struct {
	dir, issuer     string
	public, private *network // the networks in front of it

	run *running
}

// running is one process of the server.
type running struct {
	cmd    *exec.Cmd
	opened chan serving // receives the addresses when it serves
	log    bytes.Buffer // its output; read it only when it has ended
	ended  chan error
}

// serving is the log line with the addresses.
type serving struct {
	Msg     string `json:"msg"`
	Address string `json:"address"`
	Admin   string `json:"admin"`
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{dir: t.TempDir(), public: newNetwork(t), private: newNetwork(t)}
	s.issuer = s.public.url() + "/d1/authz/v1"
	text := fmt.Sprintf(configuration, s.private.url(), s.issuer, audience, lifetime)
	if err := os.WriteFile(s.path("moneyer.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.command(t, "init", "--dir", s.dir)
	t.Cleanup(func() {
		if s.run != nil {
			_ = s.run.cmd.Process.Kill()
			<-s.run.ended
		}
		if t.Failed() {
			t.Logf("the end of the server's log:\n%s", s.lastWords())
		}
	})
	return s
}

func (s *server) path(name string) string { return filepath.Join(s.dir, name) }

// command runs a moneyer command and returns its standard output.
func (s *server) command(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env = append(os.Environ(), "MONEYER_ADMIN="+s.path("moneyer-admin.json"))
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("moneyer %v: %v, %+v", args, err, err)
	}
	return out
}

// start starts the server and waits until it serves.
func (s *server) start(t *testing.T) {
	t.Helper()
	r := &running{cmd: exec.Command(binary, "serve", "--config", s.path("moneyer.toml")), opened: make(chan serving, 1), ended: make(chan error, 1)}
	stderr, err := r.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.run = r
	go func() {
		r.listen(stderr)
		r.ended <- r.cmd.Wait()
	}()
	select {
	case at := <-r.opened:
		s.public.redirect(at.Address)
		s.private.redirect(at.Admin)
	case err := <-r.ended:
		r.ended <- err
		t.Fatalf("the server ended before it answered: %v", err)
	case <-time.After(waitTimeout):
		t.Fatal("the server does not answer")
	}
}

// listen reads the server's log.
func (r *running) listen(stderr io.Reader) {
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		r.log.Write(append(lines.Bytes(), '\n'))
		var said serving
		if json.Unmarshal(lines.Bytes(), &said) == nil && said.Msg == "serving" {
			r.opened <- said
		}
	}
}

// stop ends the server with a signal and returns its exit error.
func (s *server) stop(t *testing.T, signal syscall.Signal) error {
	t.Helper()
	if err := s.run.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-s.run.ended:
		s.run.ended <- err
		return err
	case <-time.After(waitTimeout):
		t.Fatalf("the server does not stop on %v", signal)
		return nil
	}
}

func (s *server) lastWords() []byte {
	if s.run == nil {
		return nil
	}
	said := s.run.log.Bytes()
	return said[max(0, len(said)-4000):]
}

// operator uses the admin API of the issuer.
type operator struct {
	t    *testing.T
	url  string
	http *http.Client
}

func newOperator(t *testing.T, s *server) *operator {
	t.Helper()
	var file struct {
		URL, Issuer, Kid string
		ClientID         string `json:"client_id"`
		PrivateKey       string `json:"private_key"`
	}
	text, err := os.ReadFile(s.path("moneyer-admin.json"))
	if err == nil {
		err = json.Unmarshal(text, &file)
	}
	if err != nil {
		t.Fatal(err)
	}
	key, err := assertion.ParseKey([]byte(file.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	// Each request has its own connection, so that none is left from a killed server.
	alone := &http.Transport{DisableKeepAlives: true}
	source := &tokensource.Source{Issuer: file.Issuer, HTTPClient: &http.Client{Transport: alone},
		Credential: tokensource.Credential{ClientID: file.ClientID, Key: key, Kid: file.Kid, Grant: oauth.JWTBearer}}
	return &operator{t: t, url: file.URL + adminapi.Prefix + "/issuers/d1/",
		http: &http.Client{Transport: &tokensource.Transport{Source: source, Base: alone}, Timeout: waitTimeout}}
}

// do makes a change and returns when the server has acknowledged it. It returns the kid in the
// response, if there is one.
func (o *operator) do(method, path string, body map[string]any) (kid string) {
	o.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		o.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(o.t.Context(), method, o.url+path, bytes.NewReader(text))
	if err != nil {
		o.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := o.http.Do(req)
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode > 299 {
		o.t.Fatalf("%s %s: %s %s, %v", method, path, resp.Status, answer, err)
	}
	var made struct{ Kid string }
	if len(answer) > 0 {
		err = json.Unmarshal(answer, &made)
	}
	if err != nil {
		o.t.Fatal(err)
	}
	return made.Kid
}

// ledger exports the tokens in the ledger and verifies its chain.
func (s *server) ledger(t *testing.T) []ledger.Entry {
	t.Helper()
	var entries []ledger.Entry
	lines := bytes.SplitSeq(bytes.TrimSpace(s.command(t, "ledger", "export", "--kind", "token", "--issuer", "d1")), []byte("\n"))
	for line := range lines {
		record, err := ledger.ParseRecord(line)
		if err != nil {
			t.Fatal(err)
		}
		e, err := record.Entry()
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, *e)
	}
	s.command(t, "ledger", "verify")
	return entries
}

// quit stops the server gracefully.
func (s *server) quit(t *testing.T) {
	t.Helper()
	if err := s.stop(t, syscall.SIGTERM); err != nil {
		t.Errorf("the server ended with %v", err)
	}
}
