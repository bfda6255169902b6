package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
)

// held is a file of a store that this process has locked. The lock is a flock(2) of the file
// itself, whatever path leads to it; the system releases it when the process ends.
//
// SQLite uses the locks of fcntl(2) on the same file. Linux keeps the two kinds apart, but
// closing any descriptor of a file releases all fcntl locks that the process has on it. So
// the descriptor is opened before SQLite opens the file and closed after SQLite has closed
// it, and nothing else in the process may open the file.
type held struct {
	path  string // absolute, without symbolic links
	fd    int    // -1 after release
	lock  int    // the descriptor that is locked; on Linux fd
	file  identity
	noted []named // by note
	lost  atomic.Pointer[error]
}

// identity is what the system knows a file by.
type identity struct{ device, inode uint64 }

// named is a path and the file that it named.
type named struct {
	path string
	file identity
}

var (
	errInUse = errors.New("in use")
	// errOtherWriter means that an entry's place in the ledger was taken already.
	errOtherWriter = errors.New("another process writes to the store's file, so this one records nothing more until it is restarted: find and stop the other one first")
)

// hold locks the file at path for this process. With create it makes the file if it is
// missing, with mode 0600.
func hold(path string, create bool) (*held, error) {
	path, err := resolve(path)
	if err != nil {
		return nil, err
	}
	// O_NONBLOCK: opening a named pipe would wait.
	flags := syscall.O_RDONLY | syscall.O_CLOEXEC | syscall.O_NOFOLLOW | syscall.O_NONBLOCK
	if create {
		flags |= syscall.O_CREAT
	}
	fd, err := syscall.Open(path, flags, 0o600)
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("%s is a symbolic link to a file that is missing: %w", path, fs.ErrNotExist)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	h := &held{path: path, fd: fd, lock: fd}
	if err := h.acquire(); err != nil {
		return nil, err
	}
	if err := h.examine(); err != nil {
		return nil, errors.Join(err, h.release())
	}
	return h, nil
}

// resolve returns the absolute path without symbolic links of a file that need not exist.
func resolve(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if resolved, err := filepath.EvalSymlinks(path); !errors.Is(err, fs.ErrNotExist) {
		return resolved, err
	}
	folder, err := filepath.EvalSymlinks(filepath.Dir(path))
	return filepath.Join(folder, filepath.Base(path)), err
}

// acquire locks the open file, or closes it.
func (h *held) acquire() error {
	if err := h.lockable(); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", h.path, err), h.release())
	}
	err := syscall.Flock(h.lock, syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return nil
	}
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return errors.Join(fmt.Errorf("lock %s: %w", h.path, err), h.release())
	}
	holder := h.holder()
	if holder != os.Getpid() { // else closing would release the locks of SQLite in this process
		_ = h.release()
	}
	if holder == 0 {
		return fmt.Errorf("%w by another process, which has %s locked", errInUse, h.path)
	}
	return fmt.Errorf("%w by process %d, which has %s locked", errInUse, holder, h.path)
}

// examine refuses a file that someone else could write, or open by another name.
func (h *held) examine() error {
	var stat syscall.Stat_t
	if err := syscall.Fstat(h.fd, &stat); err != nil {
		return err
	}
	h.file = identityOf(&stat)
	if stat.Mode&syscall.S_IFMT != syscall.S_IFREG {
		return fmt.Errorf("%s is not a regular file", h.path)
	}
	if err := same(h.path, h.file); err != nil { // it may have been replaced before it was locked
		return fmt.Errorf("%s was replaced at this moment: try again", h.path)
	}
	return guarded(h.path)
}

// note notes the files that SQLite has open, which check then compares. A WAL is kept as long
// as a connection is open.
func (h *held) note() error {
	for _, suffix := range []string{"-wal", "-shm"} {
		path := h.path + suffix
		file, err := identify(path)
		if err != nil {
			return err
		}
		h.noted = append(h.noted, named{path, file})
	}
	return nil
}

// stopped returns why nothing may be written any more, if so.
func (h *held) stopped() error {
	if lost := h.lost.Load(); lost != nil {
		return *lost
	}
	return nil
}

// current returns an error, and from then on always, if the path no longer names the file that
// is open: what is written after that is lost.
func (h *held) current() error {
	if err := h.stopped(); err != nil {
		return err
	}
	if err := same(h.path, h.file); err != nil {
		return h.lose(err)
	}
	return nil
}

// check is current for the files that were noted as well.
func (h *held) check() error {
	if err := h.current(); err != nil {
		return err
	}
	for i := range h.noted {
		if err := same(h.noted[i].path, h.noted[i].file); err != nil {
			return h.lose(err)
		}
	}
	return nil
}

// lose ends all writing, and returns why. It is for good: what others did to the file
// meanwhile is unknown.
func (h *held) lose(cause error) error {
	h.lost.CompareAndSwap(nil, &cause)
	return *h.lost.Load()
}

// same returns an error unless path names the file.
func same(path string, file identity) error {
	is, err := identify(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s was removed while it is in use, so nothing more is recorded until a restart: put it back, or restore a backup", path)
	case err != nil:
		return fmt.Errorf("%s cannot be looked at, so nothing more is recorded until a restart: %w", path, err)
	case is != file:
		return fmt.Errorf("%s was replaced by another file while it is in use, so nothing more is recorded until a restart: find out which of both is right", path)
	}
	return nil
}

func identify(path string) (identity, error) {
	var stat syscall.Stat_t
	if err := syscall.Lstat(path, &stat); err != nil {
		return identity{}, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return identityOf(&stat), nil
}

func identityOf(stat *syscall.Stat_t) identity {
	return identity{uint64(stat.Dev), stat.Ino} // not 64 bits everywhere
}

// release releases the lock. SQLite must have closed the file. Later calls do nothing.
func (h *held) release() error {
	if h.fd < 0 {
		return nil
	}
	err := syscall.Close(h.fd)
	if h.lock != h.fd {
		err = errors.Join(err, syscall.Close(h.lock))
	}
	h.fd = -1
	return err
}
