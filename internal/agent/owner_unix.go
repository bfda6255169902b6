//go:build unix

package agent

import (
	"io/fs"
	"os"
	"syscall"
)

// protected reports whether a sticky folder keeps this user from replacing a file of somebody else
// (rename(2), EPERM).
func protected(path, folder string) bool {
	file, err1 := os.Lstat(path)
	dir, err2 := os.Stat(folder)
	if err1 != nil || err2 != nil || dir.Mode()&fs.ModeSticky == 0 {
		return false
	}
	user := os.Geteuid()
	return user != 0 && owner(file) != user && owner(dir) != user
}

func owner(info fs.FileInfo) int {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid)
	}
	return os.Geteuid()
}

// device returns the number of the file system of a file.
func device(info fs.FileInfo) uint64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(stat.Dev) // another type elsewhere
	}
	return 0
}
