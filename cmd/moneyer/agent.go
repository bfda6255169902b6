package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"moneyer/internal/agent"
	"moneyer/internal/config"
)

// agentExample is a whole agent.toml.
const agentExample = `  moneyer agent --config agent.toml --check
  moneyer agent --config agent.toml
  curl --unix-socket /run/moneyer/agent.sock http://localhost/d1/cards
  curl http://127.0.0.1:7070/-/readyz       when it listens on TCP

  # agent.toml
  listen = "unix:/run/moneyer/agent.sock"   # or "127.0.0.1:7070"
  mode = "0660"                             # of the socket; default "0600"

  [tokens.d1]                               # a key that signs assertions
  profile = "thales-d1"
  issuer = "https://d1.example/authz/v1"
  client = "merchant01"
  key_file = "d1.pem"
  kid = "my-key-1"

  [tokens.etp]                              # an API key
  profile = "thales-etp"
  issuer = "https://etp.example/tsh-cof"
  api_key_file = "etp.key"
  scope = "PAYMENT_PASSKEY"
  params = { merchantId = "m-1", tokens = ["tok1", "tok2"] }

  [tokens.shop]                             # a client certificate (mutual TLS)
  profile = "oauth2"
  issuer = "https://as.example"
  discover = true                           # its metadata name the token endpoint
  client = "shop"
  tls_cert = "shop.crt"                     # read again when it changes
  tls_key = "shop.key"

  [upstreams.d1]                            # /d1/cards is https://d1.example/api/cards
  path = "/d1/"
  url = "https://d1.example/api"
  token = "d1"
  methods = ["GET", "POST"]                 # default: all but CONNECT and TRACE
  answer_timeout = "30s"
  total_timeout = "5m"
  max_body = 16777216

  [files.etp]                               # the token itself, renewed in time
  path = "/run/moneyer/etp.token"
  token = "etp"
  mode = "0640"                             # default "0600"

  [files.shop]
  path = "/run/moneyer/shop.token"
  token = "shop"`

func (a *app) agentCommand() *cobra.Command {
	var file string
	var check bool
	c := &cobra.Command{
		Use:   "agent --config FILE",
		Short: "Run a local proxy that adds access tokens to requests",
		Long: `A small proxy for programs in any language. It holds your key or secret, gets and
renews the tokens, and adds them to the requests for the configured upstreams. It
can also keep a current token in a file. It listens on a Unix socket or on
loopback only.

Its own error responses carry Moneyer-Agent-Error: 503 when no token is available,
502 and 504 when the upstream does not answer. GET /-/healthz and /-/readyz report
its health.

SIGHUP reloads the configuration, keys and secrets without dropping a request; if
they contain an error, the previous configuration stays active. A secret or key
that was replaced in its file is also used without a signal, when the platform
refuses the old one. SIGTERM finishes the requests in flight first.

Exit codes: 0 stopped by a signal, or the configuration is valid · 2 the
configuration, or a key that it names, is invalid · 3 it could not listen, or did
not finish in time.`,
		Example: agentExample,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := agent.Load(file)
			if err != nil {
				return usage(err)
			}
			if check {
				return a.printConfigChecked(file, cfg)
			}
			return a.agent(cmd.Context(), cfg, func() (*agent.Config, error) { return agent.Load(file) })
		},
	}
	c.Flags().StringVar(&file, "config", "agent.toml", "the configuration `file`")
	c.Flags().BoolVar(&check, "check", false, "only check the configuration, its keys, its secrets and its token files; sends no request")
	return c
}

// printConfigChecked prints the warnings and the summary of a valid configuration.
func (a *app) printConfigChecked(file string, cfg *agent.Config) error {
	for _, warning := range cfg.Warnings() {
		a.note("%s", warning)
	}
	fmt.Fprintf(a.out, "%s is good: %s, %s, %s\n", file,
		count(len(cfg.Tokens), "token"), count(len(cfg.Upstreams), "upstream"), count(len(cfg.Files), "file"))
	return nil
}

// agent serves until ctx ends, reloads at each SIGHUP, and drains.
func (a *app) agent(ctx context.Context, cfg *agent.Config, reload func() (*agent.Config, error)) error {
	log := config.Log(cfg.Log).New(a.err)
	listener, err := agent.Listen(ctx, cfg)
	if err != nil {
		return unavailable(err)
	}
	hangups := notifyHangups()
	running := agent.New(cfg, log, a.now)
	ended := make(chan error, 1)
	go func() { ended <- running.Serve(listener) }()
	log.Info("serving", "version", version, "address", listener.Addr().String(), "tokens", len(cfg.Tokens), "upstreams", len(cfg.Upstreams), "files", len(cfg.Files))
	err = waitForStop(ctx, hangups, ended, func() { reloadAgent(running, reload, log) })
	bounded, done := untilSecondSignal()
	defer done()
	bounded, cancel := context.WithTimeout(bounded, cfg.DrainTimeout)
	defer cancel()
	log.Info("stopping")
	if err = errors.Join(err, running.Shutdown(bounded)); err != nil {
		return unavailable(err)
	}
	log.Info("stopped")
	return nil
}

func reloadAgent(running *agent.Agent, read func() (*agent.Config, error), log *slog.Logger) {
	cfg, err := read()
	if err == nil {
		err = running.Reload(cfg)
	}
	if err != nil {
		log.Error("reload refused: the previous configuration stays active", "cause", err.Error())
		return
	}
	log.Info("reloaded", "tokens", len(cfg.Tokens), "upstreams", len(cfg.Upstreams), "files", len(cfg.Files))
}
