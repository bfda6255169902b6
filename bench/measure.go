package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"moneyer/bench/moneyer"
	"moneyer/bench/peers"
	"moneyer/bench/subject"
	"moneyer/bench/trial"
)

// measure runs the benchmark.
func measure(ctx context.Context, args []string) error {
	c, err := parse(args, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	root, err := subject.Repository()
	if err != nil {
		return err
	}
	progress := trial.NewProgress(os.Stderr, terminal(os.Stderr))
	end, err := lockMachine(ctx, progress)
	if err != nil {
		return err
	}
	defer func() { _ = end() }()
	// On the disk of the stores; a folder for temporary files may be in memory.
	cache := filepath.Join(root, "bench", ".cache")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return err
	}
	folder, err := os.MkdirTemp(cache, "run-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	if err := os.Chmod(folder, 0o755); err != nil { // some databases run as another user
		return err
	}
	r, err := c.try(ctx, root, folder, progress)
	if err != nil {
		return err
	}
	r.Command = command(args)
	scrub(r, root)
	if err := r.Markdown(os.Stdout); err != nil || c.out == "" {
		return err
	}
	if !filepath.IsAbs(c.out) {
		c.out = filepath.Join(root, c.out)
	}
	return r.Write(c.out)
}

// terminal reports whether file is a terminal, where lines can be overwritten.
func terminal(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// elsewhere matches addresses of other machines.
var elsewhere = regexp.MustCompile(`https?://[a-zA-Z][^\s"]*`)

// scrub removes what is specific to this machine from error messages.
func scrub(r *trial.Report, root string) {
	clean := func(text string) string {
		return elsewhere.ReplaceAllString(strings.ReplaceAll(text, root+string(filepath.Separator), ""), "(an address)")
	}
	for i := range r.Failed {
		r.Failed[i] = clean(r.Failed[i])
	}
	for i := range r.Rows {
		r.Rows[i].Error = clean(r.Rows[i].Error)
	}
}

// command returns the command line that repeats the measurement, without what is specific to this
// machine.
func command(args []string) string {
	words := []string{"go run -C bench ."}
	for _, arg := range args {
		if name, value, found := strings.Cut(arg, "="); found && filepath.IsAbs(value) {
			arg = name + "=" + filepath.Base(value)
		} else if filepath.IsAbs(arg) {
			arg = filepath.Base(arg)
		}
		if strings.ContainsAny(arg, " ;&|<>()$`\"'*?") {
			arg = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
		words = append(words, arg)
	}
	return strings.Join(words, " ")
}

// try runs all measurements.
func (c *choices) try(ctx context.Context, root, folder string, progress *trial.Progress) (*trial.Report, error) {
	restarts := 3
	if c.quick {
		restarts = 1
	}
	t, err := trial.New(trial.Settings{Rounds: c.rounds, Duration: c.duration, Connections: c.connections,
		Wanted: c.exchange, Sparse: sparse, Restarts: restarts, Folder: folder, Progress: progress})
	if err != nil {
		return nil, err
	}
	var openSSL string
	if !c.replicas {
		if openSSL, err = c.references(ctx, t, root); err != nil {
			return nil, err
		}
		if err := t.Install(ctx, c.contenders(root, progress), false); err != nil {
			return nil, err
		}
	}
	if err := t.Pin(); err != nil {
		return nil, err
	}
	var after func(context.Context, *trial.Report) error
	if c.replicas || c.further && c.server(own) {
		f := &further{choices: c, Trial: t, openSSL: openSSL, base: moneyer.Options{Root: root, Log: progress.Detail()}}
		after = f.run
	}
	r, err := t.Run(ctx, after)
	if err != nil {
		return nil, err
	}
	r.Pictures = pictures()
	r.Judge(targets(r))
	r.Verdicts(progress.Say)
	return r, nil
}

// references installs the reference servers, with OpenSSL's signatures where that can be built, and
// returns the program of those.
func (c *choices) references(ctx context.Context, t *trial.Trial, root string) (program string, err error) {
	model, err := moneyer.Model()
	if err != nil {
		return "", err
	}
	references, err := subject.References(model, subject.Go, "")
	if err != nil {
		return "", err
	}
	program, err = subject.BuildOpenSSL(ctx, root, filepath.Join(root, "bench", ".cache"), t.Progress.Detail())
	if err != nil {
		t.Fail("the reference servers that sign with OpenSSL are left out: %v", err)
	} else {
		more, err := subject.References(model, subject.OpenSSL, program)
		if err != nil {
			return "", err
		}
		if c.quick && !c.peers && !c.static { // nothing else signs with Go
			references = slices.DeleteFunc(references, signs)
		}
		references = append(references, more...)
	}
	references = append(references, c.overTLS(references, true)...)
	return program, t.Install(ctx, references, true)
}

// signs reports whether a reference makes signatures.
func signs(s subject.Server) bool {
	return s.Name != string(subject.Empty) && s.Name != string(subject.Form)
}

// overTLS returns those of the servers behind TLS that are measured so; quickly only with full
// handshakes. mutual: also with client certificates.
func (c *choices) overTLS(servers []subject.Server, mutual bool) []subject.Server {
	kinds := []subject.Connection{subject.TLSFull}
	if !c.quick {
		kinds = append(kinds, subject.TLSResumed, subject.TLSClassic)
	}
	var all []subject.Server
	for _, s := range servers {
		if !c.tls || s.ConfigureTLS == nil {
			continue
		}
		all = append(all, subject.OverTLS(s, kinds...))
		if mutual && !c.quick {
			all = append(all, subject.OverTLS(s, subject.MutualTLS))
		}
	}
	return all
}

// sparse selects exchanges that are measured with fewer numbers of connections: profiles that
// differ little from their representative, what is no new token, the static build, many clients,
// PostgreSQL, and servers that are far behind, most of which are slow to measure.
func sparse(server string, kind subject.Kind, variant string) bool {
	switch kind {
	case subject.Introspection, subject.Check, subject.ReusedES256:
		return true
	case subject.PrivateKeyJWTES256:
		return server != "oidc-provider"
	}
	switch strings.TrimSuffix(strings.TrimSuffix(server, ", mutual TLS"), ", TLS") {
	case own, "oidc-provider", "zitadel/oidc", "dex":
		return variant == "thales-d1-banking" || variant == "thales-etp"
	}
	return true
}

// contenders returns the selected servers.
func (c *choices) contenders(root string, progress *trial.Progress) []subject.Server {
	base := moneyer.Options{Root: root, Log: progress.Detail()}
	servers := []subject.Server{moneyer.Server(base)}
	servers = append(servers, c.overTLS(servers, true)...)
	if c.static {
		static := base
		static.Name, static.Static = ownStatic, true
		servers = append(servers, moneyer.Server(static))
	}
	if c.scale {
		for _, many := range []moneyer.Options{
			{Name: "moneyer, 10,000 clients", Clients: 10_000},
			{Name: ownMany, Clients: manyClients},
			{Name: ownLong, Entries: 10_000_000},
		} {
			many.Root, many.Log = base.Root, base.Log
			servers = append(servers, moneyer.Server(many))
		}
	}
	if c.peers {
		durable := base
		durable.Name, durable.Postgres = ownPostgres, true
		others := peers.All()
		servers = append(append(servers, moneyer.Server(durable)), others...)
		servers = append(servers, c.overTLS(others, false)...)
	}
	return slices.DeleteFunc(servers, func(s subject.Server) bool { return !c.server(s.Name) })
}
