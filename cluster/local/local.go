// Package local runs a whole cluster on loopback: PostgreSQL with synchronous standbys, replicas of
// Moneyer as processes, HAProxy in front of them, and a registered client. `make cluster` and the
// cluster's tests use it.
//
// It starts Moneyer's binary and does not depend on its packages.
package local

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

// The issuer of the cluster and its registered client.
const (
	Issuer   = "pay"
	Audience = "https://api.example.com/pay"
	Client   = "demo-client"
	Kid      = "demo-1"
	Scope    = "pay:read pay:write"
)

// Options configure a cluster. Only Binary is required.
type Options struct {
	// Binary is the path of the moneyer command.
	Binary string
	// Replicas is the number of replicas; 0 means 3.
	Replicas int
	// Standbys is the number of standbys; 0 means 2, and less than 0 none. A commit waits for one
	// of them.
	Standbys int
	// Database configures PostgreSQL.
	Database pgtest.Options
	// Addresses of existing PostgreSQL servers with an empty database moneyer; then no server is
	// started.
	Addresses []string
	// Faults puts a faulty network between the replicas and the database.
	Faults bool
	// Config is appended to the replicas' configuration: whole tables except listen, admin and the
	// issuer.
	Config string
	// IssuerConfig is appended to the issuer's table.
	IssuerConfig string
	// Log receives progress messages; nil discards them.
	Log io.Writer
}

// A Cluster is a running cluster. Its methods must not be called concurrently, except those that
// return addresses and paths.
type Cluster struct {
	options Options
	folder  *pgtest.Folder
	// Servers are all PostgreSQL servers, in the order of the replicas' URLs.
	Servers []*pgtest.Server
	// Primary is the server that accepts writes.
	Primary *pgtest.Server
	// Network is nil without Faults.
	Network  *fault.Network
	Replicas []*Replica
	proxy    *haproxy
}

// Start creates a cluster and returns when all of it is ready.
func Start(ctx context.Context, options Options) (s *Cluster, err error) {
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
	s = &Cluster{options: options}
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

// Close stops and removes everything.
func (s *Cluster) Close() error {
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

func (s *Cluster) say(format string, args ...any) {
	fmt.Fprintf(s.options.Log, format+"\n", args...)
}

// Folder returns the folder of everything but the databases.
func (s *Cluster) Folder() string { return s.folder.Path }

// place chooses the addresses of the replicas and the proxy, and creates their folders.
func (s *Cluster) place(ctx context.Context) (err error) {
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

// initialize creates the master key, the store and the first administrator with the first replica,
// and copies the key to the others.
func (s *Cluster) initialize(ctx context.Context) error {
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

// startReplicas starts all replicas at the same time, as after a power cut.
func (s *Cluster) startReplicas(ctx context.Context) error {
	s.say("Starting %d replicas ...", len(s.Replicas))
	return s.launchReplicas(ctx)
}

// launchReplicas starts the replicas that do not run, and waits until all are ready.
func (s *Cluster) launchReplicas(ctx context.Context) error {
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

func (s *Cluster) startProxy(ctx context.Context) error {
	s.say("Starting HAProxy ...")
	return s.proxy.start(ctx, s.Replicas)
}

// register creates the client's key and registers it, through the proxy.
func (s *Cluster) register(ctx context.Context) error {
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

// Run runs a moneyer command as the administrator and returns its output.
func (s *Cluster) Run(ctx context.Context, input string, args ...string) (string, error) {
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

// KeyFile returns the path of the client's private key.
func (s *Cluster) KeyFile() string { return filepath.Join(s.Folder(), "client.pem") }

// AdminFile returns the path of the first administrator's file.
func (s *Cluster) AdminFile() string {
	return filepath.Join(s.Replicas[0].Folder, "moneyer-admin.json")
}

// IssuerURL returns the issuer's URL, through the proxy.
func (s *Cluster) IssuerURL() string { return "http://" + s.proxy.public + issuerPath }

// SecureIssuerURL returns the issuer's URL with TLS and HTTP/2, through the proxy with its
// self-signed certificate.
func (s *Cluster) SecureIssuerURL() string { return "https://" + s.proxy.secure + issuerPath }

// AdminURL returns the URL of the admin API, through the proxy.
func (s *Cluster) AdminURL() string { return "http://" + s.proxy.admin }

const issuerPath = "/" + Issuer
