package wholelife

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Settings that all three share. The lifetime is in whole seconds, as the configuration requires;
// the leeway allows for exp being in whole seconds, while expires_in counts from the request.
const (
	lifetime    = 4 * time.Second
	leeway      = time.Second
	interval    = 500 * time.Millisecond // polling interval of the API
	maxStale    = 4 * time.Second        // maximum age of the API's revocation list
	audience    = "https://api.example.com"
	waitTimeout = 2 * time.Minute // timeout for anything that is waited for
)

// role describes a process that is the test binary. It is passed as JSON in the environment
// variable roleVariable.
type role struct {
	Name   string // "api" or "partner"
	Issuer string
	API    string // for the partner
}

const roleVariable = "MONEYER_WHOLELIFE_ROLE"

// binary is the built command.
var binary string

func TestMain(m *testing.M) {
	// a program with the race detector sleeps for a second when it exits
	err := os.Setenv("GORACE", strings.TrimSpace(os.Getenv("GORACE")+" atexit_sleep_ms=0"))
	code := 0
	if text := os.Getenv(roleVariable); text != "" {
		err = errors.Join(err, runRole(text))
	} else if err == nil {
		code, err = runAll(m)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "wholelife:", err)
		code = 1
	}
	os.Exit(code)
}

// runRole runs a child process.
func runRole(text string) error {
	var r role
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return err
	}
	out := &reporter{out: json.NewEncoder(os.Stdout)}
	if r.Name == "api" {
		return runAPI(r, out)
	}
	return runPartner(r, out)
}

// runAll builds the command, with the race detector if the tests have it, and runs the tests.
func runAll(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "moneyer-wholelife-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "moneyer")
	args := append([]string{"build"}, buildFlags...)
	if out, err := exec.Command("go", append(args, "-o", binary, "moneyer/cmd/moneyer")...).CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build moneyer: %w\n%s", err, out)
	}
	return m.Run(), nil
}
