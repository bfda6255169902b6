//go:build unix

package daemon

import "syscall"

// descriptors returns how many file descriptors the process may have. The runtime has raised the
// limit as far as it may (syscall.Getrlimit shows the raised one).
func descriptors() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1024 // the usual one
	}
	return uint64(limit.Cur)
}
