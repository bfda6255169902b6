package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"moneyer/internal/adminapi"
	"moneyer/internal/authority"
	"moneyer/internal/evidence"
	"moneyer/internal/jose"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
)

// explainFlags describe the platform whose rules are applied.
type explainFlags struct {
	profile, issuer       string
	key, kid, alg, client string
	audienceNames         []string
	subjects              []string
	now                   string
	clientAuth            bool
	admin, issuerName     string
	cacert                string
	cert                  certificateFlags
}

func (a *app) explainCommand() *cobra.Command {
	var f explainFlags
	c := &cobra.Command{
		Use:   "explain ASSERTION|FILE|- --profile PROFILE --issuer URL --key PUBLIC.pem",
		Short: "Check an assertion or a certificate against every rule of a platform, without sending it",
		Long: `Check an assertion against every rule of the platform, and report for each rule
what it expects, what was found and how to fix it. Nothing is sent and the
assertion is not consumed. The exit code is 1 when a rule fails.

A platform gives few details of a refused assertion, to not help attackers. With
your own public key this command reports every rule, except for what only the
platform knows: whether the client and its key are registered and enabled there,
and whether the assertion was used before. The operator of a Moneyer server can
ask the server itself, with --admin and --issuer-name.

With --cert a client certificate is checked instead: with --admin against what is
registered, or here against the name that is given, and --ca.`,
		Example: `  moneyer explain assertion.txt --profile thales-d1 --issuer https://d1.example/authz/v1 \
      --key key.pem.pub --kid my-key-1 --audience-name stg
  moneyer assert ... | moneyer explain - --profile oauth2 --issuer https://as.example --key key.pem.pub
  moneyer explain assertion.txt --admin moneyer-admin.json --issuer-name d1
  moneyer explain --cert client.pem --client partner1 --admin moneyer-admin.json --issuer-name d1
  moneyer explain --cert client.pem --ca ca.pem --subject-dn "CN=pay-1,O=Bank,C=NL"`,
		Args: func(c *cobra.Command, args []string) error {
			if f.cert.file != "" && len(args) == 0 {
				return nil
			}
			if len(args) != 1 || f.cert.file != "" {
				return usagef("%s takes one assertion: itself in quotes, a file, or '-' for standard input", c.CommandPath())
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{""}
			}
			return a.explain(c.Context(), &f, args[0])
		},
	}
	profileFlag(c, &f.profile)
	flags := c.Flags()
	flags.StringVar(&f.issuer, "issuer", "", "the issuer URL, exactly as the platform spells it")
	flags.StringVar(&f.key, "key", "", "file with the public key that is registered with the platform (PEM or JWK)")
	flags.StringVar(&f.kid, "kid", "", "the name under which it is registered (default the one in the assertion)")
	flags.StringVar(&f.alg, "alg", "", "the algorithm for which an RSA key is registered: RS256 (the default) or PS256")
	flags.StringVar(&f.client, "client", "", "the id that the platform gave you (default iss of the assertion)")
	flags.StringArrayVar(&f.audienceNames, "audience-name", nil, "an audience name of the platform, such as stg; repeat for several")
	flags.StringArrayVar(&f.subjects, "subject", nil, "a subject that is registered with the client; repeat for several (default sub of the assertion)")
	flags.StringVar(&f.now, "now", "", "check as of this time, RFC 3339 or seconds since 1970 (default now)")
	flags.BoolVar(&f.clientAuth, "client-auth", false, "check it as client authentication (RFC 7523 section 2.2) instead of as the grant")
	f.addServer(flags)
	f.cert.add(c)
	for _, other := range []string{"profile", "issuer", "key", "kid", "alg", "audience-name", "subject", "now", "ca"} {
		c.MarkFlagsMutuallyExclusive("admin", other)
		c.MarkFlagsMutuallyExclusive("issuer-name", other)
	}
	completeNothing(c, "issuer", "issuer-name", "kid", "client", "audience-name", "subject", "now")
	complete(c, "alg", "RS256", "PS256")
	return c
}

// addServer adds the flags with which a server is asked.
func (f *explainFlags) addServer(flags *pflag.FlagSet) {
	flags.StringVar(&f.admin, "admin", "", "ask the server of this admin file instead, which knows its clients and keys")
	flags.StringVar(&f.issuerName, "issuer-name", "", "the issuer by its name on that server")
	addCAFlag(flags, &f.cacert)
}

