// Package subject says what can be measured: a server that is installed, set up
// in a folder of its own, started on one address, and asked for tokens ([Server]).
// bench/moneyer and bench/peers describe servers with it, bench/load asks them.
//
// It runs the programs of a server on chosen processor cores ([Start]), stops
// them, and counts the processor time and memory that they take, children
// included; the program that asks is kept on other cores ([Pin]), so that they do
// not take each other's time. This works on Linux alone; elsewhere every call is
// [errors.ErrUnsupported].
//
// And it has what a token request must at least cost: the bare operations
// ([Micro]: signatures by Go and by OpenSSL, a write that reaches the disk), and
// reference servers ([References]) that parse a form, verify and sign with Go's
// standard library, and do nothing else. The references are no authorization
// servers: they know one client's key, check no claim, keep nothing, and answer
// every request. They run in processes of their own, by [ServeReference].
package subject

import (
	"context"
	"io"
	"net/http"
	"os/exec"
)

// A Server is one server, or one set-up of a server.
type Server struct {
	// Name in tables, such as "oidc-provider".
	Name string
	// Keeps says what of a token survives a power cut, and where: "nothing", or
	// such as "a row per token, PostgreSQL 15, synchronous_commit on".
	Keeps string
	// Cannot says, by kind, why an exchange is not asked for: "no such grant".
	Cannot map[Kind]string
	// Install fetches and builds what is not there yet, tells progress to log,
	// and returns the version that will be measured.
	Install func(ctx context.Context, log io.Writer) (version string, err error)
	// Configure writes into folder, which is new and empty, what the server needs
	// to serve plain HTTP at address ("127.0.0.1:port"). Nothing runs yet.
	Configure func(ctx context.Context, folder, address string) (*Setup, error)
}

// A Setup is a server that is ready to start.
type Setup struct {
	// Beside are programs that must run before the server, such as its database,
	// in order, each ready when its Ready says so. They share the server's core.
	Beside []Program
	// Server is the server itself. What it costs is counted together with Beside.
	Server Program
	// Exchanges that the server can be asked for.
	Exchanges []Exchange
}

// A Program is started, used when ready, and stopped by SIGTERM.
type Program struct {
	Command *exec.Cmd
	// Ready is asked again and again until it returns nil. It must not take long.
	Ready func(ctx context.Context) error
	// Prepare, when it is not nil, is called once after Ready, such as to register
	// clients through an admin API; after a restart only if the server then refuses
	// what it granted before.
	Prepare func(ctx context.Context) error
}

// Kind names what is exchanged for what, so that servers can be compared.
type Kind string

// The kinds, each with the algorithm of the access token.
const (
	ClientCredentialsES256 Kind = "client_credentials ES256"
	ClientCredentialsRS256 Kind = "client_credentials RS256"
	JWTBearerES256         Kind = "jwt-bearer ES256"
	PrivateKeyJWTES256     Kind = "private_key_jwt ES256"
)

// An Exchange is one kind of token request and how its answer is judged.
type Exchange struct {
	Kind Kind
	// Variant tells exchanges of one kind apart, such as by the profile; empty for
	// the only one.
	Variant string
	// Note says what a reader of the table must know, such as "no replay check".
	Note string
	// URL of the token endpoint.
	URL string
	// Header of each request, Content-Type among them.
	Header http.Header
	// Body makes the n-th request's body. It is called from one goroutine, before
	// the measurement; each body is sent once.
	Body func(n int) ([]byte, error)
	// Token finds the access token in the body of a 200 answer; nil reads the
	// member access_token.
	Token func(body []byte) (string, error)
	// Keys is the URL of the JWK set that the tokens verify with, and Alg their
	// algorithm, which Token's answer must name. Without an Alg the answer holds
	// no token, and its status is all that is judged: an empty reference server.
	Keys, Alg string
}
