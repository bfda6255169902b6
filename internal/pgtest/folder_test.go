package pgtest

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// childTask makes the test binary create a folder and wait to be killed.
const childTask = "MONEYER_PGTEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childTask) != "" {
		f, err := NewFolder("", "moneyer-folder-")
		if err == nil {
			_, err = stubborn(f)
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(f.Path)
		select {}
	}
	os.Exit(m.Run())
}

// stubborn starts a program in the folder that ignores every signal but SIGKILL. Its output ends
// with it.
func stubborn(f *Folder) (*bufio.Reader, error) {
	inside := filepath.Join(f.Path, "inside")
	if err := os.Mkdir(inside, 0o700); err != nil {
		return nil, err
	}
	cmd := exec.Command("sh", "-c", "trap '' QUIT TERM HUP; echo here; exec sleep 1000")
	cmd.Dir = inside
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	reader := bufio.NewReader(out)
	_, err = reader.ReadString('\n')
	return reader, err
}

func TestFolderRemove(t *testing.T) {
	f, err := NewFolder("", "moneyer-folder-")
	if err != nil {
		t.Fatal(err)
	}
	out, err := stubborn(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Remove(); err != nil {
		t.Fatal(err)
	}
	if text, err := out.ReadString(0); text != "" || err == nil {
		t.Errorf("the program said %q, %v", text, err)
	}
	if _, err := os.Stat(f.Path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder: %v", err)
	}
}

func TestKillAll(t *testing.T) {
	f, err := NewFolder("", "moneyer-folder-")
	if err != nil {
		t.Fatal(err)
	}
	out, err := stubborn(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := KillAll(filepath.Join(f.Path, "elsewhere")); err != nil || len(inside(f.Path)) != 1 {
		t.Errorf("in the folder are %v, %v", inside(f.Path), err)
	}
	if err := KillAll(f.Path); err != nil {
		t.Fatal(err)
	}
	if text, err := out.ReadString(0); text != "" || err == nil {
		t.Errorf("the program said %q, %v", text, err)
	}
	if err := f.Remove(); err != nil {
		t.Error(err)
	}
}

// TestFolderOfKilledProcess: if the process that created a folder is killed, the folder and the
// processes in it are removed.
func TestFolderOfKilledProcess(t *testing.T) {
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childTask+"=1")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	path := strings.TrimSpace(line)
	if at := inside(path); len(at) != 1 {
		t.Fatalf("in %s are processes %v, want one", path, at)
	}
	if err := child.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for late := time.After(30 * time.Second); ; {
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			break
		}
		select {
		case <-again.C:
		case <-late:
			t.Fatalf("%s is still there", path)
		}
	}
	if at := inside(path); len(at) != 0 {
		t.Errorf("in %s, which is removed, are processes %v", path, at)
	}
}
