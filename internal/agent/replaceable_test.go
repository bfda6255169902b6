package agent

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// mountinfo as Linux writes it: /data/f and "/da ta/f" are mounts of one file.
const mountinfo = `22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
36 22 0:32 / /proc rw,nosuid shared:12 - proc proc rw
61 22 254:0 /tmp/x /data/f rw,relatime - ext4 /dev/vda rw,discard
62 22 254:0 /tmp/y /da\040ta\134x/f rw master:1 - ext4 /dev/vda rw
63 22 254:0
64
`

func TestIsMountPoint(t *testing.T) {
	for path, want := range map[string]bool{"/data/f": true, `/da ta\x/f`: true, "/": true, "/data": false, "/data/f2": false, "/tmp/x": false, "": false} {
		if got := isMountPoint(strings.NewReader(mountinfo), path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
	for text, want := range map[string]string{`a\040b`: "a b", `\`: `\`, `\04`: `\04`, `\999`: `\999`, `\134040`: `\040`, "": ""} {
		if got := unescapeOctal(text); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// TestReplaceable: the check leaves the folder and the file as they are.
func TestReplaceable(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "f.token")
	for range 2 { // without the file, and with it
		if err := checkReplaceable(file); err != nil {
			t.Error(err)
		}
		write(t, file, "token-0")
	}
	data, err := os.ReadFile(file)
	if left, _ := os.ReadDir(dir); err != nil || string(data) != "token-0" || len(left) != 1 {
		t.Errorf("%q, %v, %v", data, err, left)
	}
}

func TestUnreplaceable(t *testing.T) {
	for cause, want := range map[error]string{
		syscall.EBUSY: "mount its folder instead", syscall.EXDEV: "mount its folder instead",
		syscall.EROFS: "create and rename files in /run/x", syscall.EACCES: "create and rename files in /run/x", syscall.EPERM: "create and rename files in /run/x",
		syscall.ENOSPC: "no space left",
	} {
		err := unreplaceable("/run/x", &os.LinkError{Op: "rename", Old: "random", New: "f", Err: cause})
		if !errors.Is(err, cause) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "random") {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestFilesThatCannotBeReplaced: a file that is mounted by itself, or in a folder that cannot be
// written, is told by a check of the configuration, and at run time. The test runs itself once more
// where it may mount files: in namespaces of its own.
func TestFilesThatCannotBeReplaced(t *testing.T) {
	if dir := os.Getenv("MONEYER_TEST_MOUNTED"); dir != "" {
		_, err := Load(filepath.Join(dir, "agent.toml"))
		later := replace(filepath.Join(dir, "sub", "f.token"), 0o600, "x")
		fmt.Printf("check: %v\nlater: %v\n", err, later)
		return
	}
	if runtime.GOOS != "linux" {
		t.Skip("these mounts are of Linux")
	}
	inside := func(dir, script string) (string, error) {
		cmd := exec.Command("unshare", "-rm", "sh", "-c", script, dir, os.Args[0])
		cmd.Env = append(os.Environ(), "MONEYER_TEST_MOUNTED="+dir)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := inside(t.TempDir(), "touch $0/a $0/b && mount --bind $0/a $0/b"); err != nil {
		t.Skipf("this system lets nobody mount files in a namespace: %v: %s", err, out)
	}
	for script, want := range map[string][2]string{
		"mount --bind $0/other $0/sub/f.token": {"f.token cannot be written: it is mounted by itself", "device or resource busy: it is mounted by itself"},
		"mount --bind $0/sub $0/sub && mount -o remount,bind,ro $0/sub": {"f.token cannot be written: read-only file system: a token file is replaced",
			"read-only file system: a token file is replaced"},
	} {
		dir := folder(t)
		if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "agent.toml"), tcp+boltToken+strings.Replace(boltFile, "f.token", "sub/f.token", 1))
		write(t, filepath.Join(dir, "sub", "f.token"), "")
		write(t, filepath.Join(dir, "other"), "")
		out, err := inside(dir, script+" && exec $1 -test.run='^TestFilesThatCannotBeReplaced$'")
		for _, text := range []string{"check: ", "files.f.path: ", want[0], "later: " + want[1]} {
			if err != nil || !strings.Contains(out, text) {
				t.Errorf("%s: %v, want %q in:\n%s", script, err, text, out)
			}
		}
		if left, _ := os.ReadDir(filepath.Join(dir, "sub")); len(left) != 1 {
			t.Errorf("%s: left behind: %v", script, left)
		}
	}
}
