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

// needSlow skips what is too slow for each change.
func needSlow(t *testing.T) {
	t.Helper()
	if os.Getenv("MONEYER_COUNTERPARTS") != "1" {
		t.Skip("too slow for each change: make test-counterparts")
	}
}

// needJava requires the compiled counterparts in java/target.
func needJava(t *testing.T) {
	t.Helper()
	needSlow(t)
	if _, err := os.Stat(filepath.Join("java", "target", "classes", "Work.class")); err != nil {
		missing(t, "the Java counterparts", "mvn -f interop/java/pom.xml compile")
	}
}

// needNewestPython requires the libraries of python/requirements.txt.
func needNewestPython(t *testing.T) {
	t.Helper()
	needSlow(t)
	out, _, err := tryProgram(t.Context(), nil, newestPython, "-m", "pip", "freeze")
	if err != nil {
		missing(t, "the newest Python libraries", "./test.sh counterparts")
	}
	t.Logf("%s", out)
}

// newestPython is the Python of a venv with the libraries of python/requirements.txt.
var newestPython = filepath.Join("python", "venv", "bin", "python")

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

// askNewestPython is askPython with the newest libraries.
func askNewestPython(t *testing.T, script, library string, work, answer any) {
	t.Helper()
	askScript(t, work, answer, newestPython, "-B", filepath.Join("python", script), library)
}

// askJava passes work as JSON to a class of java/ and parses the result.
func askJava(t *testing.T, class string, work, answer any) {
	t.Helper()
	target := filepath.Join("java", "target")
	libraries, err := os.ReadFile(filepath.Join(target, "classpath"))
	if err != nil {
		t.Fatal(err)
	}
	askScript(t, work, answer, "java", "-cp", filepath.Join(target, "classes")+":"+string(libraries), class)
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
