package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// moneyer is the sandbox that the tests use.
var moneyer *sandbox

func TestMain(m *testing.M) {
	code, err := runAll(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		code = 1
	}
	os.Exit(code)
}

func runAll(m *testing.M) (code int, err error) {
	if err := setEnvironment(); err != nil {
		return 1, err
	}
	dir, err := os.MkdirTemp("", "moneyer-interop-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	s, err := startSandbox(dir)
	if err != nil {
		return 1, err
	}
	moneyer = s
	if code = m.Run(); code != 0 {
		fmt.Fprintf(os.Stderr, "log of the sandbox:\n%s", s.log)
	}
	return code, s.stop()
}

// setEnvironment sets the environment of all started programs.
func setEnvironment() error {
	return errors.Join(
		// A program with the race detector sleeps for a second when it exits.
		os.Setenv("GORACE", strings.TrimSpace(os.Getenv("GORACE")+" atexit_sleep_ms=0")),
		// Debian installs haproxy outside of users' PATH.
		os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin"),
	)
}

// sandbox is a running `moneyer sandbox`.
type sandbox struct {
	binary string
	dir    string
	demos  []demo
	cmd    *exec.Cmd
	log    *logBuffer
	exited chan error
}

// demo is what the sandbox prints about one platform.
type demo struct {
	Profile, Issuer, Token, Check string
}

// startSandbox builds the command, with the race detector if the tests have it, and starts it.
func startSandbox(dir string) (*sandbox, error) {
	s := &sandbox{binary: filepath.Join(dir, "moneyer"), dir: filepath.Join(dir, "sandbox"), log: &logBuffer{}, exited: make(chan error, 1)}
	args := append([]string{"build", "-C", ".."}, buildFlags...)
	if out, err := exec.Command("go", append(args, "-o", s.binary, "./cmd/moneyer")...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build moneyer: %w\n%s", err, out)
	}
	ports := freePorts(2)
	s.cmd = exec.Command(s.binary, "sandbox", "--dir", s.dir, "--json",
		"--listen", "127.0.0.1:"+ports[0], "--admin-listen", "127.0.0.1:"+ports[1])
	s.cmd.Stderr = s.log
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	told := make(chan error, 1)
	go func() { told <- json.NewDecoder(stdout).Decode(&s.demos) }()
	select {
	case err = <-told:
	case <-time.After(30 * time.Second):
		err = errors.New("no output for 30 seconds")
	}
	go func() { s.exited <- s.cmd.Wait() }()
	if err == nil {
		err = s.ready()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the sandbox: %w", err), s.stop())
	}
	return s, nil
}

func (s *sandbox) ready() error {
	if len(s.demos) == 0 {
		return errors.New("it serves no platform")
	}
	host, _, _ := bytes.Cut([]byte(s.demos[0].Issuer[len("http://"):]), []byte("/"))
	resp, err := http.Get("http://" + string(host) + "/readyz")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("/readyz says %s", resp.Status)
	}
	return nil
}

// stop stops the sandbox. It must exit successfully, which the race detector prevents if it found
// something.
func (s *sandbox) stop() error {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-s.exited:
		if err != nil {
			return fmt.Errorf("the sandbox ended with %w; its log:\n%s", err, s.log)
		}
		return nil
	case <-time.After(20 * time.Second):
		_ = s.cmd.Process.Kill()
		return fmt.Errorf("the sandbox did not stop; its log:\n%s", s.log)
	}
}

// freePorts returns different unused ports.
func freePorts(n int) (ports []string) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		defer l.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		ports = append(ports, port)
	}
	return ports
}

// logBuffer collects the output of a program for concurrent readers.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// program runs a program and returns its standard output.
func program(t *testing.T, stdin []byte, name string, args ...string) []byte {
	t.Helper()
	out, stderr, err := tryProgram(t.Context(), stdin, name, args...)
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", filepath.Base(name), err, out, stderr)
	}
	return out
}

func tryProgram(ctx context.Context, stdin []byte, name string, args ...string) (stdout, stderr []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var out, complaint bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &out, &complaint
	err = cmd.Run()
	return out.Bytes(), complaint.Bytes(), err
}
