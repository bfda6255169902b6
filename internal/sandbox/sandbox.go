// Package sandbox configures a demo server: every built-in platform that has a [demo]
// in its profile, each with one client whose credentials are generated here, and an API
// that accepts the tokens. The profiles define the demo data; no platform is named
// here.
//
// It is not for production: the credentials are files in a folder. Package daemon runs the
// server.
package sandbox

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"moneyer/bearer"
	"moneyer/internal/config"
	"moneyer/internal/daemon"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/profile"
)

// Environment is the environment of every issuer of a sandbox.
const Environment = "sandbox"

// Load reads a configuration and refuses one that is not a sandbox's: other servers
// must not get demo clients.
func Load(file string) (*config.Config, error) {
	cfg, err := config.Load(file)
	if err != nil {
		return nil, err
	}
	for _, issuer := range cfg.Served() {
		if issuer.Environment != Environment {
			return nil, fmt.Errorf("%s: issuer %s is not of environment %q, so this is not a sandbox; serve it with 'moneyer serve'", file, issuer.Name, Environment)
		}
	}
	return cfg, nil
}

// Configuration returns the configuration of a new sandbox with its two listeners.
func Configuration(address, adminAddress string) string {
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
	for _, p := range platforms() {
		d := &p.Demo
		fmt.Fprintf(&b, "\n[issuers.%s]\nurl = \"http://%s%s\"\nprofile = %q\nenvironment = %q\n", d.Issuer, address, d.Path, p.Name, Environment)
		if aud := p.Policy.Token.Claim("aud"); aud != nil && aud.From == platform.SourceAudience {
			fmt.Fprintf(&b, "resource_audience = %q\n", "https://api.example.com/"+d.Issuer)
		}
		if len(d.AudienceNames) > 0 {
			fmt.Fprintf(&b, "audience_names = [\"%s\"]\n", strings.Join(d.AudienceNames, `", "`))
		}
	}
	return b.String()
}

// platforms are the built-in profiles that have a demo.
func platforms() []*platform.Profile {
	var with []*platform.Profile
	for _, name := range profile.BuiltinNames() {
		if p, err := profile.Builtin(name); err == nil && p.Definition().Demo.Credential != "" { // Builtin does not fail for these names
			with = append(with, p.Definition())
		}
	}
	return with
}

// APIPath is the path of the demo API below each issuer's URL.
const APIPath = "/demo/whoami"

// WithAPI adds to each issuer an API that accepts its tokens and returns their
// claims.
func WithAPI(snapshot *daemon.Snapshot) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", snapshot.Public)
	for _, issuer := range snapshot.Issuers {
		if u, err := url.Parse(issuer.URL); err == nil { // config has checked it
			mux.Handle("GET "+u.Hostname()+u.Path+APIPath, snapshot.Verifier(issuer).Require()(http.HandlerFunc(whoami)))
		}
	}
	return mux
}

// whoami returns the claims of the caller's token.
func whoami(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(bearer.ClaimsFrom(r.Context()).Payload, '\n'))
}

// Demo describes how to try one platform.
type Demo struct {
	Profile string `json:"profile"`
	Title   string `json:"title"`
	Issuer  string `json:"issuer"`
	// Token and Check are shell commands: to get a token, and to call the API with one.
	Token string `json:"token"`
	Check string `json:"check"`
}

// Onboard registers the demo clients that a server of the configuration cfg lacks, with
// their credentials in dir, and returns how to try them with the command program.
func Onboard(ctx context.Context, r Registry, pepper registry.Pepper, cfg *config.Config, dir, program string, now time.Time) ([]Demo, error) {
	demos := []Demo{}
	for _, p := range platforms() {
		issuer := cfg.Issuers[p.Demo.Issuer].RegistryIssuer()
		if issuer == nil {
			continue // the issuer was removed from the configuration
		}
		client := &partner{registry: r, pepper: pepper, now: now.UTC(), issuer: issuer, demo: &p.Demo, dir: filepath.Join(dir, "partners")}
		if err := client.onboard(ctx); err != nil {
			return nil, fmt.Errorf("onboard the demo partner of %s: %w", issuer.Name, err)
		}
		e := example{issuer: issuer, demo: &p.Demo, program: program, credential: client.credential()}
		demos = append(demos, Demo{Profile: issuer.Profile.Name, Title: issuer.Profile.Title, Issuer: issuer.URL, Token: e.curl(),
			Check: fmt.Sprintf(`curl -s %s -H "Authorization: Bearer $(%s)"`, Quote(issuer.URL+APIPath), e.tokenCommand())})
	}
	return demos, nil
}
