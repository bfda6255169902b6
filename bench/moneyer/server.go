package moneyer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
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
	// OpenSSL selects the build that signs with the installed OpenSSL.
	OpenSSL bool
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
			return o.configure(ctx, folder, address)
		},
	}
}

// build returns the target of the Makefile and its output.
func (o *Options) build() (target, binary string) {
	if o.OpenSSL {
		return "build", filepath.Join(o.Root, "bin/moneyer")
	}
	return "build-static", filepath.Join(o.Root, "bin/moneyer-static")
}

// install builds the program and returns its version.
func (o *Options) install(ctx context.Context, log io.Writer) (string, error) {
	target, binary := o.build()
	build := exec.CommandContext(ctx, "make", "--no-print-directory", target)
	build.Dir, build.Stdout, build.Stderr = o.Root, log, log
	if err := build.Run(); err != nil {
		return "", fmt.Errorf("make %s: %w", target, err)
	}
	version, err := exec.CommandContext(ctx, binary, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", filepath.Base(binary), err)
	}
	if o.OpenSSL && !strings.Contains(string(version), "OpenSSL") {
		return "", errors.New("make build found no OpenSSL to sign with")
	}
	text := strings.TrimPrefix(strings.ReplaceAll(strings.TrimSpace(string(version)), "\n", "; "), "moneyer ")
	if !o.Postgres {
		return text, nil
	}
	postgres, err := peers.InstallPostgres(ctx, log)
	return text + ", PostgreSQL " + postgres, err
}

func (o *Options) configure(ctx context.Context, folder, address string) (*subject.Setup, error) {
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
	var beside []subject.Program
	if o.Postgres {
		db, err := peers.NewDatabase(ctx, folder)
		if err != nil {
			return nil, err
		}
		there := *o
		there.store = db.URL()
		o = &there
		beside = append(beside, db.Program(ctx, func(ctx context.Context) error { // runs before the server starts
			return there.fill(ctx, home, configuration(&there, address, admin))
		}))
	}
	text := configuration(o, address, admin)
	if !o.Postgres {
		if err := o.fill(ctx, home, text); err != nil {
			return nil, err
		}
	}
	file := filepath.Join(home, configFile)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	_, binary := o.build()
	return &subject.Setup{
		Beside: beside,
		Server: subject.Program{
			Command: exec.CommandContext(context.WithoutCancel(ctx), binary, "serve", "--config", file),
			Ready:   subject.Answers("http://" + address + "/readyz"),
		},
		Exchanges: o.exchanges("http://" + address),
	}, nil
}

// exchanges returns the exchanges of every profile, or with many clients, with which only these are
// registered, and on PostgreSQL only those of plain OAuth 2.0.
func (o *Options) exchanges(base string) []subject.Exchange {
	p := NewPartners(o.Clients)
	exchange := func(kind subject.Kind, variant, path, endpoint string, body func(int) ([]byte, error)) subject.Exchange {
		alg := "ES256"
		if kind == subject.ClientCredentialsRS256 {
			alg = "RS256"
		}
		return subject.Exchange{Kind: kind, Variant: variant, URL: base + path + endpoint, Header: formHeader(), Body: body,
			Keys: base + path + "/.well-known/jwks.json", Alg: alg}
	}
	plainIssuer := base + "/oauth2"
	oauth2 := []subject.Exchange{
		exchange(subject.JWTBearerES256, "oauth2", "/oauth2", "/oauth2/token", p.grant(plainIssuer)),
		exchange(subject.ClientCredentialsES256, "oauth2", "/oauth2", "/oauth2/token", p.secretPost(plain, "")),
	}
	if o.Apart {
		first, others := NewPartners(1), NewPartners(o.Clients)
		others.First = 1
		return []subject.Exchange{
			exchange(subject.JWTBearerES256, "the first client", "/oauth2", "/oauth2/token", first.grant(plainIssuer)),
			exchange(subject.JWTBearerES256, "the others", "/oauth2", "/oauth2/token", others.grant(plainIssuer)),
		}
	}
	if o.Clients > 1 || o.Entries > 0 || o.Postgres {
		return oauth2
	}
	merchant := exchange(subject.ClientCredentialsES256, "thales-etp", "/tsh-cof", "/auth/accessToken", func(int) ([]byte, error) {
		return []byte(`{"merchantId":"` + merchantID + `","tokens":["` + cardToken + `"],"scope":"` + etpScope + `"}`), nil
	})
	merchant.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"APIKEY " + secret(etp, 0)}, "X-Correlation-Id": {"bench-1"}}
	merchant.Token = etpToken
	return append([]subject.Exchange{
		exchange(subject.JWTBearerES256, "thales-d1", "/d1/authz/v1", "/oauth2/token", p.grant(audienceName)),
		exchange(subject.JWTBearerES256, "thales-d1-banking", "/d1-banking/authz/v1", "/oauth2/token", p.grant(audienceName)),
		exchange(subject.PrivateKeyJWTES256, "oauth2", "/oauth2", "/oauth2/token", p.clientAssertion(plainIssuer)),
		exchange(subject.ClientCredentialsRS256, "boltpay", "/boltpay", "/auth/token", p.secretPost(bolt, boltScope)),
		merchant,
	}, oauth2...)
}

func etpToken(body []byte) (string, error) {
	var answer struct {
		Token string `json:"accessToken"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return "", err
	}
	if answer.Token == "" {
		return "", errors.New("no accessToken")
	}
	return answer.Token, nil
}
