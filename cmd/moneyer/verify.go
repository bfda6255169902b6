package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"moneyer/bearer"
	"moneyer/internal/jose"
	"moneyer/internal/platform"
	"moneyer/oauth"
)

// verifyFlags describe the API whose checks are applied.
type verifyFlags struct {
	issuer, jwks, profile string
	audience, typ         []string
	scope, cert, cacert   string
	revocations           string
	noRevocations         bool
}

func (a *app) verifyCommand() *cobra.Command {
	var f verifyFlags
	c := &cobra.Command{
		Use:   "verify [TOKEN|FILE|-] --issuer URL",
		Short: "Verify an access token as an API does, and explain the result",
		Long: `Verify an access token as an API with package bearer does, and print the result of
each check. Without an argument, or with '-', read standard input: pipe a live
token in rather than write it on the command line, where other users can read it.
The token is never printed.

The keys come from the issuer's metadata (RFC 8414) or from --jwks, and the
revocations from the issuer's list; for an issuer without a list, give
--no-revocations. aud is checked when --audience is given. --profile sets the typ
of a platform's tokens, and says whether their aud is the client. A token that is
bound to a client certificate (RFC 8705) is valid only with the certificate of
its client: give it by --cert.

Exit codes: 0 valid · 1 not valid · 2 wrong usage · 3 the keys or the list of
revocations are unavailable, so the result is unknown.`,
		Example: `  moneyer token ... | moneyer verify --issuer https://as.example --audience https://api.example
  moneyer verify token.txt --issuer https://bolt.example --profile boltpay --scope roles
  moneyer verify token.txt --issuer https://d1.example/authz/v1 --jwks keys.json --no-revocations
  moneyer verify token.txt --issuer https://as.example --audience https://api.example --cert client.crt`,
		Args: atMostOne,
		RunE: func(c *cobra.Command, args []string) error {
			return a.verify(c.Context(), &f, append(args, "-")[0])
		},
	}
	profileFlag(c, &f.profile)
	flags := c.Flags()
	flags.StringVar(&f.issuer, "issuer", "", "the issuer URL, exactly as iss of the token spells it")
	flags.StringArrayVar(&f.audience, "audience", nil, "a name of the API: aud must hold one; repeat for several")
	flags.StringArrayVar(&f.typ, "typ", nil, "an accepted typ of the header; repeat for several (default the profile's, else at+jwt)")
	flags.StringVar(&f.scope, "scope", "", "scope words that the token must hold, separated by spaces")
	flags.StringVar(&f.jwks, "jwks", "", "the issuer's keys: the JWK set in this file or at this URL (default as the issuer's metadata say)")
	flags.StringVar(&f.cert, "cert", "", "file with the client certificate that comes with the token, PEM or DER")
	flags.StringVar(&f.revocations, "revocations", "", "the URL of the list of revocations (default the issuer URL and /revocations)")
	flags.BoolVar(&f.noRevocations, "no-revocations", false, "do not check revocations")
	addCAFlag(flags, &f.cacert)
	completeNothing(c, "issuer", "audience", "typ", "scope", "revocations")
	c.MarkFlagsMutuallyExclusive("revocations", "no-revocations")
	return c
}

// The results of a check.
const (
	checkHolds   = "holds"
	checkFails   = "fails"
	checkSkipped = "not checked" // not requested
	checkUnknown = "unknown"     // its data is unavailable
)

// check is the result of one check of a token.
type check struct {
	Name     string `json:"check"`
	Result   string `json:"result"`
	Found    string `json:"found"`
	Expected string `json:"expected,omitempty"`
}

// verified is the result of verify, with the checks that explain it.
type verified struct {
	Good bool `json:"good"`
	// Error is the code of RFC 6750 section 3.1 that an API answers with.
	Error     oauth.Code `json:"error,omitempty"`
	Reason    string     `json:"reason,omitempty"`
	GoodUntil string     `json:"good_until,omitempty"` // RFC 3339
	Checks    []check    `json:"checks"`
	Notes     []string   `json:"notes,omitempty"`

	left time.Duration // until then
}

