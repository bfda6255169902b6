package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"moneyer/bearer"
	"moneyer/internal/config"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
)

// sandboxEnvironment is the environment of every issuer of a sandbox.
const sandboxEnvironment = "sandbox"

func (a *app) sandboxCommand() *cobra.Command {
	var dir, address, adminAddress string
	c := &cobra.Command{
		Use:   "sandbox",
		Short: "Serve every built-in platform on loopback, with demo partners, ready to try",
		Long: `Serve every built-in platform on loopback, with demo partners, and print for each
one command that gets a token and one that checks it.

The folder holds everything: configuration, master key, store, admin key and the
partners' own keys and secrets, all made afresh when the folder is new. Remove
the folder to begin anew. It is a place to try things, not one for production:
'moneyer init' begins that.`,
		Example: `  moneyer sandbox
  moneyer sandbox --dir /tmp/moneyer --listen 127.0.0.1:9080 --admin-listen 127.0.0.1:9081`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.sandbox(c, dir, sandboxConfig(address, adminAddress))
		},
	}
	c.Flags().StringVar(&dir, "dir", "sandbox", "the `folder` that holds everything")
	c.Flags().StringVar(&address, "listen", "127.0.0.1:8080", "the `address` of the platforms, for a new folder")
	c.Flags().StringVar(&adminAddress, "admin-listen", "127.0.0.1:8081", "the `address` of the admin API, for a new folder")
	return c
}

func (a *app) sandbox(c *cobra.Command, dir, configuration string) error {
	file := filepath.Join(dir, configFileName)
	if there, err := exists(file); err != nil {
		return err
	} else if there {
		if err := fitsSandbox(c, file); err != nil {
			return usage(err)
		}
	}
	if _, err := a.initFolder(c.Context(), dir, configuration); err != nil {
		return err
	}
	return a.serve(c.Context(), serving{
		read:   func() (*config.Config, error) { return readSandbox(file) },
		front:  withDemoAPI,
		opened: func(ctx context.Context, r *running) error { return a.welcome(ctx, r, dir) },
	})
}

// fitsSandbox refuses a configuration with other addresses than the flags ask
// for, which would else be ignored.
func fitsSandbox(c *cobra.Command, file string) error {
	cfg, err := readSandbox(file)
	if err != nil {
		return err
	}
	for flag, has := range map[string]string{"listen": cfg.Listen.Address, "admin-listen": cfg.Admin.Address} {
		if c.Flags().Changed(flag) && c.Flag(flag).Value.String() != has {
			return fmt.Errorf("--%s is for a new folder, and %s says %s: name another folder with --dir, or edit that file", flag, file, has)
		}
	}
	return nil
}

// readSandbox refuses a configuration that is not a sandbox's: there must be no
// demo partners elsewhere.
func readSandbox(file string) (*config.Config, error) {
	cfg, err := config.Load(file)
	if err != nil {
		return nil, err
	}
	for _, issuer := range issuersOf(cfg) {
		if issuer.Environment != sandboxEnvironment {
			return nil, fmt.Errorf("%s: issuer %s is not of environment %q, so this is no sandbox; 'moneyer serve' serves it", file, issuer.Name, sandboxEnvironment)
		}
	}
	return cfg, nil
}

// demoIssuer is what the sandbox adds to a profile's own name.
type demoIssuer struct {
	name, path, more string
	scope            string
}

// demoIssuers by profile. A profile without one is served under its name.
var demoIssuers = map[string]demoIssuer{
	"thales-d1":         {name: "d1", path: "/d1/authz/v1", more: `audience_names = ["stg"]`, scope: "d1-s2s:api:merchant-gtw"},
	"thales-d1-banking": {name: "d1-banking", path: "/d1-banking/authz/v1", more: `audience_names = ["stg"]`, scope: "d1-api:account:full d1-api:consumer:read"},
	"thales-etp":        {name: "etp", path: "/tsh-cof"},
}

func demoIssuerOf(name string) demoIssuer {
	if d, ok := demoIssuers[name]; ok {
		return d
	}
	return demoIssuer{name: name, path: "/" + name, scope: "demo:read demo:write"}
}

