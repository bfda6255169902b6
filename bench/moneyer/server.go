package moneyer

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"moneyer/bench/peers"
	"moneyer/bench/subject"
)

// Options configure a Moneyer to measure.
type Options struct {
	// Name in tables; empty means "moneyer".
	Name string
	// Root is the folder of the repository.
	Root string
	// Static selects the build for containers and other machines, which signs with Go, instead of
	// that of `make run`, which signs with OpenSSL where its headers are.
	Static bool
	// Clients is the number of registered and requesting clients; 0 means 1.
	Clients int
	// Entries in the ledger before the start, and their minimum age.
	Entries int
	Age     time.Duration
	// Retention of the ledger; 0 means for ever.
	Retention time.Duration
	// Limits keeps the default limits; otherwise clients are not limited.
	Limits bool
	// Apart separates the requests of the first client from those of all others: two exchanges with
	// jwt-bearer.
	Apart bool
	// Postgres keeps the store in a PostgreSQL beside the server, instead of a file.
	Postgres bool
	// Log receives progress messages.
	Log io.Writer

	// store is the URL of the store; empty means a file in the server's folder.
	store string
}

// cacheFrom is the number of clients or entries from which a filled store is cached.
const cacheFrom = 5000

// Server describes a Moneyer.
func Server(o Options) subject.Server {
	if o.Name == "" {
		o.Name = "moneyer"
	}
	o.Clients = max(o.Clients, 1)
	where := "SQLite"
	if o.Postgres {
		where = "PostgreSQL (synchronous_commit=on)"
	}
	return subject.Server{
		Name:   o.Name,
		Keeps:  "a ledger entry per token and each consumed assertion: " + where + ", on the disk before the answer",
		Cannot: map[subject.Kind]string{},
		Install: func(ctx context.Context, log io.Writer) (string, error) {
			return o.install(ctx, log)
		},
		Configure: func(ctx context.Context, folder, address string) (*subject.Setup, error) {
			return o.configure(ctx, folder, address, nil)
		},
		ConfigureTLS: func(ctx context.Context, folder, address string, c *subject.Certificates) (*subject.Setup, error) {
			return o.configure(ctx, folder, address, c)
		},
	}
}

// build returns the target of the Makefile and its output.
func (o *Options) build() (target, binary string) {
	if o.Static {
		return "build-static", filepath.Join(o.Root, "bin/moneyer-static")
	}
	return "build", filepath.Join(o.Root, "bin/moneyer")
}

// install builds the program and returns its version.
func (o *Options) install(ctx context.Context, log io.Writer) (string, error) {
	target, binary := o.build()
	build := exec.CommandContext(ctx, "make", "--no-print-directory", target)
	build.Dir, build.Stdout, build.Stderr = o.Root, log, log
	if err := build.Run(); err != nil {
		return "", fmt.Errorf("make %s: %w", target, err)
	}
	version, err := versionOf(ctx, binary)
	if err != nil || !o.Postgres {
		return version, err
	}
	postgres, err := peers.InstallPostgres(ctx, log)
	return version + ", PostgreSQL " + postgres, err
}

// versionOf returns what the program says of its version, in one line.
func versionOf(ctx context.Context, binary string) (string, error) {
	version, err := exec.CommandContext(ctx, binary, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", filepath.Base(binary), err)
	}
	text := strings.ReplaceAll(strings.TrimSpace(string(version)), "\n", "; ")
	return strings.TrimPrefix(text, "moneyer "), nil
}

// signsWith returns the library that a program of this version signs with.
func signsWith(version string) subject.Library {
	if strings.Contains(version, "OpenSSL") {
		return subject.OpenSSL
	}
	return subject.Go
}

// configure sets up a server for plain HTTP, or with certificates for TLS.
func (o *Options) configure(ctx context.Context, folder, address string, c *subject.Certificates) (*subject.Setup, error) {
	admin, err := subject.FreeAddress(ctx)
	if err != nil {
		return nil, err
	}
	home := folder
	if o.Retention == 0 && (o.Clients >= cacheFrom || o.Entries >= cacheFrom) {
		if home, err = o.cacheFolder(); err != nil {
			return nil, err
		}
	}
	_, binary := o.build()
	version, err := versionOf(ctx, binary)
	if err != nil {
		return nil, err
	}
	text, beside, err := o.prepare(ctx, home, func(o *Options) string { return configuration(o, address, admin, c) })
	if err != nil {
		return nil, err
	}
	file := filepath.Join(home, configFile)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	setup := &subject.Setup{
		Beside: beside,
		Server: subject.Program{
			Command: exec.CommandContext(context.WithoutCancel(ctx), binary, "serve", "--config", file),
			Ready:   subject.Answers("http://" + address + "/readyz"),
		},
		Signs:     signsWith(version),
		Heap:      func(ctx context.Context) (int64, error) { return liveHeap(ctx, "http://"+admin+"/metrics") },
		Exchanges: o.exchanges("http://" + address),
	}
	if c != nil {
		setup.Server.Ready = c.Answers("https://" + address + "/readyz")
		setup.Exchanges = o.tlsExchanges("https://"+address, c)
	}
	return setup, nil
}

// prepare fills the store in home, and returns the configuration. A store in PostgreSQL is filled by
// the program beside the server.
func (o *Options) prepare(ctx context.Context, home string, configuration func(*Options) string) (text string, beside []subject.Program, err error) {
	if !o.Postgres {
		text = configuration(o)
		return text, nil, o.fill(ctx, home, text)
	}
	db, err := peers.NewDatabase(ctx, home)
	if err != nil {
		return "", nil, err
	}
	there := *o
	there.store = db.URL()
	text = configuration(&there)
	return text, []subject.Program{db.Program(ctx, func(ctx context.Context) error { return there.fill(ctx, home, text) })}, nil
}
