package arch

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// pages returns the tracked documents by their path from the top of the repository.
func pages(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, name := range tracked(t) {
		if filepath.Ext(name) == ".md" && !strings.Contains(name, "testdata/") {
			found[name] = read(t, filepath.Join("../..", name))
		}
	}
	return found
}

func tracked(t *testing.T) []string {
	t.Helper()
	listed, err := exec.CommandContext(t.Context(), "git", "-C", "../..", "ls-files").Output()
	if err != nil {
		t.Skipf("not a git checkout: %v", err)
	}
	return strings.Fields(string(listed))
}

var (
	link      = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading   = regexp.MustCompile(`(?m)^#+ (.*)$`)
	notInSlug = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	fenced    = regexp.MustCompile("(?ms)^```.*?^```")
	inline    = regexp.MustCompile("`[^`\n]+`")
)

// slugs returns the anchors of a page, as GitHub makes them of headings.
func slugs(page string) (all []string) {
	for _, m := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(page, ""), -1) {
		text := regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`).ReplaceAllString(m[1], "$1")
		all = append(all, strings.ReplaceAll(notInSlug.ReplaceAllString(strings.ToLower(text), ""), " ", "-"))
	}
	return all
}

// TestLinks: every link between documents leads to a file, and to a heading in it.
func TestLinks(t *testing.T) {
	all := pages(t)
	links := 0
	for name, page := range all {
		for _, m := range link.FindAllStringSubmatch(inline.ReplaceAllString(fenced.ReplaceAllString(page, ""), ""), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			links++
			path, anchor, anchored := strings.Cut(m[1], "#")
			target := name
			if path != "" {
				target = filepath.Join(filepath.Dir(name), path)
			}
			if _, err := os.Stat(filepath.Join("../..", target)); err != nil {
				t.Errorf("%s: %s leads nowhere", name, m[1])
				continue
			}
			if anchored && !slices.Contains(slugs(all[target]), anchor) {
				t.Errorf("%s: %s: %s has no such heading", name, m[1], target)
			}
		}
	}
	if links < 100 {
		t.Errorf("%d links: most were not found", links)
	}
}

// TestDocumentsName: make targets, metrics and files of the repository that documents name exist.
func TestDocumentsName(t *testing.T) {
	makefile := read(t, "../../Makefile")
	files := tracked(t)
	source := sources(t, files)
	metric := regexp.MustCompile("`(moneyer_[a-z_]+[a-z])`")
	target := regexp.MustCompile("(?:`|(?m:^))make ([a-z][a-z-]*)")
	path := regexp.MustCompile("`((?:internal|cmd|docs|examples|interop|bench|cluster|profile|tokensource|bearer|assertion|oauth)/[A-Za-z0-9_./-]+)`")
	for name, page := range pages(t) {
		if strings.HasPrefix(name, "docs/adr/") || name == "CHANGELOG.md" {
			continue // they say what was
		}
		for _, m := range target.FindAllStringSubmatch(page, -1) {
			if !regexp.MustCompile(`(?m)^` + m[1] + `:`).MatchString(makefile) {
				t.Errorf("%s: the Makefile has no target %s", name, m[1])
			}
		}
		for _, m := range metric.FindAllStringSubmatch(page, -1) {
			base := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(m[1], "")
			if !strings.Contains(source, `"`+base+`"`) && !strings.Contains(source, `"`+strings.TrimPrefix(base, "moneyer_")+`"`) {
				t.Errorf("%s: there is no metric %s", name, m[1])
			}
		}
		for _, m := range path.FindAllStringSubmatch(page, -1) {
			at := strings.TrimSuffix(m[1], "/")
			if !slices.ContainsFunc(files, func(f string) bool { return f == at || strings.HasPrefix(f, at+"/") }) && !strings.HasPrefix(at, "bench/.cache") && !strings.Contains(at, "NAME") {
				t.Errorf("%s: there is no %s", name, m[1])
			}
		}
	}
}

// sources returns the text of all code, and of the scripts that hold its output.
func sources(t *testing.T, files []string) string {
	t.Helper()
	var b strings.Builder
	for _, name := range files {
		if filepath.Ext(name) == ".go" && !strings.HasPrefix(name, "internal/arch/") || filepath.Ext(name) == ".txtar" {
			text, err := os.ReadFile(filepath.Join("../..", name))
			if err != nil {
				continue // removed and not committed yet
			}
			b.Write(text)
		}
	}
	return b.String()
}

// quoted matches a message in the tables and headings of Troubleshooting.
var quoted = regexp.MustCompile("(?m)^\\| (`[^|]*`) \\|")

// TestQuotedMessages: the code, or a script of what it prints, has each message and each rule that
// operations.md quotes under Troubleshooting, but for its values.
func TestQuotedMessages(t *testing.T) {
	page := read(t, "../../docs/operations.md")
	_, section, found := strings.Cut(page, "\n## Troubleshooting\n")
	if !found {
		t.Fatal("operations.md has no Troubleshooting")
	}
	source := sources(t, tracked(t))
	var messages []string
	for _, cell := range quoted.FindAllStringSubmatch(section, -1) {
		messages = append(messages, inline.FindAllString(cell[1], -1)...)
	}
	for _, line := range regexp.MustCompile(`(?m)^\*\*.*?\*\*`).FindAllString(section, -1) {
		messages = append(messages, inline.FindAllString(line, -1)...)
		for _, said := range regexp.MustCompile(`"([^"]+)"`).FindAllStringSubmatch(inline.ReplaceAllString(line, ""), -1) {
			messages = append(messages, said[1])
		}
	}
	if len(messages) < 60 {
		t.Errorf("only %d messages were found", len(messages))
	}
	for _, message := range messages {
		for _, part := range constant(strings.Trim(message, "`")) {
			if !strings.Contains(source, part) && !slices.Contains(ofOthers, part) {
				t.Errorf("operations.md quotes %s, and no code has %q", message, part)
			}
		}
	}
}

// ofOthers are messages of SQLite and of the system.
var ofOthers = []string{"attempt to write a readonly database", "permission denied"}

// constant splits a quoted message at its values: "...", words in capitals, numbers.
func constant(message string) (parts []string) {
	for _, part := range regexp.MustCompile(`\.\.\.|\b[A-Z]{1,4}\b|"`).Split(message, -1) {
		if part = strings.Trim(part, " :"); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}
