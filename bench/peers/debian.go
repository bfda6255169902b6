package peers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// debian is a set of Debian packages that is unpacked into the benchmark's own folder, with what
// they depend on and the system lacks. The system neither installs nor configures nor starts
// anything of them, and no privileges are needed.
type debian struct {
	// name is that of the folder.
	name string
	// packages to unpack; the first one's version is the peer's.
	packages []string
}

// debianStamp is written last: it contains the version.
const debianStamp = "version"

// root returns the folder that stands for the system's.
func (d debian) root() (string, error) {
	folder, err := cache(d.name)
	return filepath.Join(folder, "root"), err
}

// version returns the version that is unpacked.
func (d debian) version() (string, error) {
	folder, err := cache(d.name)
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(folder, debianStamp))
	if err != nil {
		return "", fmt.Errorf("%s has not been unpacked", d.packages[0])
	}
	return string(text), nil
}

// install unpacks the packages, unless that was done before.
func (d debian) install(ctx context.Context, log io.Writer) (version string, err error) {
	if version, err := d.version(); err == nil {
		return version, nil
	}
	for _, tool := range []string{"apt-get", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", fmt.Errorf("%s is missing: %s are Debian packages", tool, strings.Join(d.packages, " "))
		}
	}
	folder, err := cache(d.name)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(log, "unpacking %s into %s\n", strings.Join(d.packages, " "), folder)
	archives := filepath.Join(folder, "archives")
	if err := errors.Join(os.RemoveAll(archives), os.RemoveAll(filepath.Join(folder, "root"))); err != nil {
		return "", err
	}
	for _, made := range []string{"lists/partial", "cache/archives/partial", "archives", "root"} {
		if err := os.MkdirAll(filepath.Join(folder, made), 0o755); err != nil {
			return "", err
		}
	}
	if err := d.download(ctx, folder, archives); err != nil {
		return "", err
	}
	if version, err = d.unpack(ctx, folder, archives); err != nil {
		return "", err
	}
	return version, os.WriteFile(filepath.Join(folder, debianStamp), []byte(version), 0o644)
}

// aptOptions make apt-get keep its lists below a folder. It still reads which packages the system
// has, and from where they come.
func aptOptions(folder string) []string {
	return []string{"-q", "-o", "Dir::State::Lists=" + filepath.Join(folder, "lists"), "-o", "Dir::Cache=" + filepath.Join(folder, "cache"),
		"-o", "APT::Sandbox::User=", "-o", "Debug::NoLocking=1"}
}

// download downloads the packages, and those that installing them would add.
func (d debian) download(ctx context.Context, folder, archives string) error {
	if err := run(ctx, archives, "apt-get", append(aptOptions(folder), "update")...); err != nil {
		return err
	}
	plan := exec.CommandContext(ctx, "apt-get", append(append(aptOptions(folder), "install", "--simulate", "--no-install-recommends"), d.packages...)...)
	plan.Env = append(os.Environ(), "LC_ALL=C")
	var complaint bytes.Buffer
	plan.Stderr = &complaint
	output, err := plan.Output()
	if err != nil {
		return fmt.Errorf("apt-get install --simulate: %w\n%s", err, bytes.TrimSpace(complaint.Bytes()))
	}
	return run(ctx, archives, "apt-get", append(append(aptOptions(folder), "download"), withPlanned(d.packages, string(output))...)...)
}

// withPlanned adds to packages those that apt-get's plan would install.
func withPlanned(packages []string, plan string) []string {
	all := slices.Clone(packages)
	for line := range strings.Lines(plan) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == "Inst" && !slices.Contains(all, words[1]) {
			all = append(all, words[1])
		}
	}
	return all
}

// unpack unpacks every archive and returns the version of the first package.
func (d debian) unpack(ctx context.Context, folder, archives string) (version string, err error) {
	found, err := filepath.Glob(filepath.Join(archives, "*.deb"))
	if err != nil {
		return "", err
	}
	for _, archive := range found {
		if err := run(ctx, archives, "dpkg-deb", "--extract", archive, filepath.Join(folder, "root")); err != nil {
			return "", err
		}
		if strings.HasPrefix(filepath.Base(archive), d.packages[0]+"_") {
			text, err := exec.CommandContext(ctx, "dpkg-deb", "--field", archive, "Version").Output()
			if err != nil {
				return "", err
			}
			version = strings.TrimSpace(string(text))
		}
	}
	if version == "" {
		return "", fmt.Errorf("apt-get downloaded no %s", d.packages[0])
	}
	return version, os.RemoveAll(archives)
}

// environment returns the environment in which a program of the packages finds their libraries.
func (d debian) environment() ([]string, error) {
	root, err := d.root()
	if err != nil {
		return nil, err
	}
	libraries, err := filepath.Glob(filepath.Join(root, "usr", "lib", "*-linux-*"))
	if err != nil {
		return nil, err
	}
	return append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(append(libraries, filepath.Join(root, "usr", "lib")), ":")), nil
}

// program returns the path of a program: the system's, or the one of the packages.
func (d debian) program(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	root, err := d.root()
	if err != nil {
		return "", err
	}
	return exec.LookPath(filepath.Join(root, "usr", "bin", name))
}