// explained is the result of explain.
type explained struct {
	Profile  string             `json:"profile,omitempty"`
	Issuer   string             `json:"issuer"`
	Client   string             `json:"client,omitempty"`
	Kid      string             `json:"kid,omitempty"`
	Subject  string             `json:"subject,omitempty"`
	Accepted bool               `json:"accepted"`
	Clock    string             `json:"clock"`
	Findings []evidence.Finding `json:"findings"`
	// DemandsCertificate says that a client certificate is needed beside it.
	DemandsCertificate bool `json:"demands_certificate,omitempty"`

	heading string
	caveat  string // the condition that could not be checked
	notes   []string
}

func (a *app) explain(ctx context.Context, f *explainFlags, arg string) error {
	explain, remote := a.explainLocally, f.admin != "" || f.issuerName != ""
	switch {
	case f.cert.file != "" && remote:
		explain = a.explainCertificateRemotely
	case f.cert.file != "":
		explain = a.explainCertificateLocally
	case f.cert.ca != "" || f.cert.match != "":
		return usagef("--ca and the names of a certificate go with --cert")
	case f.cacert != "" && !remote:
		return usagef("--%s goes with --admin: without it no server is asked", caFlag)
	case remote && f.client != "":
		return usagef("the server knows the assertion's client: --client goes with --cert or without --admin")
	case remote:
		explain = a.explainRemotely
	}
	e, err := explain(ctx, f, arg)
	if err != nil {
		return err
	}
	e.Accepted = broken(e.Findings) == 0
	if err := a.printExplained(e); err != nil {
		return err
	}
	if !e.Accepted {
		return refused(errSilent)
	}
	return nil
}

// explainLocally applies the rules of the profile to a registry of one client.
func (a *app) explainLocally(ctx context.Context, f *explainFlags, arg string) (*explained, error) {
	issuer, err := f.authority()
	if err != nil {
		return nil, err
	}
	if f.clientAuth, err = asClientAuth(issuer.Profile, f.clientAuth); err != nil {
		return nil, err
	}
	key, err := a.readPublicKey("--key", f.key, f.alg)
	if err != nil {
		return nil, err
	}
	now, err := f.instant(a.now())
	if err != nil {
		return nil, err
	}
	token, mistakes, err := a.readAssertion(arg)
	if err != nil {
		return nil, err
	}
	e := &explained{Profile: issuer.Profile.Name, Issuer: issuer.URL}
	jws, claims := e.read(f, token, key)
	e.heading = "As " + e.Profile + " at " + e.Issuer + " would judge it"
	if e.Client != "" {
		e.heading += ", for client " + e.Client
	}
	e.caveat = "if it knows this client and key and has not seen it before"
	e.Clock = clockWords(claims, now)
	if len(f.audienceNames) == 0 && issuer.Profile.Policy.Assertion.Accepts(platform.AudienceName) {
		e.notes = append(e.notes, "--audience-name was not given: aud can only be a URL of the issuer")
	}
	client, onboarding := e.register(issuer, key)
	if issuer.Profile.Policy.Assertion.Subject == platform.SubjectRegistered && claims != nil && !f.clientAuth {
		client.Subjects = e.subjects(f, claims)
	}
	judge := &authority.Authority{Registry: onlyClient{client: client}}
	findings, err := judge.Explain(ctx, issuer, token, !f.clientAuth, now)
	if err != nil {
		return nil, unavailable(err)
	}
	e.Findings = spelling(mistakes, findings)
	if jws != nil { // otherwise client and key are unknown
		e.Findings = slices.Insert(e.Findings, 0, onboarding)
	}
	return e, nil
}

// explainRemotely asks a running server, which knows its clients and keys.
func (a *app) explainRemotely(ctx context.Context, f *explainFlags, arg string) (*explained, error) {
	token, mistakes, err := a.readAssertion(arg)
	if err != nil {
		return nil, err
	}
	question := adminapi.Question{Assertion: token}
	if f.clientAuth {
		question.Use = adminapi.UseClientAuth
	}
	e, err := a.ask(ctx, f, question)
	if err != nil {
		return nil, err
	}
	e.Findings, e.caveat = spelling(mistakes, e.Findings), "if it has not seen it before"
	if e.DemandsCertificate {
		e.caveat += ", and only together with a client certificate of the same client (explain --cert checks one)"
	}
	var claims *jose.Claims
	if jws, err := jose.Parse(token); err == nil {
		claims, _ = jose.ParseClaims(jws.Payload)
	}
	e.Clock = clockWords(claims, a.now())
	return e, nil
}

