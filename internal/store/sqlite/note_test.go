package sqlite

import (
	"os"
	"syscall"
	"testing"
)

// TestNoteOwner: root repairs or accepts a store that belongs to the server's user, who must
// be able to read the note afterwards. What else has the name of the new note is left alone.
func TestNoteOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may give files away")
	}
	const nobody = 65534
	f := openNew(t)
	path := f.Path()
	if err := os.Chown(path, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	other := path + ".other"
	if err := os.WriteFile(other, []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(other, path+NoteSuffix+".new"); err != nil {
		t.Fatal(err)
	}
	if err := f.WriteNote(&Note{Store: "id", Time: clock()}, []byte("key")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]uint32{path + NoteSuffix: nobody, other: 0} {
		var stat syscall.Stat_t
		if err := syscall.Stat(name, &stat); err != nil {
			t.Fatal(err)
		}
		if stat.Uid != want || stat.Gid != want {
			t.Errorf("%s belongs to %d:%d, want %d", name, stat.Uid, stat.Gid, want)
		}
	}
	if text, err := os.ReadFile(other); err != nil || string(text) != "other" {
		t.Errorf("a file that had the name of the new note was changed: %q, %v", text, err)
	}
}
