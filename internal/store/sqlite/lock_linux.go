package sqlite

import (
	"errors"
	"slices"
	"syscall"
)

// networks are the file systems, by their numbers of statfs(2), that emulate flock by a lock of
// fcntl on the whole file: SQLite would wait for its own process.
var networks = []int64{0x6969 /* NFS */, 0xFF534D42 /* CIFS */, 0xFE534D42 /* SMB 2 */}

// lockable returns an error if the lock of the file would exclude SQLite in this process.
func (h *held) lockable() error {
	var stat syscall.Statfs_t
	if err := syscall.Fstatfs(h.fd, &stat); err != nil {
		return err
	}
	if slices.Contains(networks, int64(uint32(stat.Type))) {
		return errors.New("it is on a network file system, on which SQLite loses data: keep the store on a local disk")
	}
	return nil
}

// ofdGetLock is F_OFD_GETLK of fcntl(2), which also sees the locks of this process.
const ofdGetLock = 36

// holder returns the process whose SQLite has the file open, or 0 if that cannot be seen.
func (h *held) holder() int {
	const sharedFirst, sharedSize = 0x40000002, 510 // which every connection has locked in WAL mode
	lock := syscall.Flock_t{Type: syscall.F_WRLCK, Start: sharedFirst, Len: sharedSize}
	if err := syscall.FcntlFlock(uintptr(h.fd), ofdGetLock, &lock); err != nil || lock.Type == syscall.F_UNLCK {
		return 0
	}
	return max(0, int(lock.Pid))
}