// ask asks a running server, which knows what is registered.
func (a *app) ask(ctx context.Context, f *explainFlags, question adminapi.Question) (*explained, error) {
	if f.issuerName == "" {
		return nil, usagef("--issuer-name is missing: the issuer by its name on that server")
	}
	o := &onboarding{app: a, file: f.admin, issuer: f.issuerName, cacert: f.cacert}
	at, err := o.at(ctx)
	if err != nil {
		return nil, err
	}
	answer, err := at.Explain(ctx, question)
	if err == nil && len(answer.Findings) == 0 {
		err = unavailable(errors.New("the server returned no findings"))
	}
	return &explained{Issuer: f.issuerName, Findings: answer.Findings, DemandsCertificate: answer.DemandsCertificate, heading: "As the server judges it for its issuer " + f.issuerName}, err
}

// authority returns the issuer whose rules apply.
func (f *explainFlags) authority() (*registry.Issuer, error) {
	p, err := loadProfile(f.profile)
	if err != nil {
		return nil, err
	}
	switch {
	case f.issuer == "":
		return nil, usagef("--issuer is missing: the platform's issuer URL")
	case f.key == "":
		return nil, usagef("--key is missing: the file with your public key, such as key.pem.pub")
	case f.alg != "" && !jose.AlgOf(f.alg).Known():
		return nil, usagef("--alg %q is not known; choose from %s", f.alg, strings.Join(algs(), ", "))
	}
	return &registry.Issuer{
		Name: p.Name, URL: f.issuer, Profile: p, AudienceNames: f.audienceNames,
		Replay: p.Policy.Assertion.Replay, TokenLifetime: p.Policy.Token.Lifetime, Alg: p.Policy.Token.Alg,
	}, nil
}

// instant is the time as of which the assertion is checked.
func (f *explainFlags) instant(now time.Time) (time.Time, error) {
	if f.now == "" {
		return now, nil
	}
	if seconds, err := strconv.ParseInt(f.now, 10, 64); err == nil && seconds >= 0 && seconds < maxPlausible {
		return time.Unix(seconds, 0), nil
	}
	t, err := time.Parse(time.RFC3339, f.now)
	if err != nil {
		return now, usagef("--now is a time such as 2026-11-23T12:00:00Z, or seconds since 1970")
	}
	return t, nil
}

// read sets client and kid, from the assertion where no flag gives them.
func (e *explained) read(f *explainFlags, token string, key *jose.PublicKey) (*jose.JWS, *jose.Claims) {
	e.Client, e.Kid = f.client, f.kid
	jws, err := jose.Parse(token)
	if err != nil {
		return nil, nil
	}
	claims, err := jose.ParseClaims(jws.Payload)
	if e.Client == "" && err == nil && claims.Issuer != "" {
		e.Client = claims.Issuer
		e.notes = append(e.notes, "--client was not given: taking iss for it")
	}
	if e.Kid == "" {
		e.Kid = cmp.Or(jws.Header.Kid, key.Thumbprint())
		e.notes = append(e.notes, "--kid was not given: taking "+map[bool]string{true: "the assertion's", false: "the key's thumbprint"}[jws.Header.Kid != ""]+" for it")
	}
	return jws, claims
}

// subjects are those that the client may name, by default the one that it does name.
func (e *explained) subjects(f *explainFlags, claims *jose.Claims) []string {
	if claims.Subject == "" || claims.Subject == claims.Issuer {
		return f.subjects
	}
	e.Subject = claims.Subject
	e.heading += " and subject " + e.Subject
	if len(f.subjects) > 0 {
		return f.subjects
	}
	e.notes = append(e.notes, "--subject was not given: taking sub for one that is registered with the client")
	return []string{e.Subject}
}

