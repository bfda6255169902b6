package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestDocumentedCommands: each moneyer command line in the fenced blocks and inline code of the
// documents has a command and flags that exist.
func TestDocumentedCommands(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("../../docs/divergences/*.md")
	if err != nil {
		t.Fatal(err)
	}
	pages = append(append(pages, more...), "../../README.md", "../../SECURITY.md", "../../CONTRIBUTING.md", "../../ARCHITECTURE.md", "../../examples/README.md", "../../examples/cluster/README.md")
	lines := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range documentedCommands(string(text)) {
			lines++
			if problem := commandProblem(line); problem != "" {
				t.Errorf("%s: %s\n  %s", page, problem, line)
			}
		}
	}
	if lines < 100 {
		t.Errorf("%d command lines: most were not found", lines)
	}
}

// TestDocumentedCommandsAreJudged shows that the check can fail.
func TestDocumentedCommandsAreJudged(t *testing.T) {
	for line, want := range map[string]bool{
		"moneyer serve --config x --check": true, "moneyer serve --confg x": false, "moneyer srve": false, "moneyer key ad x": false,
		"moneyer key set --not-after": true, "moneyer": true, "moneyer --version": true, "moneyer ledger list --client gateway001 --since": true,
	} {
		if got := commandProblem(line); (got == "") != want {
			t.Errorf("%s: %q", line, got)
		}
	}
	const page = "```\n$ A=$(bin/moneyer assert --client x \\\n   --kid y)   # now\nmoneyer a | moneyer b\n```\nand `moneyer c --d` or `moneyer.toml`\n"
	if got := strings.Join(documentedCommands(page), "|"); got != "moneyer assert --client x     --kid y|moneyer a|moneyer b|moneyer c --d" {
		t.Errorf("%q", got)
	}
}

var (
	codeBlock  = regexp.MustCompile("(?ms)^```[a-z]*\n(.*?)^```")
	inlineCode = regexp.MustCompile("`([^`\n]+)`")
	aside      = regexp.MustCompile(`(?m)(^| )#.*$|; +-- .*$| -[ogu] moneyer\b( --)?`) // comments, and owners of files
	invocation = regexp.MustCompile(`(?m)(?:^|[\s$(|]|bin/)moneyer((?: [^\n|)>;#]*)?)`)
)

// documentedCommands returns the command lines of a page, without comments and what they are piped to.
func documentedCommands(page string) (lines []string) {
	for _, block := range codeBlock.FindAllStringSubmatch(page, -1) {
		script := aside.ReplaceAllString(strings.ReplaceAll(block[1], "\\\n", " "), "")
		for _, m := range invocation.FindAllStringSubmatch(script, -1) {
			lines = append(lines, strings.TrimSpace("moneyer"+m[1]))
		}
	}
	for _, code := range inlineCode.FindAllStringSubmatch(codeBlock.ReplaceAllString(page, ""), -1) {
		if rest, ok := strings.CutPrefix(code[1], "moneyer "); ok {
			for _, m := range invocation.FindAllStringSubmatch("moneyer "+rest, -1) {
				lines = append(lines, strings.TrimSpace("moneyer"+m[1]))
			}
		}
	}
	return lines
}

// commandProblem returns what is wrong with a command line, or "". Arguments are not checked: many
// lines are parts of one.
func commandProblem(line string) string {
	c := new(app).rootCommand()
	words := strings.Fields(line)[1:]
	for len(words) > 0 && isCommandWord(words[0]) {
		next := child(c, words[0])
		if next == nil {
			if c.HasSubCommands() {
				return c.CommandPath() + " has no command " + words[0]
			}
			break
		}
		c, words = next, words[1:]
	}
	c.InitDefaultHelpFlag()
	c.InitDefaultVersionFlag()
	for _, word := range words {
		name, isFlag := strings.CutPrefix(word, "-")
		if !isFlag || name == "" {
			continue
		}
		name, long := strings.CutPrefix(name, "-")
		name, _, _ = strings.Cut(strings.TrimRight(name, ".,"), "=")
		if !long && len(name) > 1 {
			continue // a negative number, or part of a text
		}
		if flag := lookup(c, name, long); flag == nil {
			return c.CommandPath() + " has no flag " + word
		}
	}
	return ""
}

func isCommandWord(word string) bool { return regexp.MustCompile(`^[a-z][a-z-]*$`).MatchString(word) }

func child(c *cobra.Command, name string) *cobra.Command {
	for _, sub := range c.Commands() {
		if sub.Name() == name || sub.HasAlias(name) {
			return sub
		}
	}
	return nil
}

func lookup(c *cobra.Command, name string, long bool) *pflag.Flag {
	for _, flags := range []*pflag.FlagSet{c.Flags(), c.PersistentFlags(), c.InheritedFlags()} {
		if flag := flags.Lookup(name); long && flag != nil {
			return flag
		}
		if !long {
			if flag := flags.ShorthandLookup(name); flag != nil {
				return flag
			}
		}
	}
	return nil
}
