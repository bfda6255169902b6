package local

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"moneyer/cluster/fault"
	"moneyer/internal/pgtest"
)

const (
	// readyTimeout is the timeout for becoming ready.
	readyTimeout = 60 * time.Second
	// stopTimeout is longer than the drain delay and the longest request.
	stopTimeout = 30 * time.Second
	askAgain    = 5 * time.Millisecond
)

// A Replica is one process of Moneyer.
type Replica struct {
	Name   string
	Folder string
	// Public and Admin are the addresses of its listeners.
	Public, Admin string
	// Links lead to the PostgreSQL servers, in order; none without Faults.
	Links []*fault.Link

	binary  string
	command *exec.Cmd
	ended   chan struct{}
	outcome error // its exit error; set before ended is closed
}

// newReplica creates a replica's folder and configuration.
func (s *Cluster) newReplica(ctx context.Context, number int) (*Replica, error) {
	r := &Replica{Name: fmt.Sprint("replica", number), binary: s.options.Binary}
	r.Folder = filepath.Join(s.Folder(), r.Name)
	if err := os.Mkdir(r.Folder, 0o700); err != nil {
		return nil, err
	}
	for _, address := range []*string{&r.Public, &r.Admin} {
		port, err := pgtest.FreePort(ctx)
		if err != nil {
			return nil, err
		}
		*address = loopback(port)
	}
	var hosts []string
	for _, host := range s.addresses() {
		if s.Network != nil {
			link, err := s.Network.Link(host)
			if err != nil {
				return nil, err
			}
			r.Links = append(r.Links, link)
			host = link.Address()
		}
		hosts = append(hosts, host)
	}
	store := fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", pgtest.User, strings.Join(hosts, ","), Database)
	return r, os.WriteFile(filepath.Join(r.Folder, "moneyer.toml"), []byte(s.configuration(r, store)), 0o600)
}

func loopback(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }

// configuration returns a replica's configuration. Replicas differ only in their addresses.
func (s *Cluster) configuration(r *Replica, store string) string {
	return fmt.Sprintf(`store = %q
master_key = "file:master.key"

[listen]
address = %q
trusted_proxies = ["127.0.0.0/8"]

[admin]
address = %q
url = %q

[issuers.%s]
url = %q
profile = "oauth2"
resource_audience = %q
%s
%s
`, store, r.Public, r.Admin, s.AdminURL(), Issuer, s.IssuerURL(), Audience, s.options.IssuerConfig, s.options.Config)
}

// Launch starts the process without waiting for it.
func (r *Replica) Launch() error {
	if r.Running() {
		return fmt.Errorf("%s runs already", r.Name)
	}
	log, err := os.OpenFile(r.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	// It ends by Stop or Kill, or with its folder.
	command := exec.CommandContext(context.Background(), r.binary, "serve", "--config", "moneyer.toml")
	command.Dir = r.Folder
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C in a terminal must not reach it
	if err := errors.Join(command.Start(), log.Close()); err != nil {
		return err
	}
	ended := make(chan struct{})
	r.command, r.ended = command, ended
	go func() {
		r.outcome = command.Wait()
		close(ended)
	}()
	return nil
}

// Running reports whether the process was started and has not ended.
func (r *Replica) Running() bool {
	if r.command == nil {
		return false
	}
	select {
	case <-r.ended:
		return false
	default:
		return true
	}
}

// PID returns the process id of the last launch.
func (r *Replica) PID() int { return r.command.Process.Pid }

// Ended returns a channel that is closed when the last launched process has ended.
func (r *Replica) Ended() <-chan struct{} { return r.ended }

// AwaitReady waits until /readyz returns 200.
func (r *Replica) AwaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	err := await(ctx, r.ended, func(ctx context.Context) error {
		ready, told, err := r.Ready(ctx)
		if err == nil && !ready {
			err = errors.New(told)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("%s is not ready: %w\n%s", r.Name, err, r.LogTail())
	}
	return nil
}

// await polls until there is no error, or the process has ended.
func await(ctx context.Context, ended <-chan struct{}, ask func(context.Context) error) error {
	again := time.NewTicker(askAgain)
	defer again.Stop()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-again.C:
		case <-ended:
			return errors.New("the process has ended")
		case <-ctx.Done():
			return err
		}
	}
}

// Ready calls /readyz once and returns its text.
func (r *Replica) Ready(ctx context.Context) (ready bool, told string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	status, body, err := get(ctx, "http://"+r.Public+"/readyz")
	return status == http.StatusOK, strings.TrimSpace(body), err
}

// IssuerURL returns the issuer's URL on this replica, without the proxy.
func (r *Replica) IssuerURL() string { return "http://" + r.Public + issuerPath }

// Kill kills the process with SIGKILL.
func (r *Replica) Kill() error {
	if !r.Running() {
		return nil
	}
	if err := r.command.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-r.ended
	return nil
}

// Stop stops the process with SIGTERM and waits until it has drained.
func (r *Replica) Stop() error {
	if err := r.command.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-r.ended:
	case <-time.After(stopTimeout):
		return errors.Join(fmt.Errorf("%s did not stop within %v\n%s", r.Name, stopTimeout, r.LogTail()), r.Kill())
	}
	if r.outcome != nil {
		return fmt.Errorf("%s: %w\n%s", r.Name, r.outcome, r.LogTail())
	}
	return nil
}

// Pause suspends the process with SIGSTOP.
func (r *Replica) Pause() error { return r.command.Process.Signal(syscall.SIGSTOP) }

// Resume continues a paused process.
func (r *Replica) Resume() error { return r.command.Process.Signal(syscall.SIGCONT) }

// Metric returns the sum of a metric's values, 0 if there is none.
func (r *Replica) Metric(ctx context.Context, name string) (float64, error) {
	_, text, err := get(ctx, "http://"+r.Admin+"/metrics")
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		words := strings.Fields(rest)
		value, err := strconv.ParseFloat(words[len(words)-1], 64)
		if err != nil {
			return 0, err
		}
		sum += value
	}
	return sum, nil
}

func (r *Replica) log() string { return filepath.Join(r.Folder, "log") }

// LogTail returns the end of the replica's log.
func (r *Replica) LogTail() string {
	const most = 8 << 10
	text, err := os.ReadFile(r.log())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-most):])
}
