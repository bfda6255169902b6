package main

import (
	"cmp"
	"encoding/json"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"moneyer/assertion"
	"moneyer/internal/claims"
	"moneyer/internal/duration"
	"moneyer/internal/jose"
	"moneyer/internal/platform"
	"moneyer/oauth"
)

// defaultAssertionLifetime leaves time to paste an assertion somewhere.
const defaultAssertionLifetime = 5 * time.Minute

// typClientAuthentication is the typ of a client assertion (RFC 10070).
const typClientAuthentication = "client-authentication+jwt"

// assertFlags are the flags of assert.
type assertFlags struct {
	profile, client, issuer string
	signer                  signerFlags
	audience, subject, id   string
	lifetime                time.Duration
	noID, clientAuth        bool
}

func (a *app) assertCommand() *cobra.Command {
	var f assertFlags
	c := &cobra.Command{
		Use:   "assert --profile PROFILE --key FILE --client ID",
		Short: "Sign an assertion for a platform and print it",
		Long: `Sign an assertion, the JWT that a client sends to a token endpoint, in the form
that the platform requires, and print it: nothing else goes to standard output.

The profile gives the defaults: aud is --audience, or else the issuer URL; sub is
the client where the platform requires sub; exp is within the platform's limit.
Until it expires or is used, an assertion authenticates its holder like a
password: do not paste it into a web page.`,
		Example: `  moneyer assert --profile thales-d1 --issuer https://d1.example/authz/v1 \
      --client merchant01 --key key.pem --kid my-key-1
  moneyer assert --profile thales-d1-banking --client issuer0001 --key key.pem --audience stg
  moneyer assert --client-auth --profile thales-d1 --issuer https://d1.example/authz/v1 \
      --client merchant01 --key key.pem --kid my-key-1          # to revoke a token at {issuer}/revoke
  moneyer assert ... | moneyer explain - --profile thales-d1 --issuer ... --key key.pem.pub`,
		RunE: func(*cobra.Command, []string) error { return a.assert(&f) },
	}
	profileFlag(c, &f.profile)
	f.signer.add(c)
	flags := c.Flags()
	flags.StringVar(&f.client, "client", "", "the id that the platform gave you: iss")
	flags.StringVar(&f.issuer, "issuer", "", "the issuer URL, exactly as the platform spells it")
	flags.StringVar(&f.audience, "audience", "", "aud, such as an audience name of the platform (default the issuer URL)")
	flags.StringVar(&f.subject, "subject", "", "sub (default the client, where the platform requires sub)")
	flags.Var((*duration.Value)(&f.lifetime), "lifetime", "how long the assertion is good (default 5m, or less where the platform allows less)")
	flags.StringVar(&f.id, "jti", "", "jti (default a fresh random one)")
	flags.BoolVar(&f.noID, "no-jti", false, "leave jti out")
	flags.BoolVar(&f.clientAuth, "client-auth", false, "make it for client authentication (RFC 7523 section 2.2), as {issuer}/revoke and /introspect require it, instead of as the grant")
	completeNothing(c, "client", "issuer", "audience")
	c.MarkFlagsMutuallyExclusive("jti", "no-jti")
	return c
}

func (a *app) assert(f *assertFlags) error {
	p, err := loadProfile(f.profile)
	if err != nil {
		return err
	}
	if f.clientAuth, err = asClientAuth(p, f.clientAuth); err != nil {
		return err
	}
	if f.client == "" {
		return usagef("--client is missing: the id that the platform gave you")
	}
	if !p.Policy.ClientID.Accepts(f.client) {
		return usagef("--client %q does not have the form of %s: %s%s", f.client, p.Name,
			p.Policy.ClientID.Length(), charset(p.Policy.ClientID.Chars))
	}
	typ := ""
	if f.clientAuth {
		typ = typClientAuthentication
	}
	key, kid, err := a.loadSigner(&f.signer, p)
	if err != nil {
		return err
	}
	signer, err := assertion.NewSigner(key, f.signer.alg, kid, typ)
	if err != nil {
		return usage(plain(err))
	}
	claims, err := f.claims(p, a.now())
	if err != nil {
		return err
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		return unavailable(plain(err))
	}
	if a.json {
		return a.printAssertion(signed)
	}
	return a.printValue(signed)
}

