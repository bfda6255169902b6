package peers

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"moneyer/bench/subject"
)

// source returns the folder in the repository from which a peer is built.
func source(name string) (string, error) {
	top, err := subject.Repository()
	return filepath.Join(top, "bench", "peers", name), err
}

// cache returns the folder for what is built or downloaded for a peer. It is created if missing,
// with a .gitignore.
func cache(name string) (string, error) {
	top, err := subject.Repository()
	if err != nil {
		return "", err
	}
	whole := filepath.Join(top, "bench", ".cache")
	folder := filepath.Join(whole, "peers", name)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	ignore := filepath.Join(whole, ".gitignore")
	if _, err := os.Stat(ignore); err == nil {
		return folder, nil
	}
	return folder, os.WriteFile(ignore, []byte("*\n"), 0o644)
}

// run runs a command in a folder. Its output is shown only if it fails.
func run(ctx context.Context, folder, name string, args ...string) error {
	command := exec.CommandContext(ctx, name, args...)
	command.Dir = folder
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "DEBIAN_FRONTEND=noninteractive")
	output, err := command.CombinedOutput()
	if err == nil {
		return nil
	}
	const most = 2000 // bytes at the end, which have the cause
	if len(output) > most {
		output = output[len(output)-most:]
	}
	return fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, bytes.TrimSpace(output))
}

// program returns a command that is not bound to ctx: the caller must end it.
func program(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(context.WithoutCancel(ctx), name, args...)
}

// A goServer is a peer that is built by the go command from the module in the folder of its name.
type goServer struct {
	// name of the folder.
	name string
	// main is the package to build, "." for the folder's own.
	main string
	// module whose version is the peer's.
	module string
}

// binary returns the path of the built binary.
func (g goServer) binary() (string, error) {
	folder, err := cache(g.name)
	return filepath.Join(folder, "server"), err
}

// build builds the binary, which is quick if it is up to date.
func (g goServer) build(ctx context.Context, log io.Writer) (version string, err error) {
	folder, err := source(g.name)
	if err != nil {
		return "", err
	}
	binary, err := g.binary()
	if err != nil {
		return "", err
	}
	if g.installed() != nil {
		fmt.Fprintf(log, "%s: building; the first time may take minutes\n", g.name)
	}
	if err := run(ctx, folder, "go", "build", "-trimpath", "-o", binary, g.main); err != nil {
		return "", err
	}
	return g.version(binary)
}

// version reads the peer's version from the binary.
func (g goServer) version(binary string) (string, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return "", err
	}
	for _, module := range append(info.Deps, &info.Main) {
		if module.Path == g.module {
			return module.Version, nil
		}
	}
	return "", fmt.Errorf("%s was built without %s", binary, g.module)
}

// installed returns an error if the binary is missing.
func (g goServer) installed() error {
	binary, err := g.binary()
	if err != nil {
		return err
	}
	_, err = os.Stat(binary)
	return err
}

// asRoot returns the prefix that runs a command as root, or an error that names what cannot be
// installed.
func asRoot(ctx context.Context, missing []string) ([]string, error) {
	if os.Geteuid() == 0 {
		return nil, nil
	}
	if exec.CommandContext(ctx, "sudo", "-n", "true").Run() == nil {
		return []string{"sudo", "-n"}, nil
	}
	return nil, fmt.Errorf("missing: %s; install by apt-get, or run this as root", strings.Join(missing, " "))
}

// aptInstall installs Debian packages and lets them start no service: what is
// measured is started by the benchmark alone. Debian asks policy-rc.d before a
// package starts its service; a policy that is there already stays.
func aptInstall(ctx context.Context, log io.Writer, packages ...string) error {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("missing: %s, which are Debian packages", strings.Join(packages, " "))
	}
	sudo, err := asRoot(ctx, packages)
	if err != nil {
		return err
	}
	as := func(words ...string) error {
		words = append(append([]string{}, sudo...), words...)
		return run(ctx, "/", words[0], words[1:]...)
	}
	fmt.Fprintf(log, "installing %s by apt-get\n", strings.Join(packages, " "))
	const policy = "/usr/sbin/policy-rc.d"
	if _, err := os.Stat(policy); errors.Is(err, os.ErrNotExist) {
		if err := as("sh", "-c", `printf '#!/bin/sh\nexit 101\n' >`+policy+` && chmod 755 `+policy); err != nil {
			return err
		}
		defer func() { _ = as("rm", "-f", policy) }() // a policy left behind starts no service, which hurts less
	}
	if err := as("apt-get", "update", "-q"); err != nil {
		return err
	}
	if err := as(append([]string{"env", "DEBIAN_FRONTEND=noninteractive",
		"apt-get", "install", "-qy", "--no-install-recommends"}, packages...)...); err != nil {
		return err
	}
	for _, name := range packages {
		if _, err := os.Stat(filepath.Join("/etc/init.d", name)); err == nil {
			_ = as("update-rc.d", name, "disable") // for the next boot, where there is one
		}
	}
	return nil
}

// debianVersion returns the version of an installed Debian package.
func debianVersion(ctx context.Context, name string) (string, error) {
	text, err := exec.CommandContext(ctx, "dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", name).Output()
	version, ok := strings.CutPrefix(string(text), "installed ")
	if err != nil || !ok {
		return "", fmt.Errorf("the Debian package %s is missing", name)
	}
	return version, nil
}
