package sqlite

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// hold locks the lock file at path for this process. The system releases the lock when the
// process ends.
func hold(path string) (release func() error, err error) {
	lock, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, _ := io.ReadAll(io.LimitReader(lock, 32))
		_ = lock.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		return nil, fmt.Errorf("in use by process %s, which holds %s", strings.TrimSpace(string(holder)), path)
	}
	if err := errors.Join(lock.Truncate(0), writePID(lock)); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock.Close, nil
}

func writePID(file *os.File) error {
	_, err := fmt.Fprintln(file, os.Getpid())
	return err
}
