package peers

import (
	"bytes"
	"context"
	"debug/buildinfo"
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
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
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
