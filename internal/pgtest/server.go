// Package pgtest runs PostgreSQL servers on loopback, for tests and for `make cluster`. It starts
// them from Debian's packages, creates standbys, kills servers and promotes standbys.
//
// It is not part of Moneyer's programs. Each server has its own folder and port, accepts every
// local connection as the superuser [User] without a password, and is removed with its [Folder]
// when the program that started it ends, even if that is killed.
// that comes about.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// User is the superuser of each server. It needs no password.
const User = "moneyer"

// ErrMissing means that PostgreSQL is not installed.
var ErrMissing = errors.New("PostgreSQL is missing: apt-get install postgresql")

const (
	startTimeout = time.Minute
	stopTimeout  = 20 * time.Second
	// pollInterval is the interval for polling a server.
	pollInterval = 5 * time.Millisecond
)

// Options configure a server. The zero value works.
type Options struct {
	// Dir is the parent of the server's folder; other users need permission to pass
	// through it. Default: the system's folder for temporary files.
	Dir string
	// Settings are written to postgresql.conf after those of this package.
	Settings map[string]string
}

// A Server is a PostgreSQL server. Its methods must not be called concurrently.
type Server struct {
	name    string
	parent  string // parent of the folder
	folder  *Folder
	port    int
	process *process // nil if it was never started
}

// Start creates a primary server and returns when it accepts queries.
func Start(ctx context.Context, options Options) (*Server, error) {
	s, err := newServer("primary", options.Dir)
	if err != nil {
		return nil, err
	}
	if err := s.create(ctx, options.Settings); err != nil {
		return nil, errors.Join(err, s.Remove())
	}
	return s, nil
}

// newServer creates the folder of a server.
func newServer(name, parent string) (*Server, error) {
	if _, err := Programs(); err != nil {
		return nil, err
	}
	folder, err := NewFolder(parent, "moneyer-postgres-")
	if err != nil {
		return nil, err
	}
	s := &Server{name: name, parent: parent, folder: folder}
	// The server's user must be able to reach its data folder; the only other file here is the log.
	if err := errors.Join(os.Chmod(folder.Path, 0o711), s.makeData()); err != nil {
		return nil, errors.Join(err, folder.Remove())
	}
	return s, nil
}

// makeData creates an empty data folder that belongs to the server's user.
func (s *Server) makeData() error {
	if err := os.RemoveAll(s.data()); err != nil {
		return err
	}
	if err := os.Mkdir(s.data(), 0o700); err != nil {
		return err
	}
	who, err := Credential()
	if err != nil || who == nil {
		return err
	}
	return os.Chown(s.data(), int(who.Uid), int(who.Gid))
}

func (s *Server) create(ctx context.Context, settings map[string]string) error {
	// --no-sync: the files survive the end of processes, which is enough for tests.
	err := s.run(ctx, "initdb", "--pgdata="+s.data(), "--username="+User, "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync")
	if err != nil {
		return err
	}
	if err := s.configure(settings); err != nil {
		return err
	}
	return s.startAtFreePort(ctx)
}

// configure appends to postgresql.conf, which standbys copy.
func (s *Server) configure(settings map[string]string) error {
	all := map[string]string{
		"listen_addresses":           "127.0.0.1",
		"unix_socket_directories":    "",
		"max_connections":            "100",
		"shared_buffers":             "32MB",
		"dynamic_shared_memory_type": "mmap", // in the folder, so that nothing is left elsewhere
		"wal_level":                  "replica",
		"hot_standby":                "on",
		"max_wal_senders":            "10",
		"wal_keep_size":              "256MB", // for standbys that were disconnected
		// the retry interval of a standby that lost its primary
		"wal_retrieve_retry_interval": "100ms",
	}
	maps.Copy(all, settings)
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&text, "%s = %s\n", name, quote(all[name]))
	}
	return s.append("postgresql.conf", text.String())
}

// append appends to a file of the data folder, whose owner does not change.
func (s *Server) append(name, text string) error {
	file, err := os.OpenFile(filepath.Join(s.data(), name), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Close())
}

// startAtFreePort starts the server on a port that it keeps.
func (s *Server) startAtFreePort(ctx context.Context) (err error) {
	for range 5 { // another program may take the port first
		if s.port, err = FreePort(ctx); err != nil {
			return err
		}
		if err = s.launch(ctx); err == nil || !strings.Contains(err.Error(), "could not bind") {
			return err
		}
	}
	return err
}

// FreePort returns an unused port below the range of ephemeral ports, so that no outgoing
// connection takes it while the server is down.
func FreePort(ctx context.Context) (int, error) {
	for range 100 {
		port := 12000 + rand.IntN(20000)
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			return port, listener.Close()
		}
	}
	return 0, errors.New("100 loopback ports are all taken")
}

