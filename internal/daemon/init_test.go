package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"moneyer/internal/adminclient"
)

// TestMakePrivate: an existing file stays, and is an error.
func TestMakePrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	i := &initial{}
	if err := i.makePrivate(path, []byte("first")); err != nil {
		t.Fatal(err)
	}
	err := i.makePrivate(path, []byte("second"))
	if data, _ := os.ReadFile(path); err == nil || string(data) != "first" || len(i.made) != 1 {
		t.Errorf("%v, %q, %v", err, data, i.made)
	}
}

// TestInitRemovesAdminFileWithoutKey: if the key cannot be registered its file is removed.
func TestInitRemovesAdminFileWithoutKey(t *testing.T) {
	dir := filepath.Dir(newFolder(t))
	file := filepath.Join(dir, adminclient.DefaultFile)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	later := func() time.Time { return time.Date(20_000, 1, 1, 0, 0, 0, 0, time.UTC) } // no ledger entry accepts that
	var wrong *ConfigError
	if _, err := Init(t.Context(), dir, "", later); err == nil || errors.As(err, &wrong) {
		t.Errorf("the key was registered in the year 20000: %v", err)
	}
	if _, err := os.Lstat(file); err == nil {
		t.Error("the file is there")
	}
}
