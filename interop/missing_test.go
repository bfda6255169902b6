package interop

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// python is Debian's own, to which its python3-* packages belong; another python
// that stands before it in PATH does not see them.
const python = "/usr/bin/python3"

// missing skips a test whose counterpart is not there, or fails it where all must
// be there.
func missing(t *testing.T, what, install string) {
	t.Helper()
	if os.Getenv("MONEYER_REQUIRE_ALL") == "1" {
		t.Fatalf("%s is missing: %s (MONEYER_REQUIRE_ALL=1 wants every counterpart)", what, install)
	}
	t.Skipf("%s is missing: %s", what, install)
}

// needProgram wants a program in PATH.
func needProgram(name string) func(*testing.T) {
	return func(t *testing.T) {
		t.Helper()
		if _, err := exec.LookPath(name); err != nil {
			missing(t, name, "apt-get install "+name)
		}
	}
}

// needNode wants a package below node/node_modules.
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

// needPython wants a module of Debian's python.
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

// askNode gives a script of node/ its work as JSON and reads the answer.
func askNode(t *testing.T, script, library string, work, answer any) {
	t.Helper()
	askScript(t, work, answer, "node", filepath.Join("node", script), library)
}

// askPython gives a script of python/ its work as JSON and reads the answer.
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
