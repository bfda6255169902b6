// Package subject defines what can be measured: a server that is installed, set up in a folder of
// its own, started on one address, and requested for tokens ([Server]). bench/moneyer and
// bench/peers describe servers with it, bench/load sends the requests.
//
// It runs the programs of a server on chosen processor cores ([Start]), stops them, and measures
// their processor time and memory, including children. The load generator runs on other cores
// ([Pin]), so that they do not disturb each other. This works on Linux only; elsewhere every call
// returns [errors.ErrUnsupported].
//
// It also has the minimal cost of a token request: basic operations ([Micro]: signatures by Go and
// by OpenSSL, a durable write), and reference servers ([References]) that only parse a form, verify
// with Go's standard library, and sign with that or with OpenSSL. The references are no
// authorization servers: they know one client's key, check no claim, store nothing, and grant every
// request. They run in processes of their own, with [ServeReference].
package subject

import (
	"context"
	"io"
	"os/exec"
	"time"
)

// A Server is one server, or one configuration of a server.
type Server struct {
	// Name in tables, such as "oidc-provider".
	Name string
	// Plain is the name of the same server without TLS, which its rows have; empty means Name.
	Plain string
	// Keeps describes what is stored durably for each token, and where: "nothing", or for example
	// "a row per token, PostgreSQL 15, synchronous_commit on".
	Keeps string
	// Cannot says, by kind, why an exchange is not available: "no such grant".
	Cannot map[Kind]string
	// WarmUp is how long the exchanges are requested in turn before the first of them is measured, for a
	// server that compiles itself while it runs; 0 for the others.
	WarmUp time.Duration
	// Install downloads and builds what is missing, logs its progress, and returns the version to
	// be measured.
	Install func(ctx context.Context, log io.Writer) (version string, err error)
	// Configure writes into folder, which is new and empty, what the server needs to serve plain
	// HTTP at address ("127.0.0.1:port"). It starts nothing.
	Configure func(ctx context.Context, folder, address string) (*Setup, error)
	// ConfigureTLS, if not nil, does so for TLS with these certificates. The server's exchanges are
	// those that are measured; [OverTLS] gives them their connections.
	ConfigureTLS func(ctx context.Context, folder, address string, certificates *Certificates) (*Setup, error)
}

// A Setup is a configured server.
type Setup struct {
	// Beside are programs that must run before the server, such as its database, in order of their
	// start. They share the server's core.
	Beside []Program
	// Server is the server itself. Its cost includes Beside.
	Server Program
	// Signs is the library that signs the tokens: the ceiling is that of a reference that signs with
	// the same one. Empty means Go, or another library, of which there is no reference.
	Signs Library
	// Heap, if not nil, returns the live heap of the server in bytes.
	Heap func(ctx context.Context) (int64, error)
	// Exchanges that the server supports.
	Exchanges []Exchange
	// Replicas are the addresses of equal servers, of which that of the exchanges is the first; the
	// others run beside it. None means that there is one server only.
	Replicas []string
	// Count, if not nil, returns what the store of the replicas has done so far.
	Count func(ctx context.Context) (Counts, error)
}

// Counts are what a store has done so far.
type Counts struct {
	// Commits of batches, and the appends in them.
	Commits, Appends int64
	// WAL is the size of what the primary wrote to its log, in bytes.
	WAL int64
	// Transactions, also those that are no batch, Active for how long they executed statements or
	// waited for the disk and the standby, and Between for how long they waited for their client.
	Transactions    int64
	Active, Between time.Duration
}

// A Library makes the signatures of tokens.
type Library string

// The libraries that references sign with.
const (
	Go      Library = "Go"
	OpenSSL Library = "OpenSSL"
)

// A Program is started, used when ready, and stopped by SIGTERM.
type Program struct {
	Command *exec.Cmd
	// Role is what the program is among those of a server with replicas.
	Role Role
	// Ready is polled until it returns nil. It must not take long.
	Ready func(ctx context.Context) error
	// Prepare, if not nil, is called once after Ready, for example to register clients through an
	// admin API; after a restart it is called again only if the server refuses what it granted
	// before.
	Prepare func(ctx context.Context) error
}

// A Role is the part of a program in the cost of a token.
type Role string

// The roles. The server itself is a replica.
const (
	Replica Role = "replica"
	Primary Role = "primary"
	Standby Role = "standby"
)
