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

// What the three agree on. The lifetime is in whole seconds, as a configuration
// wants it; the leeway covers that exp is, too, while expires_in counts from the
// moment of asking.
const (
	lifetime = 4 * time.Second
	leeway   = time.Second
	interval = 500 * time.Millisecond // of the API's polls
	maxStale = 4 * time.Second        // of the API's revocation list
	audience = "https://api.example.com"
	patience = 2 * time.Minute // for anything that is waited for
)

// role is what a process that is the test binary shall be. It stands in the
// environment as JSON, under roleVariable.
type role struct {
	Name   string // "api" or "partner"
	Issuer string
	API    string // for the partner
}

const roleVariable = "MONEYER_WHOLELIFE_ROLE"

// binary is the built command.
var binary string

func TestMain(m *testing.M) {
	// A program with the race detector sleeps for a second when it ends.
	err := os.Setenv("GORACE", strings.TrimSpace(os.Getenv("GORACE")+" atexit_sleep_ms=0"))
	code := 0
	if text := os.Getenv(roleVariable); text != "" {
		err = errors.Join(err, play(text))
	} else if err == nil {
		code, err = runAll(m)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "wholelife:", err)
		code = 1
	}
	os.Exit(code)
}

// play is a child process.
func play(text string) error {
	var r role
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return err
	}
	told := &teller{out: json.NewEncoder(os.Stdout)}
	if r.Name == "api" {
		return runAPI(r, told)
	}
	return runPartner(r, told)
}

// runAll builds the command, with the race detector when the tests have it, and
// runs the tests.
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