// launch starts the server and waits until it accepts queries.
func (s *Server) launch(ctx context.Context) error {
	// The port is not in the configuration file, which standbys copy.
	command, err := s.command(context.WithoutCancel(ctx), "postgres", "-D", s.data(), "-p", strconv.Itoa(s.port), "-c", "cluster_name="+s.name)
	if err != nil {
		return err
	}
	if s.process, err = startProcess(command, s.log()); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	err = s.wait(ctx, func(ctx context.Context) error {
		_, err := query[int](ctx, s, "SELECT 1")
		return err
	})
	if err != nil {
		return errors.Join(fmt.Errorf("start PostgreSQL %s: %w\n%s", s.name, err, s.logTail()), s.Kill())
	}
	return nil
}

// wait polls until there is no error, or the server has ended.
func (s *Server) wait(ctx context.Context, ask func(context.Context) error) error {
	again := time.NewTicker(pollInterval)
	defer again.Stop()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		if s.process == nil {
			return errors.New("the server does not run")
		}
		select {
		case <-s.process.ended:
			return errors.New("the server has ended")
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx))
		case <-again.C:
		}
	}
}

// URL returns the connection URL of a database. Each server has an empty database named postgres.
func (s *Server) URL(database string) string {
	return fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", User, s.Addr(), database)
}

// Addr returns the server's address.
func (s *Server) Addr() string { return "127.0.0.1:" + strconv.Itoa(s.port) }

// Name returns the server's name in synchronous_standby_names.
func (s *Server) Name() string { return s.name }

// PID returns the process id of the last started postmaster.
func (s *Server) PID() int { return s.process.pid }

// Running reports whether the server has been started and has not ended since.
func (s *Server) Running() bool {
	if s.process == nil {
		return false
	}
	select {
	case <-s.process.ended:
		return false
	default:
		return true
	}
}

// Exec runs one SQL command in the database postgres.
func (s *Server) Exec(ctx context.Context, sql string, args ...any) error {
	c, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return err
	}
	_, err = c.Exec(ctx, sql, args...)
	return errors.Join(err, c.Close(ctx))
}

// query returns the single value of a query in the database postgres.
func query[T any](ctx context.Context, s *Server, sql string, args ...any) (value T, err error) {
	c, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return value, err
	}
	err = c.QueryRow(ctx, sql, args...).Scan(&value)
	return value, errors.Join(err, c.Close(ctx))
}

// Stop shuts the server down: clients are disconnected, and standbys have received everything.
func (s *Server) Stop() error {
	if !s.Running() {
		return nil
	}
	if err := s.process.stop(syscall.SIGINT); err != nil {
		return errors.Join(fmt.Errorf("%w\n%s", err, s.logTail()), s.Kill())
	}
	return nil
}

// Kill kills all of the server's processes with SIGKILL, like a power cut.
func (s *Server) Kill() error {
	if s.process == nil {
		return nil
	}
	return s.process.kill()
}

// Restart starts the server again with the same port and data; a running one is stopped first.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.Stop(); err != nil {
		return err
	}
	return s.launch(ctx)
}

// Remove kills the server and removes its folder.
func (s *Server) Remove() error {
	return errors.Join(s.Kill(), s.folder.Remove())
}

func (s *Server) data() string { return filepath.Join(s.folder.Path, "data") }
func (s *Server) log() string  { return filepath.Join(s.folder.Path, "log") }

// logTail returns the end of the server's log.
func (s *Server) logTail() string {
	const most = 4 << 10
	text, err := os.ReadFile(s.log())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-most):])
}

// run runs one of PostgreSQL's programs and waits for it.
func (s *Server) run(ctx context.Context, name string, args ...string) error {
	command, err := s.command(ctx, name, args...)
	if err != nil {
		return err
	}
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, output)
	}
	return nil
}

// command returns a command for one of PostgreSQL's programs that does not run as root.
func (s *Server) command(ctx context.Context, name string, args ...string) (*exec.Cmd, error) {
	programs, err := Programs()
	if err != nil {
		return nil, err
	}
	who, err := Credential()
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, filepath.Join(programs, name), args...)
	command.Dir = s.data()
	command.Env = environment()
	// A separate process group, so that Ctrl-C in a terminal does not end it.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: who}
	return command, nil
}

// environment returns our environment without PGHOST, PGDATA and other PG variables.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "PG") })
}

func quote(value string) string { return "'" + strings.ReplaceAll(value, "'", "''") + "'" }
