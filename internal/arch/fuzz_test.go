package arch

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestFuzzScript: a run is red for an input, and not for the deadline of the go command itself. The
// go command is one that prints what a real one prints.
func TestFuzzScript(t *testing.T) {
	const deadline = "--- FAIL: FuzzOne (60.10s)\n    context deadline exceeded\nFAIL\nexit status 1\nFAIL\texample/p\t60.113s\n"
	const elapsed = "fuzz: elapsed: 0s, gathering baseline coverage: 0/12 completed\nfuzz: elapsed: 1m0s, execs: 54321 (0/sec), new interesting: 3 (total: 15)\n"
	for _, row := range []struct {
		name, prints string
		exit         int
		writes       bool // an input
		want         string
	}{
		{"passed", elapsed + "PASS\nok  \texample/p\t60.1s\n", 0, false, "green: 1 targets, 60s each"},
		{"the deadline", elapsed + deadline, 1, false, "green: 1 targets"},
		{"an input", elapsed + "--- FAIL: FuzzOne (0.10s)\n    --- FAIL: FuzzOne (0.00s)\n        p_test.go:9: wrong\n\n    Failing input written to testdata/fuzz/FuzzOne/a1\nFAIL\n", 1, true, "red: p FuzzOne"},
		{"an input beside the deadline", elapsed + deadline, 1, true, "red: p FuzzOne"},
		{"an input that is there already", "--- FAIL: FuzzOne (0.00s)\n    --- FAIL: FuzzOne/a0 (0.00s)\n        p_test.go:9: context deadline exceeded\nFAIL\n", 1, false, "red: p FuzzOne"},
		{"a target's own deadline", elapsed + "--- FAIL: FuzzOne (3.10s)\n    p_test.go:9: context deadline exceeded\nFAIL\n", 1, false, "red: p FuzzOne"},
		{"a panic at the deadline", elapsed + "panic: wrong\n" + deadline, 1, false, "red: p FuzzOne"},
		{"no build", "# example/p\np_test.go:1:1: expected 'package'\nFAIL\texample/p [setup failed]\nFAIL\n", 1, false, "red: p FuzzOne"},
		{"nothing", "", 1, false, "red: p FuzzOne"},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := t.TempDir()
			writes := ""
			if row.writes {
				writes = "echo x >p/testdata/fuzz/FuzzOne/a1\n"
			}
			put(t, filepath.Join(dir, "p", "testdata", "fuzz", "FuzzOne", "a0"), "there already")
			put(t, filepath.Join(dir, "said"), row.prints)
			put(t, filepath.Join(dir, "bin", "go"), fmt.Sprintf("#!/bin/sh\ncat said\n%sexit %d\n", writes, row.exit))
			put(t, filepath.Join(dir, "bin", "git"), "#!/bin/sh\necho 'p/p_test.go:7:func FuzzOne(f *testing.F) {'\n")
			script, err := os.ReadFile("../../fuzz.sh")
			if err != nil {
				t.Fatal(err)
			}
			put(t, filepath.Join(dir, "fuzz.sh"), string(script))
			command := exec.CommandContext(t.Context(), "bash", filepath.Join(dir, "fuzz.sh"))
			command.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"), "FUZZTIME=60s")
			out, err := command.CombinedOutput()
			if !strings.Contains(string(out), row.want) || (err == nil) != strings.HasPrefix(row.want, "green") {
				t.Errorf("%v, want %q:\n%s", err, row.want, out)
			}
		})
	}
}

// put writes an executable file and its folder.
func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}
