package daemon

import (
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"moneyer/internal/config"
)

// TestCheckPrivilegedPort: a port that this user may not have is refused by both, as a restart does
// not help.
func TestCheckPrivilegedPort(t *testing.T) {
	if first, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start"); err != nil || strings.TrimSpace(string(first)) != "1024" {
		t.Skipf("ports are not privileged here: %s %v", first, err)
	}
	file := newFolder(t)
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listen.Address = "127.0.0.1:443"
	done := make(chan [2]error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		if os.Geteuid() == 0 {
			// Without its privileges the thread may still read the test's folder: its user is the same.
			header, none := [2]uint32{0x20080522, 0}, [6]uint32{} // capset(2), version 3, this thread
			if _, _, errno := syscall.RawSyscall(syscall.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&none)), 0); errno != 0 {
				t.Errorf("capset: %v", errno)
			}
		}
		checked := Check(t.Context(), cfg)
		_, started := Start(t.Context(), Options{Load: func() (*config.Config, error) { return cfg, nil }, Log: io.Discard, Now: time.Now})
		done <- [2]error{checked, started}
	}()
	errs := <-done
	for _, err := range errs {
		wrong := new(ConfigError)
		if !errors.As(err, &wrong) || err.Error() != errs[0].Error() || !strings.Contains(err.Error(), "127.0.0.1:443: bind: permission denied: choose a port from 1024 on, or allow it") {
			t.Errorf("%v", err)
		}
	}
}
