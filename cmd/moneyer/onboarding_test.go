package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"moneyer/internal/adminclient"
	"moneyer/internal/daemon"
	"moneyer/internal/sandbox"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestOnboardingScripts runs testdata/script/onboard/*.txtar as TestScripts does,
// each with a sandbox of its own, whose admin file is $MONEYER_ADMIN and whose
// platforms answer at $SANDBOX, and whose log is sandbox.log.
func TestOnboardingScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script", "onboard"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			return startSandbox(env, nil)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "capture": capture},
	})
}

// capture sets a variable to a member of the JSON object that was printed last:
// capture NAME MEMBER.
func capture(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: capture NAME MEMBER")
	}
	var members map[string]any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &members))
	text, ok := members[args[1]].(string)
	if !ok {
		ts.Fatalf("%s is no string", args[1])
	}
	ts.Setenv(args[0], text)
}

// startSandbox runs a sandbox until the script is over. edit, if not nil, changes its
// configuration.
func startSandbox(env *testscript.Env, edit func(configuration string) string) error {
	public, err1 := unusedAddress()
	private, err2 := unusedAddress()
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	dir := filepath.Join(env.WorkDir, "sandbox")
	if edit != nil {
		text := edit(sandbox.Configuration(public, private))
		if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, daemon.ConfigFile), []byte(text), 0o600)); err != nil {
			return err
		}
	}
	server := exec.Command("moneyer", "sandbox", "--dir", dir, "--listen", public, "--admin-listen", private)
	log, err := os.Create(filepath.Join(env.WorkDir, "sandbox.log"))
	if err != nil {
		return err
	}
	env.Defer(func() { _ = log.Close() })
	server.Stderr = log
	out, err := server.StdoutPipe()
	if err != nil {
		return err
	}
	if err := server.Start(); err != nil {
		return err
	}
	env.Defer(func() {
		_ = server.Process.Signal(os.Interrupt)
		_ = server.Wait()
	})
	env.Setenv("MONEYER_ADMIN", filepath.Join(dir, adminclient.DefaultFile))
	env.Setenv("SANDBOX", "http://"+public)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "sandbox is ready") {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return nil
		}
	}
	said, err := os.ReadFile(log.Name())
	return errors.Join(fmt.Errorf("the sandbox ended before it was ready; it said:\n%s", said), err)
}

func unusedAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func TestParseMoment(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 5, time.UTC)
	for text, want := range map[string]time.Time{
		"":                          {},
		"never":                     {},
		"2026-12-31":                time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC),
		"2026-12-31T01:00:00+02:00": time.Date(2026, 12, 30, 23, 0, 0, 0, time.UTC),
		"90d":                       time.Date(2027, 2, 21, 12, 0, 0, 0, time.UTC),
		"1h30m":                     time.Date(2026, 11, 23, 13, 30, 0, 0, time.UTC),
		"-1d":                       time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC),
		"0s":                        time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC),
	} {
		if got, err := parseMoment("until", text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q is %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"tomorrow", "d", "9", "90days", "99999999999d", "2026-13-01"} {
		if got, err := parseMoment("until", text, now); err == nil {
			t.Errorf("%q is %s", text, got)
		}
	}
}
