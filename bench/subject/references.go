package subject

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"crypto"
)

// A Model is a set of requests to Moneyer, for sending the same to the references.
type Model struct {
	// Client is the key that verifies assertions.
	Client crypto.PublicKey
	// Grant makes the bodies of jwt-bearer requests, Credentials those of client_credentials, RS256
	// those of client_credentials with RS256.
	Grant, Credentials, RS256 func(int) ([]byte, error)
}

// References describes the reference servers that sign with a library. They are program with the
// command "reference": this one for Go's signatures, which "" means, and for those of OpenSSL what
// [BuildOpenSSL] returns.
func References(m Model, library Library, program string) ([]Server, error) {
	var servers []Server
	for _, work := range Works(library) {
		s, err := Reference(m, work, program)
		if err != nil {
			return nil, err
		}
		servers = append(servers, s)
	}
	return servers, nil
}

// Reference describes the reference server of a work.
func Reference(m Model, work Work, program string) (Server, error) {
	der, err := x509.MarshalPKIXPublicKey(m.Client)
	if err != nil {
		return Server{}, err
	}
	if program == "" {
		if program, err = os.Executable(); err != nil {
			return Server{}, err
		}
	}
	setup := func(ctx context.Context, address string, c *Certificates) *Setup {
		args, base, ready := []string{"reference", string(work), address, base64.RawURLEncoding.EncodeToString(der)}, "http://"+address, Answers
		if c != nil {
			args, base, ready = append(args, c.Cert, c.Key, c.CA), "https://"+address, c.Answers
		}
		return &Setup{
			Server:    Program{Command: exec.CommandContext(context.WithoutCancel(ctx), program, args...), Ready: ready(base + "/jwks.json")},
			Exchanges: []Exchange{m.exchange(work, base)},
		}
	}
	s := Server{
		Name:    string(work),
		Keeps:   "nothing",
		Install: func(context.Context, io.Writer) (string, error) { return runtime.Version(), nil },
		Configure: func(ctx context.Context, _, address string) (*Setup, error) {
			return setup(ctx, address, nil), nil
		},
	}
	switch plain, _ := work.split(); plain {
	case Empty, Sign, VerifySign: // servers behind TLS are compared with these
		s.ConfigureTLS = func(ctx context.Context, _, address string, c *Certificates) (*Setup, error) {
			return setup(ctx, address, c), nil
		}
	}
	return s, nil
}

// BuildOpenSSL builds the benchmark into folder with the tag openssl, and returns the program. The
// error says what is missing. root is the folder of the repository.
func BuildOpenSSL(ctx context.Context, root, folder string, log io.Writer) (program string, err error) {
	check := exec.CommandContext(ctx, filepath.Join(root, "has-openssl.sh"))
	check.Dir = root
	if said, err := check.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, strings.TrimSpace(string(said)))
	}
	program = filepath.Join(folder, "bench-openssl")
	build := exec.CommandContext(ctx, "go", "build", "-tags", "openssl", "-o", program, ".")
	build.Dir, build.Stdout, build.Stderr = filepath.Join(root, "bench"), log, log
	build.Env = append(os.Environ(), "CGO_ENABLED=1")
	if err := build.Run(); err != nil {
		return "", fmt.Errorf("go build -tags openssl: %w", err)
	}
	return program, nil
}

// exchange returns the exchange of Moneyer that a reference is compared with.
func (m *Model) exchange(work Work, base string) Exchange {
	e := Exchange{Kind: Kind(work), URL: base + "/token", Keys: base + "/jwks.json",
		Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}}
	switch plain, _ := work.split(); plain {
	case VerifySign:
		e.Alg, e.Body = "ES256", m.Grant
	case Sign:
		e.Alg, e.Body = "ES256", m.Credentials
	case SignRSA:
		e.Alg, e.Body = "RS256", m.RS256
	default: // no token: the response is constant
		e.Body = m.Credentials
	}
	return e
}

// Raw returns the command of a server that reads requests of fixed size and sends constant
// responses, to measure the load generator's limit.
func Raw(ctx context.Context, address string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("this program's own file: %w", err)
	}
	return exec.CommandContext(context.WithoutCancel(ctx), self, "raw", address), nil
}
