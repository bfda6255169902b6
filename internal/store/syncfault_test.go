package store

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"moneyer/internal/rowauth/rowauthtest"
)

// exitUnsupported is the exit code of a child that cannot inject its fault here.
const exitUnsupported = 3

// TestDiskThatCannotFlush: while the system cannot flush to the disk, nothing is acknowledged, and
// the store does not say that it can be written.
func TestDiskThatCannotFlush(t *testing.T) {
	path := filepath.Join(t.TempDir(), "moneyer.db")
	out, err := child(t, "sync", path).Output()
	if code := (*exec.ExitError)(nil); errors.As(err, &code) && code.ExitCode() == exitUnsupported {
		t.Skip("no system calls can be made to fail here")
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	report, err := openTest(t, path, Options{}).Verify(t.Context(), nil)
	if err != nil || report.Broken != 0 || report.Last < 1 {
		t.Errorf("%+v, %v", report, err)
	}
}

// pingWithoutSync writes an entry, makes every flush to the disk fail, and writes another.
func pingWithoutSync(path string) error {
	seconds := atomic.Int64{} // a second passes each time, so that Ping always tries
	now := func() time.Time { return clock().Add(time.Duration(seconds.Add(1)) * time.Second) }
	d, err := Open(context.Background(), "sqlite:"+path, Options{Create: true, RowKey: rowauthtest.Key(), Now: now})
	if err != nil {
		return err
	}
	ctx := context.Background()
	if err := errors.Join(d.Append(ctx, testEntry(0)), d.Ping(ctx)); err != nil {
		return err
	}
	if err := failSystemCalls(syscall.EIO, syscall.SYS_FSYNC, syscall.SYS_FDATASYNC); err != nil {
		return errUnsupported
	}
	for range 3 { // first without any append
		if err := d.Ping(ctx); err == nil || !strings.Contains(err.Error(), "I/O error") {
			return fmt.Errorf("the disk cannot be flushed, and the store says: %w", err)
		}
	}
	if err := d.Append(ctx, testEntry(1)); err == nil {
		return errors.New("an entry is acknowledged that may not be on the disk")
	}
	if err := d.Ping(ctx); err == nil {
		return errors.New("an append failed, and the store says that it can be written")
	}
	return nil
}

var errUnsupported = errors.New("not supported here")

// failSystemCalls makes two system calls of this process fail from now on, by seccomp(2).
func failSystemCalls(errno syscall.Errno, first, second uint32) error {
	const setNoNewPrivileges, setModeFilter, syncThreads = 38, 1, 1
	number, known := map[string]uintptr{"amd64": 317, "arm64": 277}[runtime.GOARCH]
	if runtime.GOOS != "linux" || !known {
		return errUnsupported
	}
	filter := []syscall.SockFilter{
		{Code: syscall.BPF_LD | syscall.BPF_W | syscall.BPF_ABS}, // the number of the call
		{Code: syscall.BPF_JMP | syscall.BPF_JEQ | syscall.BPF_K, K: first, Jt: 2},
		{Code: syscall.BPF_JMP | syscall.BPF_JEQ | syscall.BPF_K, K: second, Jt: 1},
		{Code: syscall.BPF_RET, K: 0x7fff0000},                 // allow
		{Code: syscall.BPF_RET, K: 0x00050000 | uint32(errno)}, // fail
	}
	program := syscall.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if _, _, e := syscall.RawSyscall6(syscall.SYS_PRCTL, setNoNewPrivileges, 1, 0, 0, 0, 0); e != 0 {
		return e
	}
	if thread, _, e := syscall.RawSyscall(number, setModeFilter, syncThreads, uintptr(unsafe.Pointer(&program))); e != 0 || thread != 0 {
		return errors.Join(errUnsupported, e)
	}
	return nil
}