func (a *app) verify(ctx context.Context, f *verifyFlags, arg string) error {
	a = a.withFixedClock()
	api, err := a.guard(f)
	if err != nil {
		return err
	}
	token, mistakes, err := a.readToken(arg, "verify")
	if err != nil {
		return err
	}
	v := &verified{Good: true}
	for _, m := range mistakes {
		v.Notes = append(v.Notes, "judged without "+m.found)
	}
	claims, verdict := api.verdict(ctx, token)
	if verdict == nil {
		v.GoodUntil, v.left = claims.Expiry.UTC().Format(time.RFC3339), claims.Expiry.Sub(a.now())
	} else {
		v.Good, v.Error, v.Reason = false, oauth.AsError(verdict).Code, verdict.Error()
	}
	if v.Checks, err = api.explain(ctx, token); err != nil {
		return unavailable(fmt.Errorf("the verification keys are unavailable: %w", err))
	}
	if err := a.printVerified(v); err != nil {
		return err
	}
	switch v.Error {
	case "":
		return nil
	case oauth.TemporarilyUnavailable:
		return unavailable(fmt.Errorf("the list of revocations is unavailable (--no-revocations verifies without): %w", cmp.Or(errors.Unwrap(verdict), verdict)))
	default:
		return refused(errSilent)
	}
}

// withFixedClock returns a copy of a with the time fixed, so that the result and
// the checks agree.
func (a *app) withFixedClock() *app {
	now, fixed := a.now(), *a
	fixed.now = func() time.Time { return now }
	return &fixed
}

// guard is the API that verifies the token.
type guard struct {
	bearer.Verifier
	audienceIs  string             // the text for an aud that is not checked
	certificate *[sha256.Size]byte // that comes with the token; nil for none
}

// verdict verifies the token.
func (g *guard) verdict(ctx context.Context, token string) (*bearer.Claims, error) {
	if jws, err := jose.Parse(token); err == nil {
		if c, err := jose.ParseClaims(jws.Payload); err == nil && c.Has(jose.ClaimConfirmation) {
			return verifyShown(ctx, &g.Verifier, token, g.certificate)
		}
	}
	return g.Verify(ctx, token)
}

// guard returns the API that the flags describe.
func (a *app) guard(f *verifyFlags) (*guard, error) {
	if f.issuer == "" {
		return nil, usagef("--issuer is missing: the issuer URL, as iss of the token spells it")
	}
	g := &guard{audienceIs: "give --audience to check it",
		Verifier: bearer.Verifier{Issuer: f.issuer, Audience: f.audience, AnyAudience: len(f.audience) == 0, Typ: f.typ, Now: a.now}}
	var err error
	if g.RequiredScope, err = oauth.ParseScope(f.scope); err != nil {
		return nil, usagef("--scope: %s", oauth.AsError(err).Description)
	}
	if f.profile != "" {
		if err := g.applyProfile(f.profile); err != nil {
			return nil, err
		}
	}
	if g.Typ == nil {
		g.Typ = []string{"at+jwt", "application/at+jwt"}
	}
	if f.cert != "" {
		shown, err := a.readCertificate("--cert", f.cert)
		if err != nil {
			return nil, err
		}
		digest := sha256.Sum256(shown.Raw)
		g.certificate = &digest
	}
	where := &inspectFlags{jwks: f.jwks, cacert: f.cacert}
	if f.jwks == "" {
		where.issuer = f.issuer
	}
	if g.Keys, err = a.keySource(where, ""); err != nil {
		return nil, err
	}
	if !f.noRevocations {
		client, err := httpClient(f.cacert)
		if err != nil {
			return nil, err
		}
		g.Revocations = &bearer.RevocationList{Issuer: f.issuer, URL: f.revocations, Keys: g.Keys, HTTPClient: client, Now: a.now}
	}
	return g, nil
}

