package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Permissions by which others could change a store.
const (
	othersWrite   fs.FileMode = 0o022
	anybodyWrites fs.FileMode = 0o002
)

// guarded returns an error if others than its owner can write to the store's file at path or to
// the files that SQLite keeps beside it, if they can replace them, or if there are other names
// for them.
func guarded(path string) error {
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		info, err := os.Lstat(path + suffix)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		switch mode := info.Mode(); {
		case !mode.IsRegular():
			return fmt.Errorf("%s is not a regular file", path+suffix)
		case links(info) > 1:
			return fmt.Errorf("%s has %d names (hard links), and by another one SQLite would not find what is in %[3]s-wal: remove the others, or copy the file", path+suffix, links(info), path)
		case mode.Perm()&othersWrite != 0:
			return fmt.Errorf("others can write to %s (mode %04o); run: chmod go-w %[1]s", path+suffix, mode.Perm())
		}
	}
	folder := filepath.Dir(path)
	info, err := os.Stat(folder)
	if err != nil {
		return err
	}
	if mode := info.Mode(); mode.Perm()&anybodyWrites != 0 && mode&fs.ModeSticky == 0 {
		return fmt.Errorf("everybody can replace the files in %s (mode %04o); run: chmod o-w %[1]s", folder, mode.Perm())
	}
	return nil
}

func links(info fs.FileInfo) uint64 {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return uint64(stat.Nlink) // not 64 bits everywhere
}
