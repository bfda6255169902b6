// Package stand brings up a whole cluster on loopback: PostgreSQL with synchronous
// standbys, replicas of Moneyer as processes, HAProxy in front of them, and a
// registered client. `make cluster` shows it, and the cluster's tests break it.
//
// It starts Moneyer's binary as anybody would and knows nothing of its insides.
package stand

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"moneyer/cluster/fault"
	"moneyer/internal/pgtest"
)

// The one issuer of the cluster and the client that is registered with it.
const (
	Issuer   = "pay"
	Audience = "https://api.example.com/pay"
	Client   = "demo-client"
	Kid      = "demo-1"
	Scope    = "pay:read pay:write"
)

// Options are how a cluster is made. Only Binary is required.
type Options struct {
	// Binary is the path of the command moneyer.
	Binary string
	// Replicas is how many there are; 0 means 3.
	Replicas int
	// Standbys is how many follow the primary; 0 means 2, and less than 0 none. A commit
	// waits for one of them.
	Standbys int
	// Database is how PostgreSQL is started.
	Database pgtest.Options
	// Addresses of servers of PostgreSQL that somebody else runs, with an empty database
	// moneyer; then none is started here.
	Addresses []string
	// Faults puts a network between the replicas and the database that can be broken.
	Faults bool
	// Config is added to the replicas' configuration: whole tables of it, but for listen,
	// admin and the issuer.
	Config string
	// IssuerConfig is added to the issuer's table.
	IssuerConfig string
	// Log hears what is being done; nil means nobody does.
	Log io.Writer
}

// A Stand is a cluster. Its methods must not be called at the same time, but for
// those that only tell where something is.
type Stand struct {
	options Options
	folder  *pgtest.Folder
	// Servers are all of PostgreSQL, in the order of the replicas' URLs.
	Servers []*pgtest.Server
	// Primary is the one that takes writes.
	Primary *pgtest.Server
	// Network is nil without Faults.
	Network  *fault.Network
	Replicas []*Replica
	proxy    *haproxy
}

// Start makes a cluster and returns when all of it is ready.
func Start(ctx context.Context, options Options) (s *Stand, err error) {
	if options.Replicas == 0 {
		options.Replicas = 3
	}
	if options.Standbys == 0 {
		options.Standbys = 2
	}
	options.Standbys = max(options.Standbys, 0)
	if options.Log == nil {
		options.Log = io.Discard
	}
	if _, err := pgtest.Programs(); err != nil {
		return nil, err
	}
	if _, err := haproxyProgram(); err != nil {
		return nil, err
	}
	s = &Stand{options: options}
	if s.folder, err = pgtest.NewFolder("", "moneyer-cluster-"); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context) error{s.startDatabase, s.place, s.initialize, s.startReplicas, s.startProxy, s.register} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

// Close ends everything and removes it.
func (s *Stand) Close() error {
	var failed error
	for _, r := range s.Replicas {
		failed = errors.Join(failed, r.Kill())
	}
	if s.Network != nil {
		s.Network.Close()
	}
	for _, server := range s.Servers {
		failed = errors.Join(failed, server.Remove())
	}
	return errors.Join(failed, s.folder.Remove())
}

func (s *Stand) say(format string, args ...any) {
	fmt.Fprintf(s.options.Log, format+"\n", args...)
}

// Folder is where everything but the databases is.
func (s *Stand) Folder() string { return s.folder.Path }

// place chooses where the replicas and the proxy listen, and makes their folders.
func (s *Stand) place(ctx context.Context) (err error) {
	if s.proxy, err = newHAProxy(ctx, s.Folder()); err != nil {
		return err
	}
	if s.options.Faults {
		s.Network = fault.NewNetwork()
	}
	for n := range s.options.Replicas {
		r, err := s.newReplica(ctx, n+1)
		if err != nil {
			return err
		}
		s.Replicas = append(s.Replicas, r)
	}
	return nil
}

// initialize makes the master key, the store and the first administrator, by the
// first replica, and gives the others the same key.
func (s *Stand) initialize(ctx context.Context) error {
	first := s.Replicas[0].Folder
	if _, err := s.Run(ctx, "", "init", "--dir", first); err != nil {
		return err
	}
	key, err := os.ReadFile(filepath.Join(first, "master.key"))
	if err != nil {
		return err
	}
	for _, r := range s.Replicas[1:] {
		if err := os.WriteFile(filepath.Join(r.Folder, "master.key"), key, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// startReplicas starts all at once, as after a power cut.
func (s *Stand) startReplicas(ctx context.Context) error {
	s.say("Starting %d replicas ...", len(s.Replicas))
	return s.launchReplicas(ctx)
}

// launchReplicas starts those that do not run, and returns when all are ready.
func (s *Stand) launchReplicas(ctx context.Context) error {
	for _, r := range s.Replicas {
		if r.Running() {
			continue
		}
		if err := r.Launch(); err != nil {
			return err
		}
	}
	for _, r := range s.Replicas {
		if err := r.AwaitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *Stand) startProxy(ctx context.Context) error {
	s.say("Starting HAProxy ...")
	return s.proxy.start(ctx, s.Replicas)
}

// register makes the client's key and registers it, through the proxy.
func (s *Stand) register(ctx context.Context) error {
	s.say("Registering the client %s ...", Client)
	key := s.KeyFile()
	for _, args := range [][]string{
		{"keygen", "--out", key},
		{"client", "add", Client, "--issuer", Issuer, "--scope", Scope, "--name", "The demo client"},
		{"key", "add", Client, key + ".pub", "--issuer", Issuer, "--kid", Kid},
	} {
		if _, err := s.Run(ctx, "", args...); err != nil {
			return err
		}
	}
	return nil
}

// Run runs a moneyer command as the administrator and returns what it prints.
func (s *Stand) Run(ctx context.Context, input string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, s.options.Binary, args...)
	command.Dir = s.Folder()
	command.Env = append(os.Environ(), "MONEYER_ADMIN="+s.AdminFile())
	command.Stdin = strings.NewReader(input)
	var complaint strings.Builder
	command.Stderr = &complaint
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("moneyer %s: %w\n%s%s", strings.Join(args, " "), err, out, complaint.String())
	}
	return string(out), nil
}

// KeyFile holds the client's private key.
func (s *Stand) KeyFile() string { return filepath.Join(s.Folder(), "client.pem") }

// AdminFile holds the first administrator's key.
func (s *Stand) AdminFile() string {
	return filepath.Join(s.Replicas[0].Folder, "moneyer-admin.json")
}

// IssuerURL is the issuer's, which leads through the proxy.
func (s *Stand) IssuerURL() string { return "http://" + s.proxy.public + issuerPath }

// SecureIssuerURL leads to the same through TLS and HTTP/2, with a certificate of
// no authority.
func (s *Stand) SecureIssuerURL() string { return "https://" + s.proxy.secure + issuerPath }

// AdminURL is the admin API's, through the proxy.
func (s *Stand) AdminURL() string { return "http://" + s.proxy.admin }

const issuerPath = "/" + Issuer
