package trial

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
)

// machine describes the machine as far as possible.
func machine(ctx context.Context, pinned bool) Machine {
	m := Machine{CPU: "unknown", Cores: runtime.NumCPU(), Pinned: pinned, Kernel: runtime.GOOS, Go: runtime.Version()}
	if model := field("/proc/cpuinfo", "model name"); model != "" {
		m.CPU = model
	}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = "Linux " + strings.TrimSpace(string(release))
	}
	if kilobytes, err := strconv.ParseInt(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"), 10, 64); err == nil {
		m.Memory = kilobytes << 10
	}
	if out, err := exec.CommandContext(ctx, "openssl", "version").Output(); err == nil {
		version, _, _ := strings.Cut(strings.TrimSpace(string(out)), " (")
		m.OpenSSL = version
	}
	return m
}

// field returns the value of a field in a file of lines "name: value".
func field(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if key, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
