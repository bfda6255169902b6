package peers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"moneyer/bench/subject"
)

// nobody runs PostgreSQL if the benchmark runs as root, which PostgreSQL refuses. Every Debian has
// this user and group.
const nobody = "65534"

// postgresPackages is Debian's PostgreSQL, for a machine that has none.
func postgresPackages() debian { return debian{name: "postgresql", packages: []string{"postgresql"}} }

// postgresPrograms returns the program folder of the newest PostgreSQL server of the system, or of
// the one that was unpacked.
func postgresPrograms() (string, error) {
	unpacked, err := postgresPackages().root()
	if err != nil {
		return "", err
	}
	for _, root := range []string{"/", unpacked} {
		found, err := filepath.Glob(filepath.Join(root, "usr", "lib", "postgresql", "*", "bin", "postgres"))
		if err == nil && len(found) > 0 {
			return filepath.Dir(slices.Max(found)), nil
		}
	}
	return "", errors.New("PostgreSQL is missing")
}

// InstallPostgres unpacks Debian's PostgreSQL if there is none, and returns the version number.
func InstallPostgres(ctx context.Context, log io.Writer) (version string, err error) {
	if _, err := postgresPrograms(); err != nil {
		if _, err := postgresPackages().install(ctx, log); err != nil {
			return "", err
		}
	}
	return postgresVersion(ctx)
}

// A Database is a PostgreSQL server with its own folder and loopback port.
type Database struct {
	programs, data string
	port           string
	environment    []string
}

// NewDatabase creates the data folder, in folder.
func NewDatabase(ctx context.Context, folder string) (*Database, error) {
	programs, err := postgresPrograms()
	if err != nil {
		return nil, err
	}
	address, err := subject.FreeAddress(ctx)
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	d := &Database{programs: programs, data: filepath.Join(folder, "postgres"), port: port}
	if d.environment, err = postgresPackages().environment(); err != nil {
		return nil, err
	}
	if err := d.makeData(ctx); err != nil {
		return nil, err
	}
	initdb := d.command(ctx, "initdb", "--pgdata="+d.data, "--username=bench", "--auth=trust", "--encoding=UTF8", "--no-locale")
	if output, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, output)
	}
	return d, nil
}

// makeData creates the empty data folder.
func (d *Database) makeData(ctx context.Context) error {
	if err := os.Mkdir(d.data, 0o700); err != nil || os.Geteuid() != 0 {
		return err
	}
	folder := filepath.Dir(d.data)
	if err := run(ctx, folder, "chown", nobody, d.data); err != nil {
		return err
	}
	// The user must be able to reach its folder; only root can read the rest.
	return os.Chmod(folder, 0o711)
}

// command returns a command for one of PostgreSQL's programs that does not run as root.
func (d *Database) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	words := append([]string{filepath.Join(d.programs, name)}, args...)
	if os.Geteuid() == 0 {
		words = append([]string{"setpriv", "--reuid=" + nobody, "--regid=" + nobody, "--clear-groups", "--"}, words...)
	}
	command := program(ctx, words[0], words[1:]...)
	command.Dir, command.Env = d.data, d.environment
	return command
}

// connections is the maximum number of connections, more than the benchmark's concurrent requests:
// Hydra requests a second connection while it holds the first, and deadlocks when every request
// holds one and waits.
const connections = 300

// Program is the server with its defaults except for the address and the connections:
// synchronous_commit and fsync are on. prepare, if not nil, is called when it is ready.
func (d *Database) Program(ctx context.Context, prepare func(context.Context) error) subject.Program {
	return subject.Program{
		Command: d.command(ctx, "postgres", "-D", d.data, "-p", d.port,
			"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "synchronous_commit=on",
			"-c", fmt.Sprint("max_connections=", connections+10)),
		Ready: func(ctx context.Context) error {
			ready := exec.CommandContext(ctx, filepath.Join(d.programs, "pg_isready"), "--quiet", "--host=127.0.0.1", "--port="+d.port)
			ready.Env = d.environment
			return ready.Run()
		},
		Prepare: prepare,
	}
}

// URL returns the connection URL.
func (d *Database) URL() string {
	return fmt.Sprintf("postgres://bench@127.0.0.1:%s/postgres?sslmode=disable", d.port)
}

// jdbc returns the connection URL as Java's drivers want it.
func (d *Database) jdbc() string {
	return fmt.Sprintf("jdbc:postgresql://127.0.0.1:%s/postgres", d.port)
}

// postgresVersion returns the version number.
func postgresVersion(ctx context.Context) (string, error) {
	programs, err := postgresPrograms()
	if err != nil {
		return "", err
	}
	command := exec.CommandContext(ctx, filepath.Join(programs, "postgres"), "--version")
	if command.Env, err = postgresPackages().environment(); err != nil {
		return "", err
	}
	text, err := command.Output()
	if err != nil {
		return "", err
	}
	words := strings.Fields(string(text)) // postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)
	if len(words) < 3 {
		return "", fmt.Errorf("postgres --version says %q", text)
	}
	return words[2], nil
}
