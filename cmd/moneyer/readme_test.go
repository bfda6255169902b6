package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReadmeCommands runs the commands of "One token from each platform" against a sandbox: each
// prints what README shows, but for what differs each time.
func TestReadmeCommands(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is missing")
	}
	s := newSandbox(t, "sandbox")
	s.initWithLongTimeout()
	s.start()
	moneyer, err := exec.LookPath("moneyer")
	if err != nil {
		t.Fatal(err)
	}
	top := filepath.Dir(s.dir)
	if err := os.Mkdir(filepath.Join(top, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(moneyer, filepath.Join(top, "bin", "moneyer")); err != nil {
		t.Fatal(err)
	}
	shown := readmeCommands(t)
	if len(shown) != 6 {
		t.Fatalf("README shows %d platforms", len(shown))
	}
	for _, block := range shown {
		script := strings.ReplaceAll(block.script, "127.0.0.1:8080", s.address)
		c := exec.CommandContext(t.Context(), "bash", "-c", script)
		c.Dir = top
		out, err := c.Output()
		if err != nil {
			t.Errorf("%v\n%s", err, script)
			continue
		}
		if want := pattern(strings.ReplaceAll(block.output, "127.0.0.1:8080", s.address)); !want.Match(out) {
			t.Errorf("%s\nprints\n%s\nREADME shows\n%s", script, out, block.output)
		}
	}
}

type shownCommands struct{ script, output string }

// readmeCommands splits the blocks of the section into commands, which begin with "$ ", and output.
func readmeCommands(t *testing.T) (blocks []shownCommands) {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## One token from each platform\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, block := range codeBlock.FindAllStringSubmatch(section, -1) {
		var b shownCommands
		continued := false
		for line := range strings.Lines(block[1]) {
			command, isCommand := strings.CutPrefix(line, "$ ")
			if isCommand || continued {
				b.script += command
				continued = strings.HasSuffix(strings.TrimSpace(line), "\\") || strings.HasSuffix(strings.TrimSpace(line), "|")
			} else {
				b.output += line
			}
		}
		blocks = append(blocks, b)
	}
	return blocks
}

// pattern matches output that differs in identifiers and times alone.
func pattern(output string) *regexp.Regexp {
	text := regexp.QuoteMeta(strings.TrimSpace(output))
	for _, varies := range [][2]string{
		{`\\\.\\\.\\\.`, `[^"]*`},
		{`[0-9]{10}( +)[0-9TZ:-]{20}`, `[0-9]{10} +[0-9TZ:-]{20}`}, // the column is as wide as the issuer's port
		{`, now\n`, `, (now|[0-9]+ seconds? ago)\n`},               // on a slow machine
		{`(kid|jti)( +)"[A-Za-z0-9_-]+"`, `$1$2"[A-Za-z0-9_-]+"`},
	} {
		text = regexp.MustCompile(varies[0]).ReplaceAllString(text, varies[1])
	}
	return regexp.MustCompile("^" + text)
}
