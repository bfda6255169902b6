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

// privateWords are words that this project once had for things for which the field has
// better ones, or that cite what is not in the repository.
var privateWords = regexp.MustCompile(`\b(estate|furnish\w*|keepHouse|complaints|afterglow|wasteTime|sameGround|UsedError|DESIGN)\b|tells whether`)

// privateParts are parts of privateWords, one of which is in every match. Most files have none,
// which is found a hundred times faster than by the expression.
var privateParts = []string{"estate", "furnish", "keepHouse", "complaints", "afterglow", "wasteTime", "sameGround", "UsedError", "DESIGN", "tells whether"}

// havePrivateParts reports whether text may match privateWords.
func havePrivateParts(text string) bool {
	return slices.ContainsFunc(privateParts, func(part string) bool { return strings.Contains(text, part) })
}

// TestPrivateWords looks for them in code, commands and documents.
func TestPrivateWords(t *testing.T) {
	listed, err := exec.CommandContext(t.Context(), "git", "-C", "../..", "ls-files").Output()
	if err != nil {
		t.Skipf("not a git checkout: %v", err)
	}
	for name := range strings.Lines(string(listed)) {
		name = strings.TrimSpace(name)
		if !isText(name) || name == "internal/arch/words_test.go" {
			continue
		}
		text, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			continue // removed and not committed yet
		}
		if !havePrivateParts(string(text)) {
			continue
		}
		n := 0
		for line := range strings.Lines(string(text)) {
			n++
			if word := privateWords.FindString(line); word != "" {
				t.Errorf("%s:%d: %q is a private word", name, n, word)
			}
		}
	}
}

// isText reports whether a file is code, a script or a document.
func isText(name string) bool {
	switch filepath.Ext(name) {
	case ".go", ".md", ".toml", ".sh", ".txt", ".txtar", ".sql", ".yml", ".py", ".mjs":
		return true
	}
	return filepath.Base(name) == "Makefile"
}

// TestPrivateWordsAreFound shows that the search can fail.
func TestPrivateWordsAreFound(t *testing.T) {
	for text, want := range map[string]bool{"// ok tells whether it is": true, "type UsedError struct": true, "the estate": true, "DESIGN §4": true,
		"reports whether": false, "designed": false, "ReplayedError": false} {
		if privateWords.MatchString(text) != want || want && !havePrivateParts(text) {
			t.Errorf("%q: found %v", text, !want)
		}
	}
}
