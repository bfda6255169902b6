package peers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// javaWarmUp is how long a server in Java is requested before it is measured: the virtual machine
// compiles what is used often, on the server's core. The processor time of a token falls to a third
// meanwhile, and little later.
const javaWarmUp = time.Minute

// javaTools returns an error if a program is missing that servers in Java need.
func javaTools() error {
	for _, tool := range []struct{ program, debian string }{{"java", "openjdk-17-jdk-headless"}, {"mvn", "maven"}} {
		if _, err := exec.LookPath(tool.program); err != nil {
			return fmt.Errorf("%s is missing; on Debian: apt-get install %s", tool.program, tool.debian)
		}
	}
	return nil
}

// A javaServer is a peer that Maven downloads or builds, in the folder of its name in the cache.
type javaServer struct {
	// name of the folder.
	name string
	// stamp identifies what is installed: another one is installed again.
	stamp string
}

// javaStamp is written last: it contains javaServer.stamp.
const javaStamp = "installed"

// installed returns why the peer cannot be started, or nil.
func (j javaServer) installed() error {
	if err := javaTools(); err != nil {
		return err
	}
	folder, err := cache(j.name)
	if err != nil {
		return err
	}
	have, err := os.ReadFile(filepath.Join(folder, javaStamp))
	if err != nil || string(have) != j.stamp {
		return fmt.Errorf("%s is not installed, or not as it is now described", j.name)
	}
	return nil
}

// install calls do with an empty folder, unless that was done before.
func (j javaServer) install(ctx context.Context, do func(ctx context.Context, folder string) error) error {
	if err := javaTools(); err != nil {
		return err
	}
	if j.installed() == nil {
		return nil
	}
	folder, err := cache(j.name)
	if err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(folder), os.MkdirAll(folder, 0o755)); err != nil {
		return err
	}
	if err := do(ctx, folder); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, javaStamp), []byte(j.stamp), 0o644)
}

// javaVersion returns the version of the virtual machine.
func javaVersion(ctx context.Context) (string, error) {
	text, err := exec.CommandContext(ctx, "java", "--version").Output() // openjdk 17.0.15 2025-04-15
	if err != nil {
		return "", fmt.Errorf("java --version: %w", err)
	}
	var name, version string
	if _, err := fmt.Sscan(string(text), &name, &version); err != nil {
		return "", fmt.Errorf("java --version says %q", text)
	}
	return "Java " + version, nil
}