// sandboxConfig serves every built-in profile.
func sandboxConfig(address, adminAddress string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# A sandbox: every built-in platform on loopback. Not for production.
store = "sqlite:moneyer.db"
master_key = "file:master.key"

[listen]
address = %q

[admin]
address = %q

[log]
level = "info" # refusals too, each with its rule
format = "text"

[limits]
drain_delay = "-1s"
`, address, adminAddress)
	for _, name := range platform.BuiltinNames() {
		d := demoIssuerOf(name)
		fmt.Fprintf(&b, "\n[issuers.%s]\nurl = \"http://%s%s\"\nprofile = %q\nenvironment = %q\n", d.name, address, d.path, name, sandboxEnvironment)
		if usesAudience(name) {
			fmt.Fprintf(&b, "resource_audience = %q\n", "https://api.example.com/"+d.name)
		}
		if d.more != "" {
			fmt.Fprintln(&b, d.more)
		}
	}
	return b.String()
}

func usesAudience(name string) bool {
	p, err := platform.Builtin(name)
	return err == nil && p.Policy.Token.Claim("aud") != nil && p.Policy.Token.Claim("aud").From == platform.SourceAudience
}

// withDemoAPI puts beside each issuer an API that takes its tokens and answers
// with what they say.
func withDemoAPI(h *house) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", h.public)
	for _, issuer := range h.issuers {
		v := &bearer.Verifier{Issuer: issuer.URL, Keys: ownKeys(h.keys, issuer.Name, h.keys.Now), Now: h.keys.Now,
			Typ: []string{issuer.Profile.Policy.Token.Typ}, AnyAudience: issuer.ResourceAudience == "",
			Revocations: ownRevocations{h.authority, issuer}}
		if issuer.ResourceAudience != "" {
			v.Audience = []string{issuer.ResourceAudience}
		}
		if u, err := url.Parse(issuer.URL); err == nil { // config has checked it
			mux.Handle("GET "+u.Hostname()+u.Path+demoAPIPath, v.Require()(http.HandlerFunc(whoami)))
		}
	}
	return mux
}

const demoAPIPath = "/demo/whoami"

// whoami answers with the claims of the token that let the caller in.
func whoami(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(bearer.ClaimsFrom(r.Context()).Payload, '\n'))
}

// demo is what the sandbox tells about one platform.
type demo struct {
	Profile string `json:"profile"`
	Title   string `json:"title"`
	Issuer  string `json:"issuer"`
	Token   string `json:"token"`
	Check   string `json:"check"`
}

// welcome onboards the demo partners that are missing and tells how to try them.
func (a *app) welcome(ctx context.Context, r *running, dir string) error {
	demos := []demo{}
	for _, name := range platform.BuiltinNames() {
		issuer := r.cfg.Issuers[demoIssuerOf(name).name].Authority()
		if issuer == nil {
			continue // somebody took it out of the sandbox's configuration
		}
		p := &demoPartner{estate: r.estate, issuer: issuer, dir: filepath.Join(dir, "partners")}
		if err := p.onboard(ctx); err != nil {
			return fmt.Errorf("onboard the demo partner of %s: %w", issuer.Name, err)
		}
		demos = append(demos, demo{Profile: issuer.Profile.Name, Title: issuer.Profile.Title, Issuer: issuer.URL, Token: p.curl(),
			Check: fmt.Sprintf(`curl -s %s -H "Authorization: Bearer $(%s)"`, quote(issuer.URL+demoAPIPath), p.tokenCommand())})
	}
	if a.json {
		return a.printJSON(demos)
	}
	for _, d := range demos {
		fmt.Fprintf(a.out, "\n%s · %s\n  %s\n  %s\n  %s\n  %s\n", a.paint(bold, d.Title), d.Issuer,
			a.paint(faint, "# get a token"), d.Token, a.paint(faint, "# call an API with one, which checks it"), d.Check)
	}
	_, err := fmt.Fprintf(a.out, `
%s on http://%s · admin API on %s · everything is in %s/
Onboard your own:  export MONEYER_ADMIN=%s; %s client add --issuer oauth2 me
Ctrl-C ends it.
`, a.paint(good, "The sandbox is ready"), r.cfg.Listen.Address, r.cfg.Admin.URL, dir, quote(filepath.Join(dir, adminFileName)), quote(os.Args[0]))
	return err
}

// quote makes a word of text for a shell, as it is where that will do.
func quote(text string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/.:_-+,@%=", r)
	}
	if text != "" && strings.TrimFunc(text, plain) == "" {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// missing tells whether the registry lacks something.
func missing(err error) bool { return errors.Is(err, registry.ErrNotFound) }