// applyProfile sets the defaults for a profile's tokens.
func (g *guard) applyProfile(name string) error {
	p, err := loadProfile(name)
	if err != nil {
		return err
	}
	if g.Typ == nil {
		g.Typ = []string{p.Policy.Token.Typ}
	}
	if slices.ContainsFunc(p.Policy.Token.Claims, func(c platform.Claim) bool {
		return c.Name == "aud" && c.From == platform.SourceClient
	}) {
		g.audienceIs = "the client, in tokens of " + p.Name
	}
	return nil
}

// demand is one check, and the field of a Verifier that makes it.
type demand struct {
	check
	add func(*bearer.Verifier) // nil when not requested
}

// explain returns the result of each check. Each check runs a bearer.Verifier that
// requires a valid signature and that one thing. The error is that the keys are
// unavailable.
func (g *guard) explain(ctx context.Context, token string) ([]check, error) {
	jws, err := jose.Parse(token)
	if err != nil {
		return []check{{"form", checkFails, err.Error(), "a signed JWT; an opaque token can be checked by its issuer only"}}, nil
	}
	claims, err := jose.ParseClaims(jws.Payload)
	if err != nil {
		claims = &jose.Claims{} // bearer reports the same
	}
	judge := func(add func(*bearer.Verifier)) error {
		v := signatureVerifier(cmp.Or(claims.Issuer, g.Issuer), jws, g.Keys, g.Now)
		add(v)
		_, err := verifyShown(ctx, v, token, boundTo(claims))
		return err
	}
	checks, err := signatureChecks(jws, judge(func(*bearer.Verifier) {}))
	if err != nil || checks[len(checks)-1].Result == checkFails {
		return checks, err
	}
	for _, d := range g.demands(claims, jws.Header.Typ) {
		if d.Result = checkSkipped; d.add != nil {
			d.settle(judge(d.add))
		}
		checks = append(checks, d.check)
	}
	if bound := boundTo(claims); bound != nil {
		checks = append(checks, g.binding(bound))
	}
	return checks, nil
}

// binding is the check of a token that is bound to a client certificate.
func (g *guard) binding(bound *[sha256.Size]byte) check {
	c := check{Name: "binding", Result: checkHolds, Found: "to the client certificate " + encodeThumbprint(bound)}
	switch {
	case g.certificate == nil:
		c.Result, c.Expected = checkFails, "that it comes with it: give --cert"
	case *g.certificate != *bound:
		c.Result, c.Expected = checkFails, encodeThumbprint(g.certificate)+", of --cert"
	}
	return c
}

func encodeThumbprint(digest *[sha256.Size]byte) string {
	return (&bearer.Confirmation{CertificateSHA256: *digest}).Thumbprint()
}

// signatureChecks returns the result of a Verifier that requires only a signature.
// Another reason for a refusal is that the claims are not those of an access token.
func signatureChecks(jws *jose.JWS, err error) ([]check, error) {
	cause := cmp.Or(errors.Unwrap(err), err)
	holds := check{"signature", checkHolds, jws.Header.Alg + " by key " + cmp.Or(jws.Header.Kid, "without a name"), ""}
	switch {
	case err == nil:
		return []check{holds}, nil
	case oauth.AsError(err).Code != oauth.InvalidToken:
		return nil, cause
	case errors.Is(err, jose.ErrSignature), errors.Is(err, jose.ErrAlgMismatch), errors.Is(err, bearer.ErrUnknownKey):
		return []check{{"signature", checkFails, cause.Error(), "one by a key of the issuer; the other checks need a valid signature"}}, nil
	default:
		return []check{holds, {"claims", checkFails, cause.Error(), "those of an access token"}}, nil
	}
}

