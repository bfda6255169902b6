package adminclient

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// An admin file that an editor or a shell has written in another encoding is told as such.
func TestAdminFileEncoding(t *testing.T) {
	for text, want := range map[string]string{"\ufeff{}": "byte order mark", "\xff\xfe{\x00}\x00": "UTF-16", "{\"url\":\"\x00\"}": "NUL", "{}": "it needs url"} {
		file := filepath.Join(t.TempDir(), "admin.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadFile(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
