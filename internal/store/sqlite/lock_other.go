//go:build !linux

package sqlite

import "syscall"

// lockable makes a file beside the store's file the one that is locked: where flock and the
// locks of fcntl conflict, a lock of the store's file would exclude SQLite in this process.
// Such a lock ends when the file beside is removed.
func (h *held) lockable() (err error) {
	h.lock, err = syscall.Open(h.path+".lock", syscall.O_RDONLY|syscall.O_CREAT|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		h.lock = h.fd
	}
	return err
}

// holder returns 0: the locks of this process cannot be seen.
func (h *held) holder() int { return 0 }