// demands returns the checks of a token whose signature verified.
func (g *guard) demands(c *jose.Claims, typ string) []demand {
	audience := demand{check: check{Name: "audience", Found: cmp.Or(strings.Join(c.Audience, ", "), "none"), Expected: strings.Join(g.Audience, " or ")}}
	if len(g.Audience) > 0 {
		audience.add = func(v *bearer.Verifier) { v.Audience = g.Audience }
	} else {
		audience.Expected = g.audienceIs
	}
	revocation := demand{check: check{Name: "revocation", Found: "the list of revocations was not read"}}
	if g.Revocations != nil {
		revocation.Found = "not on the list of the issuer"
		revocation.add = func(v *bearer.Verifier) { v.Revocations = g.Revocations }
	}
	return []demand{
		{check{"time", "", timesOf(c, g.Now()), ""}, func(v *bearer.Verifier) { v.Leeway = 0 }},
		{check{"issuer", "", c.Issuer, g.Issuer}, func(v *bearer.Verifier) { v.Issuer = g.Issuer }},
		audience,
		{check{"typ", "", cmp.Or(typ, "none"), strings.Join(g.Typ, " or ")}, func(v *bearer.Verifier) { v.Typ = g.Typ }},
		{check{"scope", "", cmp.Or(c.Scope, "none"), g.RequiredScope.String()}, func(v *bearer.Verifier) { v.RequiredScope = g.RequiredScope }},
		revocation,
	}
}

// settle records the result of the check.
func (d *demand) settle(err error) {
	switch {
	case err == nil:
		d.Result = checkHolds
	case oauth.AsError(err).Code == oauth.TemporarilyUnavailable:
		d.Result, d.Found = checkUnknown, cmp.Or(errors.Unwrap(err), err).Error()
	default:
		if d.Result = checkFails; d.Name == "revocation" {
			d.Found = "the issuer revoked it"
		}
	}
}

// timesOf describes when a token was issued and when it expires.
func timesOf(c *jose.Claims, now time.Time) string {
	words := timeProblems(c, now)
	if c.Has(jose.ClaimIssuedAt) && c.IssuedAt < maxPlausible {
		words = append(words, "issued "+inWords(time.Unix(c.IssuedAt, 0).Sub(now)))
	}
	if end := time.Unix(c.Expiry, 0); now.Before(end) && c.Expiry < maxPlausible {
		words = append(words, "expires "+inWords(end.Sub(now)))
	}
	return strings.Join(words, ", ")
}

func (a *app) printVerified(v *verified) error {
	if a.json {
		return a.printJSON(v)
	}
	for _, note := range v.Notes {
		fmt.Fprintln(a.out, "! "+visible(note))
	}
	for _, c := range v.Checks {
		mark, expected := map[string]string{
			checkHolds: a.paint(good, "✓"), checkFails: a.paint(bad, "✗"), checkSkipped: a.paint(bold, "-"), checkUnknown: a.paint(bold, "?"),
		}[c.Result], ""
		switch {
		case c.Result == checkFails && c.Expected != "":
			expected = "; expected " + c.Expected
		case c.Result == checkSkipped:
			expected = a.paint(faint, strings.TrimSuffix(" NOT CHECKED: "+c.Expected, ": "))
		}
		fmt.Fprintf(a.out, "%s %-10s %s%s\n", mark, c.Name, visible(c.Found), expected)
	}
	var err error
	switch {
	case v.Good:
		_, err = fmt.Fprintln(a.out, a.paint(good, "✓ good until "+v.GoodUntil+" ("+inWords(v.left)+")"))
	case v.Error == oauth.TemporarilyUnavailable:
		_, err = fmt.Fprintln(a.out, a.paint(bold, "? unknown: a check could not be made"))
	default:
		_, err = fmt.Fprintln(a.out, a.paint(bad, "✗ not good: "+visible(v.Reason)))
	}
	return err
}