// register returns the client as the platform would register it. The finding says
// whether it would; a bad client id or key is used for the other rules nevertheless. Where
// nothing says what the client is called, the finding is about the key alone.
func (e *explained) register(issuer *registry.Issuer, key *jose.PublicKey) (*registry.Client, evidence.Finding) {
	client := &registry.Client{Issuer: issuer.Name, ID: e.Client}
	finding := evidence.Finding{Rule: "onboarding", Holds: true, Expected: "a client id and a key that the platform would register", Found: "that"}
	var err error
	if e.Client != "" {
		err = client.Check(issuer)
	} else {
		finding.Expected = "a key that the platform would register"
	}
	keyErr := client.AddKey(issuer, nil, registry.Key{Kid: cmp.Or(e.Kid, key.Thumbprint()), Public: key})
	if keyErr != nil {
		client.Keys = []registry.Key{{Kid: e.Kid, Public: key}}
	}
	if err = cmp.Or(err, keyErr); err != nil {
		finding.Holds, finding.Found = false, err.Error()
		finding.Hint = "register another; the other rules are checked with this one nevertheless"
	}
	return client, finding
}

// spelling prepends findings for what had to be repaired before the rules could be
// checked.
func spelling(mistakes []mistake, findings []evidence.Finding) []evidence.Finding {
	if len(mistakes) == 0 {
		return findings
	}
	form := findings[0]
	var all []evidence.Finding
	for _, m := range mistakes {
		all = append(all, evidence.Finding{Rule: form.Rule, Expected: form.Expected, Found: m.found, Hint: m.fix})
	}
	if form.Holds {
		findings = findings[1:]
	}
	return append(all, findings...)
}

// clockWords compares iat of the assertion with the local clock.
func clockWords(claims *jose.Claims, now time.Time) string {
	if claims == nil || !claims.Has(jose.ClaimIssuedAt) || claims.IssuedAt >= maxPlausible {
		return "cannot be compared: the assertion has no usable iat"
	}
	ahead := time.Unix(claims.IssuedAt, 0).Sub(now)
	if ahead > time.Second {
		return fmt.Sprintf("the clock that made the assertion is at least %s ahead of this one", ahead.Round(time.Second))
	}
	return fmt.Sprintf("according to iat, the assertion was made %s", inWords(ahead))
}

func broken(findings []evidence.Finding) int {
	n := 0
	for _, f := range findings {
		if !f.Holds {
			n++
		}
	}
	return n
}

func (a *app) printExplained(e *explained) error {
	if a.json {
		return a.printJSON(e)
	}
	fmt.Fprintf(a.out, "%s\n", a.paint(bold, visible(e.heading)))
	for _, note := range e.notes {
		fmt.Fprintln(a.out, a.paint(faint, "note: "+note))
	}
	fmt.Fprintln(a.out)
	width := len("required claims") // the longest of most
	for _, f := range e.Findings {
		width = max(width, len(f.Rule))
	}
	for _, f := range e.Findings {
		if f.Holds {
			fmt.Fprintf(a.out, "%s %-*s %s\n", a.paint(good, "✓"), width, f.Rule, visible(held(f)))
			continue
		}
		fmt.Fprintf(a.out, "%s %-*s expected %s\n", a.paint(bad, "✗"), width, f.Rule, visible(f.Expected))
		fmt.Fprintf(a.out, "  %-*s found    %s\n", width, "", visible(f.Found))
		if f.Hint != "" {
			fmt.Fprintf(a.out, "  %-*s %s\n", width, "", a.paint(bold, "→ "+visible(f.Hint)))
		}
	}
	fmt.Fprintf(a.out, "\nclock: %s\n", e.Clock)
	if n := broken(e.Findings); n > 0 {
		_, err := fmt.Fprintf(a.out, "%s (rules that build on a broken one are not listed)\n", a.paint(bad, fmt.Sprintf("✗ refused: %d of %d rules broken", n, len(e.Findings))))
		return err
	}
	_, err := fmt.Fprintln(a.out, a.paint(good, "✓ every rule holds: the platform takes it, "+e.caveat))
	return err
}

// held describes a rule that holds.
func held(f evidence.Finding) string {
	if f.Found == "that" || f.Found == "all" || f.Found == `""` {
		return f.Expected
	}
	return f.Found
}

// onlyClient is a registry of one client. Authority.Explain calls no other method.
type onlyClient struct {
	authority.Registry // nil
	client             *registry.Client
}

// FindClient implements authority.Registry.
func (r onlyClient) FindClient(_ context.Context, _, id string) (c *registry.Client, asked bool, err error) {
	if id == "" || id != r.client.ID {
		return nil, false, registry.ErrNotFound
	}
	return r.client, false, nil
}