// asClientAuth reports whether an assertion is for client authentication: when
// that was asked for, or when the profile does not accept assertions as the grant.
// A client that signs grants also signs its client authentication at the
// revocation and introspection endpoints.
func asClientAuth(p *platform.Profile, asked bool) (bool, error) {
	asGrant, asAuth := p.Policy.Grant(oauth.JWTBearer) != nil, p.Policy.Uses(oauth.AuthPrivateKeyJWT)
	if !asGrant && !asAuth {
		return false, usagef("profile %s takes no assertions; its callers show %s: get a token with 'moneyer token'", p.Name, callers(p))
	}
	return asked || !asGrant, nil
}

// claims fills in what the flags leave to the profile.
func (f *assertFlags) claims(p *platform.Profile, now time.Time) (assertion.Assertion, error) {
	policy := &p.Policy.Assertion
	if f.clientAuth {
		policy = policy.AsClientAuth()
	}
	c := assertion.Assertion{Issuer: f.client, Subject: f.subject, ID: f.id}
	for claim, given := range map[string]string{"sub": f.subject, "aud": f.audience, "jti": f.id} {
		if given != "" && policy.Forbids(claim) {
			return c, usagef("profile %s takes no %s in an assertion: leave %s out", p.Name, claim, claimFlags[claim])
		}
	}
	if c.ID == "" && !f.noID {
		c.ID = assertion.NewID()
	}
	if f.noID && policy.Requires("jti") {
		return c, usagef("profile %s requires jti: leave --no-jti out", p.Name)
	}
	if c.Subject == "" && (f.clientAuth || policy.Requires("sub")) {
		c.Subject = f.client
	}
	lifetime := cmp.Or(f.lifetime, min(defaultAssertionLifetime, policy.MaxLifetime))
	if lifetime < time.Second || lifetime > policy.MaxLifetime {
		return c, usagef("--lifetime must be from 1s to the %s that profile %s allows", shortDuration(policy.MaxLifetime), p.Name)
	}
	aud, err := f.aud(p, policy)
	if aud != "" {
		c.Audience = []string{aud}
	}
	return claims.Fill(policy, c, now, lifetime), err
}

// claimFlags are the flags that set a claim.
var claimFlags = map[string]string{"sub": "--subject", "aud": "--audience", "jti": "--jti"}

// aud is --audience, else the audience of the issuer that the profile accepts.
func (f *assertFlags) aud(p *platform.Profile, policy *platform.Assertion) (string, error) {
	switch {
	case f.clientAuth && f.audience != "" && f.issuer != "" && f.audience != f.issuer:
		return "", usagef("for client authentication aud is the issuer URL alone (RFC 10070): leave --audience out")
	case f.audience != "":
		return f.audience, nil
	case policy.Forbids("aud"):
		return "", nil
	case f.issuer != "" && (f.clientAuth || policy.Accepts(platform.AudienceIssuer)):
		return f.issuer, nil
	case f.issuer != "" && policy.Accepts(platform.AudienceEndpoint):
		return strings.TrimSuffix(f.issuer, "/") + p.Wire.Path, nil
	case !f.clientAuth && !policy.Requires("aud"):
		return "", nil
	}
	return "", usagef("aud is missing: give --issuer URL, or --audience with the platform's name for itself")
}

// printAssertion prints an assertion, with --json also its decoded parts.
func (a *app) printAssertion(signed string) error {
	jws, err := jose.Parse(signed)
	if err != nil {
		return unavailable(err)
	}
	header, _ := decodeSegment(strings.SplitN(signed, ".", 2)[0])
	return a.printJSON(struct {
		Assertion string          `json:"assertion"`
		Header    json.RawMessage `json:"header"`
		Claims    json.RawMessage `json:"claims"`
	}{signed, header, jws.Payload})
}
