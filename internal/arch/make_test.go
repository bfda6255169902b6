package arch

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestMakeHelp: `make help` lists every target with what it does, and `make` alone starts the sandbox.
func TestMakeHelp(t *testing.T) {
	makefile := read(t, "../../Makefile")
	out, err := exec.CommandContext(t.Context(), "make", "-s", "-C", "../..", "help").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	targets := regexp.MustCompile(`(?m)^([a-z][a-z-]*):(.*)$`).FindAllStringSubmatch(makefile, -1)
	if len(targets) < 10 || targets[0][1] != "run" {
		t.Errorf("the first target is %q, of %d", targets[0][1], len(targets))
	}
	for _, target := range targets {
		_, does, _ := strings.Cut(target[2], "## ")
		if line := regexp.MustCompile(`(?m)^ +` + target[1] + ` +(.*)$`).FindStringSubmatch(string(out)); does == "" || line == nil || line[1] != does {
			t.Errorf("make help on %s: %q", target[1], line)
		}
		if !regexp.MustCompile(`(?m)^\.PHONY:.* ` + target[1] + `( |$)`).MatchString(makefile) {
			t.Errorf("%s is not .PHONY", target[1])
		}
	}
}

// TestDockerIgnore: the image is built from everything that it needs, and not from keys.
func TestDockerIgnore(t *testing.T) {
	ignore := read(t, "../../.dockerignore")
	out, err := exec.CommandContext(t.Context(), "go", "list", "-C", "../..", "-deps", "./cmd/moneyer").Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.Lines(string(out)) {
		if name, ours := strings.CutPrefix(strings.TrimSpace(name), "moneyer/"); ours {
			top, _, _ := strings.Cut(name, "/")
			if !strings.Contains(ignore, "\n!"+top+"\n") {
				t.Errorf(".dockerignore leaves out %s", name)
			}
		}
	}
	if !strings.Contains(ignore, "\n*\n") {
		t.Error(".dockerignore does not begin with nothing")
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestHasOpenSSL: make build takes OpenSSL where a C compiler, the headers of OpenSSL 3 and the library
// are, and says what is missing otherwise.
func TestHasOpenSSL(t *testing.T) {
	for name, row := range map[string]struct{ compiler, want string }{
		"no compiler": {"", "C compiler"},
		"no headers":  {"#!/bin/sh\nexit 1\n", "headers of OpenSSL 3"},
		"all":         {"#!/bin/sh\ngrep -q openssl/evp.h\n", ""},
	} {
		compiler := filepath.Join(t.TempDir(), "compiler")
		if row.compiler != "" {
			if err := os.WriteFile(compiler, []byte(row.compiler), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		script := exec.CommandContext(t.Context(), "../../has-openssl.sh")
		script.Env = append(os.Environ(), "CC="+compiler)
		said, err := script.CombinedOutput()
		if (err == nil) != (row.want == "") || !strings.Contains(string(said), row.want) {
			t.Errorf("%s: %v, %s", name, err, said)
		}
	}
}
