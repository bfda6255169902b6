package interop

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// python is Debian's own, which the python3-* packages belong to; another python earlier in PATH
// does not have them.
const python = "/usr/bin/python3"

// missing skips a test whose counterpart is not installed, or fails it if all are required.
func missing(t *testing.T, what, install string) {
	t.Helper()
	if os.Getenv("MONEYER_REQUIRE_ALL") == "1" {
		t.Fatalf("%s is missing: %s (MONEYER_REQUIRE_ALL=1 wants every counterpart)", what, install)
	}
	t.Skipf("%s is missing: %s", what, install)
}

// needProgram requires a program in PATH.
func needProgram(name string) func(*testing.T) {
	return func(t *testing.T) {
		t.Helper()
		if _, err := exec.LookPath(name); err != nil {
			missing(t, name, "apt-get install "+name)
		}
	}
}

// needNode requires a package in node/node_modules.
func needNode(name string) func(*testing.T) {
	return func(t *testing.T) {
		t.Helper()
		if _, err := exec.LookPath("node"); err != nil {
			missing(t, "node", "apt-get install nodejs npm")
		}
		text, err := os.ReadFile(filepath.Join("node", "node_modules", name, "package.json"))
		if err != nil {
			missing(t, "npm's "+name, "npm ci --prefix interop/node")
		}
		var manifest struct{ Version string }
		if err := json.Unmarshal(text, &manifest); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s %s", name, manifest.Version)
	}
}

// needPython requires a module of Debian's python.
func needPython(module, packages string) func(*testing.T) {
	return func(t *testing.T) {
		t.Helper()
		script := "import sys, importlib.metadata as m\nfor name in sys.argv[1:]: __import__(name); print(name, m.version(name))"
		args := append([]string{"-c", script}, strings.Fields(module)...)
		out, _, err := tryProgram(t.Context(), nil, python, args...)
		if err != nil {
			missing(t, "python's "+module, "apt-get install "+packages)
		}
		t.Logf("%s", strings.TrimSpace(string(out)))
	}
}

func needNothing(*testing.T) {}

// askNode passes work as JSON to a script of node/ and parses the result.
func askNode(t *testing.T, script, library string, work, answer any) {
	t.Helper()
	askScript(t, work, answer, "node", filepath.Join("node", script), library)
}

// askPython passes work as JSON to a script of python/ and parses the result.
func askPython(t *testing.T, script, library string, work, answer any) {
	t.Helper()
	askScript(t, work, answer, python, "-B", filepath.Join("python", script), library)
}

func askScript(t *testing.T, work, answer any, command ...string) {
	t.Helper()
	input, err := json.Marshal(work)
	if err != nil {
		t.Fatal(err)
	}
	out := program(t, input, command[0], command[1:]...)
	if err := json.Unmarshal(out, answer); err != nil {
		t.Fatalf("%s answers no JSON: %v\n%s", strings.Join(command, " "), err, out)
	}
}
