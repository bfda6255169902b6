package keeper

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

// childTask tells the test binary to keep a folder and wait to be killed.
const childTask = "MONEYER_KEEPER_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childTask) != "" {
		f, err := New("", "moneyer-keeper-")
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

// stubborn starts a program in the folder that minds no signal but SIGKILL. Its
// output ends when it does.
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

func TestRemove(t *testing.T) {
	f, err := New("", "moneyer-keeper-")
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

func TestKill(t *testing.T) {
	f, err := New("", "moneyer-keeper-")
	if err != nil {
		t.Fatal(err)
	}
	out, err := stubborn(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := Kill(filepath.Join(f.Path, "elsewhere")); err != nil || len(inside(f.Path)) != 1 {
		t.Errorf("in the folder work %v, %v", inside(f.Path), err)
	}
	if err := Kill(f.Path); err != nil {
		t.Fatal(err)
	}
	if text, err := out.ReadString(0); text != "" || err == nil {
		t.Errorf("the program said %q, %v", text, err)
	}
	if err := f.Remove(); err != nil {
		t.Error(err)
	}
}

// TestKilled: the end of the maker's life is the end of all that is in the folder.
func TestKilled(t *testing.T) {
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
		t.Fatalf("in %s work %v, want one process", path, at)
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
		t.Errorf("in %s, which is removed, work %v", path, at)
	}
}
