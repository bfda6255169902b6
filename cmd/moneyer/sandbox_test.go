package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"moneyer/internal/adminclient"
	"moneyer/internal/daemon"
	"moneyer/internal/sandbox"
	"moneyer/profile"
)

// sandboxFolder is a folder in which a test runs sandboxes, one after the other.
type sandboxFolder struct {
	t                   *testing.T
	dir, address, admin string
}

func newSandbox(t *testing.T, name string) *sandboxFolder {
	t.Helper()
	return &sandboxFolder{t: t, dir: filepath.Join(t.TempDir(), name), address: ownAddress(t), admin: ownAddress(t)}
}

// patient creates the folder with its default configuration, but with a
// long request_timeout, for a slow disk.
func (s *sandboxFolder) initWithLongTimeout() {
	s.t.Helper()
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		s.t.Fatal(err)
	}
	s.rewrite(strings.Replace(sandbox.Configuration(s.address, s.admin), "[limits]", "[limits]\n"+longRequestTimeout, 1))
}

// TestSandboxBusyPort: while another program has one of the ports nothing is written, so that a later
// run may have others. An existing folder names its own.
func TestSandboxBusyPort(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s := newSandbox(t, "s")
	for _, flags := range [][]string{{"--listen", taken.Addr().String(), "--admin-listen", s.admin}, {"--listen", s.address, "--admin-listen", taken.Addr().String()}} {
		code, _, stderr := runCommand(t, "", append([]string{"sandbox", "--dir", s.dir}, flags...)...)
		if code != exitUnavailable || !strings.Contains(stderr, taken.Addr().String()+" is in use by another program") || !strings.Contains(stderr, "s-9080 --listen 127.0.0.1:9080") {
			t.Errorf("%v: exit code %d: %s", flags, code, stderr)
		}
		if _, err := os.Lstat(s.dir); !os.IsNotExist(err) {
			t.Fatalf("%v: something was written: %v", flags, err)
		}
	}
	code, _, stderr := runCommand(t, "", "sandbox", "--dir", s.dir, "--listen", "nonsense", "--admin-listen", taken.Addr().String())
	if code != exitUsage || !strings.Contains(stderr, `"nonsense" is not an address`) {
		t.Errorf("an address that cannot be, beside one that is taken: exit code %d: %s", code, stderr)
	}
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s.rewrite(sandbox.Configuration(taken.Addr().String(), s.admin))
	if code, _, stderr := runCommand(t, "", "sandbox", "--dir", s.dir); code != exitUnavailable || !strings.Contains(stderr, "is in use by another program") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// start runs the sandbox and returns its demos.
func (s *sandboxFolder) start() (*program, []sandbox.Demo) {
	s.t.Helper()
	cmd := exec.Command("moneyer", "sandbox", "--json", "--dir", s.dir, "--listen", s.address, "--admin-listen", s.admin)
	cmd.Stderr = io.Discard // its log
	p := follow(s.t, cmd)
	p.await("[")
	lines := []string{"["}
	for line := ""; line != "]"; lines = append(lines, line) {
		line = p.await("")
	}
	var demos []sandbox.Demo
	if err := json.Unmarshal([]byte(strings.Join(lines, "\n")), &demos); err != nil {
		s.t.Fatal(err)
	}
	return p, demos
}

// config is the text of the sandbox's configuration.
func (s *sandboxFolder) config() string {
	return readFile(s.t, filepath.Join(s.dir, daemon.ConfigFile))
}

func (s *sandboxFolder) rewrite(text string) {
	s.t.Helper()
	replaceFile(s.t, filepath.Join(s.dir, daemon.ConfigFile), []byte(text))
}

// secrets returns the contents of the secret files, by path.
func (s *sandboxFolder) secrets() map[string]string {
	s.t.Helper()
	secrets := map[string]string{}
	for _, pattern := range []string{"master.key", adminclient.DefaultFile, "partners/*"} {
		paths, err := filepath.Glob(filepath.Join(s.dir, pattern))
		if err != nil || len(paths) == 0 {
			s.t.Fatalf("there is no %s: %v", pattern, err)
		}
		for _, path := range paths {
			secrets[strings.TrimPrefix(path, s.dir)] = readFile(s.t, path)
		}
	}
	return secrets
}

// wantShell skips the test where the printed commands cannot be run.
func requireShell(t *testing.T) {
	t.Helper()
	for _, name := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(name); err != nil {
			if os.Getenv("MONEYER_REQUIRE_ALL") != "" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}

// shell runs a command in a shell and returns the JSON that it printed.
func shell(t *testing.T, command string) map[string]any {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-c", command)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Errorf("%s\n%v\n%s", command, err, &stderr)
	}
	var members map[string]any
	if err := json.Unmarshal(out, &members); err != nil {
		t.Errorf("%s\n%v\n%s", command, err, out)
	}
	return members
}

// works runs both commands of a demo.
func works(t *testing.T, d *sandbox.Demo) {
	t.Helper()
	token, _ := shell(t, d.Token)["access_token"].(string)
	if token == "" {
		token, _ = shell(t, d.Token)["accessToken"].(string)
	}
	if claims, err := decodePart(token, 1); err != nil || claims["iss"] != d.Issuer {
		t.Errorf("%s: %s: a token that says %v, %v", d.Profile, d.Token, claims, err)
	}
	if claims := shell(t, d.Check); claims["iss"] != d.Issuer || claims["exp"] == nil {
		t.Errorf("%s: %s: %v", d.Profile, d.Check, claims)
	}
}

// TestSandboxCommands runs every command that the sandbox prints, in a folder of
// a name that a shell would not take as it is.
func TestSandboxCommands(t *testing.T) {
	t.Parallel()
	requireShell(t)
	s := newSandbox(t, "it's a $sandbox")
	s.initWithLongTimeout()
	p, demos := s.start()
	var names []string
	for _, d := range demos {
		names = append(names, d.Profile)
		works(t, &d)
	}
	if !slices.Equal(names, profile.BuiltinNames()) {
		t.Errorf("demos of %v, want %v", names, profile.BuiltinNames())
	}
	checkPrivate(t, s.dir, daemon.ConfigFile, adminclient.DefaultFile, "master.key", "partners")
	p.stop()
}

// TestSandboxSecrets: a new folder has secrets of its own and keeps them.
func TestSandboxSecrets(t *testing.T) {
	t.Parallel()
	s, other := newSandbox(t, "one"), newSandbox(t, "other")
	var firstCommands []sandbox.Demo
	first := map[string]string{}
	for start := range 2 {
		p, demos := s.start()
		p.stop()
		if start == 0 {
			first, firstCommands = s.secrets(), demos
			continue
		}
		for path, secret := range s.secrets() {
			if secret != first[path] {
				t.Errorf("%s is another one at the second start", path)
			}
		}
		if !slices.Equal(demos, firstCommands) {
			t.Error("the commands are others at the second start")
		}
	}
	p, _ := other.start()
	p.stop()
	seen := map[string]string{}
	for _, folder := range []*sandboxFolder{s, other} {
		for path, secret := range folder.secrets() {
			if seen[secret] != "" {
				t.Errorf("%s is the same as %s", path, seen[secret])
			}
			seen[secret] = path
		}
	}
}

// TestSandboxMends: removed issuers stay removed, lost files are created again,
// and the rest works.
func TestSandboxReplacesLostFiles(t *testing.T) {
	t.Parallel()
	requireShell(t)
	s := newSandbox(t, "sandbox")
	s.initWithLongTimeout()
	p, all := s.start()
	p.stop()
	section := regexp.MustCompile(`(?s)\n\[issuers\.d1\]\n.*?(\n\[)`)
	if !section.MatchString(s.config()) {
		t.Fatal("there is no issuer d1")
	}
	s.rewrite(section.ReplaceAllString(s.config(), "$1"))
	if err := os.RemoveAll(filepath.Join(s.dir, "partners")); err != nil {
		t.Fatal(err)
	}
	p, demos := s.start()
	if len(demos) != len(all)-1 {
		t.Errorf("%d demos of %d are left", len(demos), len(all))
	}
	for _, d := range demos {
		if d.Profile == "thales-d1" {
			t.Error("the issuer is back")
		}
		works(t, &d)
	}

	// A reload brings another issuer, with its demo API, and keeps those of the others.
	s.rewrite(s.config() + "\n[issuers.mine]\nurl = \"http://" + s.address + "/mine\"\nprofile = \"boltpay\"\nenvironment = \"sandbox\"\n")
	p.signal(syscall.SIGHUP)
	i := &installation{t: t, scheme: "http", client: &http.Client{Timeout: tooLong}}
	i.gets(s.address, "/mine"+sandbox.APIPath, 401)
	works(t, &demos[0])
	p.stop()
}
