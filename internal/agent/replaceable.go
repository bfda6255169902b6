package agent

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// mountedAlone is why a mount of one file cannot be a token file.
const mountedAlone = "it is mounted by itself (a bind mount of one file, as by docker -v FILE:FILE or a Kubernetes subPath), and a token file is replaced by a new one" +
	" at each renewal, which such a mount prevents: mount its folder instead"

// checkReplaceable returns why the file at path could not be replaced as a token file is, or nil. It
// leaves the file as it is, and tries with others beside it. A file need not exist; its folder must.
func checkReplaceable(path string) error {
	folder, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err == nil {
		folder, err = filepath.Abs(folder)
	}
	if err != nil {
		return err
	}
	if isMounted(filepath.Join(folder, filepath.Base(path))) {
		return errors.New(mountedAlone)
	}
	if err := tryRename(folder, filepath.Base(path)); err != nil {
		return unreplaceable(folder, err)
	}
	if protected(path, folder) {
		return unreplaceable(folder, fmt.Errorf("%w: the folder is sticky, and the file is somebody else's", fs.ErrPermission))
	}
	return nil
}

// tryRename replaces one temporary file by another.
func tryRename(folder, name string) error {
	var made [2]string
	for i := range made {
		f, err := os.CreateTemp(folder, "."+name+".*")
		if err != nil {
			return err
		}
		made[i] = f.Name()
		defer func() { _ = os.Remove(made[i]) }()
		if err := f.Close(); err != nil {
			return err
		}
	}
	return os.Rename(made[0], made[1])
}

// unreplaceable adds to the error of an attempt to replace a file what to do.
func unreplaceable(folder string, err error) error {
	err = withoutPath(err)
	switch {
	case errors.Is(err, syscall.EBUSY), errors.Is(err, syscall.EXDEV):
		return fmt.Errorf("%w: %s", err, mountedAlone)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: a token file is replaced by a new one at each renewal, so the agent's user must be able to create and rename files in %s", err, folder)
	default:
		return err
	}
}

// isMounted reports whether a file, by its absolute path without symbolic links, is a mount by itself.
func isMounted(path string) bool {
	if runtime.GOOS == "linux" { // where overlayfs gives files another device than their folder
		f, err := os.Open("/proc/self/mountinfo")
		if err != nil {
			return false // the first renewal will tell
		}
		defer func() { _ = f.Close() }() // it was only read
		return isMountPoint(f, path)
	}
	file, err1 := os.Lstat(path)
	folder, err2 := os.Stat(filepath.Dir(path))
	return err1 == nil && err2 == nil && device(file) != device(folder)
}

// isMountPoint reports whether mountinfo (proc_pid_mountinfo(5)) has a mount at path.
func isMountPoint(mountinfo io.Reader, path string) bool {
	lines := bufio.NewScanner(mountinfo)
	lines.Buffer(nil, 1<<20) // overlayfs names all its layers
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) > 4 && unescapeOctal(fields[4]) == path {
			return true
		}
	}
	return false
}

// unescapeOctal decodes \ooo, by which mountinfo writes blanks and backslashes.
func unescapeOctal(text string) string {
	var out strings.Builder
	for text != "" {
		before, after, found := strings.Cut(text, `\`)
		out.WriteString(before)
		c, err := strconv.ParseUint(after[:min(3, len(after))], 8, 8)
		switch {
		case !found:
			return out.String()
		case err != nil || len(after) < 3:
			out.WriteByte('\\')
			text = after
		default:
			out.WriteByte(byte(c))
			text = after[3:]
		}
	}
	return out.String()
}
