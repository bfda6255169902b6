package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"moneyer/bearer"
	"moneyer/internal/authority"
	"moneyer/internal/config"
	"moneyer/profile"
)

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
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.sandbox(cmd.Context(), dir, address, adminAddress)
		},
	}
	c.Flags().StringVar(&dir, "dir", "sandbox", "the `folder` that holds everything")
	c.Flags().StringVar(&address, "listen", "127.0.0.1:8080", "the `address` of the platforms, for a new folder")
	c.Flags().StringVar(&adminAddress, "admin-listen", "127.0.0.1:8081", "the `address` of the admin API, for a new folder")
	return c
}

func (a *app) sandbox(ctx context.Context, dir, address, adminAddress string) error {
	if _, err := a.initFolder(ctx, dir, sandboxConfig(address, adminAddress)); err != nil {
		return err
	}
	file := filepath.Join(dir, "moneyer.toml")
	cfg, err := config.Load(file)
	if err != nil {
		return usage(err)
	}
	return a.serve(ctx, cfg, func() (*config.Config, error) { return config.Load(file) }, func(r *running) error {
		r.addDemoAPI()
		return a.welcome(ctx, r, dir)
	})
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
level = "warn"
format = "text"

[limits]
drain_delay = "-1s"
`, address, adminAddress)
	for _, name := range profile.BuiltinNames() {
		d := demoIssuerOf(name)
		fmt.Fprintf(&b, "\n[issuers.%s]\nurl = \"http://%s%s\"\nprofile = %q\nenvironment = \"sandbox\"\n", d.name, address, d.path, name)
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
	p, err := profile.Builtin(name)
	return err == nil && p.Policy.Token.Claim("aud") != nil && p.Policy.Token.Claim("aud").From == profile.SourceAudience
}

// addDemoAPI puts beside each issuer an API that takes its tokens and answers
// with what they say.
func (r *running) addDemoAPI() {
	mux := http.NewServeMux()
	mux.Handle("/", r.house.public)
	for _, issuer := range r.house.issuers {
		v := &bearer.Verifier{Issuer: issuer.URL, Keys: ownKeys(r.house.keys, issuer.Name, r.now), Now: r.now,
			Typ: []string{issuer.Profile.Policy.Token.Typ}, AnyAudience: issuer.ResourceAudience == ""}
		if issuer.ResourceAudience != "" {
			v.Audience = []string{issuer.ResourceAudience}
		}
		path := strings.TrimPrefix(issuer.URL, "http://"+r.cfg.Listen.Address) + demoAPIPath
		mux.Handle("GET "+path, v.Require()(http.HandlerFunc(whoami)))
	}
	var h http.Handler = mux
	r.public.handler.Store(&h)
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
	var demos []demo
	for _, name := range profile.BuiltinNames() {
		issuer := r.cfg.Issuers[demoIssuerOf(name).name].Authority()
		if issuer == nil {
			continue // somebody edited the sandbox's configuration
		}
		p := &demoPartner{app: a, running: r, issuer: issuer, dir: filepath.Join(dir, "partners")}
		if err := p.onboard(ctx); err != nil {
			return fmt.Errorf("onboard the demo partner of %s: %w", issuer.Name, err)
		}
		demos = append(demos, demo{Profile: name, Title: issuer.Profile.Title, Issuer: issuer.URL, Token: p.curl(),
			Check: fmt.Sprintf(`curl -s %s -H "Authorization: Bearer $(%s)"`, issuer.URL+demoAPIPath, p.tokenCommand())})
	}
	if a.json {
		return a.printJSON(demos)
	}
	for _, d := range demos {
		fmt.Fprintf(a.out, "\n%s · %s\n  %s\n  %s\n  %s\n  %s\n", a.paint(bold, d.Title), d.Issuer,
			a.paint(faint, "# get a token"), d.Token, a.paint(faint, "# call an API with one, which checks it"), d.Check)
	}
	fmt.Fprintf(a.out, `
%s on http://%s · admin API on %s · everything is in %s/
Onboard your own:  export MONEYER_ADMIN=%s; %s client add --issuer oauth2 me
Ctrl-C ends it.
`, a.paint(good, "The sandbox is ready"), r.cfg.Listen.Address, r.cfg.Admin.URL, dir, filepath.Join(dir, adminFileName), os.Args[0])
	return nil
}

// missing tells whether the registry lacks something.
func missing(err error) bool { return errors.Is(err, authority.ErrNotFound) }
