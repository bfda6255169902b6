package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// sweep removes the folder $1 when its input ends, that is, with the process that created the
// folder. Processes in the folder are asked to quit, and killed if they are still there after a
// second. The shared memory of a killed PostgreSQL is removed by the id in its postmaster.pid.
const sweep = `
cat >/dev/null
inside() {
  find /proc/[0-9]*/cwd -maxdepth 0 \( -lname "$1" -o -lname "$1/*" -o -lname "$1 (deleted)" \) 2>/dev/null |
    sed 's|^/proc/||; s|/cwd$||'
}
tries=0
while left=$(inside "$1") && [ -n "$left" ] && [ "$tries" -lt 100 ]; do
  case $tries in
    0) kill -QUIT $left; kill -CONT $left ;;
    [1-9]?) kill -KILL $left ;;
  esac 2>/dev/null
  sleep 0.1
  tries=$((tries + 1))
done
for file in "$1"/postmaster.pid "$1"/*/postmaster.pid "$1"/*/*/postmaster.pid; do
  memory=$(sed -n '7s/.* //p' "$file" 2>/dev/null)
  [ -z "$memory" ] || ipcrm -m "$memory" 2>/dev/null
done
while read -r _ at _; do
  case $at in "$1"/*) umount "$at" || umount -l "$at" ;; esac
done </proc/mounts 2>/dev/null
rm -rf "$1"
`

// A Folder is removed when the program that created it ends, even after a panic, a test timeout or
// SIGKILL. Mounts in it, and all processes whose working directory is in it, are removed too; set
// the working directory when starting them. Without /proc only the folder is removed. The zero
// value is no folder.
type Folder struct {
	// Path is absolute and contains no symbolic links.
	Path string

	sweeper *exec.Cmd
	input   io.Closer
}

// NewFolder creates a folder like os.MkdirTemp.
func NewFolder(dir, pattern string) (*Folder, error) {
	path, err := os.MkdirTemp(dir, pattern)
	if err != nil {
		return nil, err
	}
	f := &Folder{}
	if f.Path, err = filepath.Abs(path); err == nil {
		f.Path, err = filepath.EvalSymlinks(f.Path)
	}
	if err == nil {
		err = f.startSweeper()
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(path))
	}
	return f, nil
}

func (f *Folder) startSweeper() (err error) {
	// No context, because it must outlive this process. A separate process group, so that Ctrl-C in
	// a terminal does not end it.
	f.sweeper = exec.CommandContext(context.Background(), "sh", "-c", sweep, "sh", f.Path)
	f.sweeper.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if f.input, err = f.sweeper.StdinPipe(); err != nil {
		return err
	}
	return f.sweeper.Start()
}

// Remove ends the processes in the folder, and removes it.
func (f *Folder) Remove() error {
	return errors.Join(f.input.Close(), f.sweeper.Wait())
}

// KillAll kills the processes whose working directory is folder or below it with SIGKILL, and
// returns when they are gone.
func KillAll(folder string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	// While all are stopped none can start or end another.
	for _, signal := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGKILL} {
		for _, pid := range inside(folder) {
			if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
				return err
			}
		}
	}
	for {
		left := inside(folder)
		if len(left) == 0 {
			return nil
		}
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL) // one that was just being started
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("processes %v in %s do not end", left, folder)
		}
	}
}

// inside returns the processes whose working directory is folder or below it.
func inside(folder string) (found []int) {
	links, _ := filepath.Glob("/proc/[0-9]*/cwd") // the pattern is well formed
	for _, link := range links {
		at, err := os.Readlink(link)
		if err != nil || at != folder && !strings.HasPrefix(at, folder+"/") {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link))); err == nil {
			found = append(found, pid)
		}
	}
	return found
}
