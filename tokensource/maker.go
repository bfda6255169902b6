package tokensource

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"moneyer/assertion"
	"moneyer/internal/claims"
	"moneyer/internal/platform"
	"moneyer/internal/secrettext"
	"moneyer/oauth"
)

// typClientAuthentication is the typ of a client assertion (RFC 10070).
const typClientAuthentication = "client-authentication+jwt"

// maxAssertionFile bounds a file that holds an assertion, in bytes.
const maxAssertionFile = 64 << 10

// AssertionFile returns a function for Credential.Assertion that reads a file each time:
// of a Kubernetes service account, or of a SPIFFE helper. Line ends around the assertion
// are ignored.
func AssertionFile(name string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) {
		data, err := readBounded(name, maxAssertionFile)
		if err != nil {
			return "", err
		}
		return strings.Trim(string(data), "\r\n"), nil
	}
}

// maker makes one of the assertions of a request, anew for each try: a signed one can be
// used once, and another's may have been renewed.
type maker struct {
	provided          func(context.Context) (string, error) // nil when signer makes it
	signer            *assertion.Signer
	subject, audience string
}

// planAssertions makes the makers that the request needs.
func (p *plan) planAssertions(r Request) (err error) {
	c, isGrant := p.credential, p.grant == oauth.JWTBearer
	if !isGrant && (r.Subject != "" || r.Audience != "") {
		return fmt.Errorf("tokensource: Subject and Audience belong to an assertion as the grant, but %s is asked with %s", p.profile.Name, p.grant)
	}
	if isGrant && c.Assertion != nil && (r.Subject != "" || r.Audience != "") {
		return errors.New("tokensource: Subject and Audience belong to an assertion by Credential.Key; that of Credential.Assertion has its own")
	}
	if isGrant {
		if p.asGrant, err = p.newMaker(c.Typ, cmp.Or(r.Subject, c.ClientID), true); err != nil {
			return err
		}
	}
	if p.auth.Has(oauth.AuthPrivateKeyJWT) {
		typ := typClientAuthentication
		if !isGrant {
			typ = cmp.Or(c.Typ, typ)
		}
		p.asAuth, err = p.newMaker(typ, c.ClientID, !isGrant)
	}
	return err
}

// newMaker returns the maker of the assertion that Credential.Assertion may be, or of one
// that only the key signs.
func (p *plan) newMaker(typ, subject string, mayBeProvided bool) (*maker, error) {
	c := p.credential
	if mayBeProvided && c.Assertion != nil {
		return &maker{provided: c.Assertion}, nil
	}
	policy := &p.profile.Policy.Assertion
	if c.Kid == "" && policy.Kid == platform.KidRequired {
		return nil, fmt.Errorf("tokensource: %s wants a kid; set Credential.Kid to the name under which the key is registered", p.profile.Name)
	}
	signer, err := assertion.NewSigner(c.Key, c.Alg, c.Kid, typ)
	if err != nil {
		return nil, fmt.Errorf("tokensource: %w", err)
	}
	if !slices.Contains(policy.Algs, signer.Alg()) {
		return nil, fmt.Errorf("tokensource: the key is for %s, %s takes %s", signer.Alg(), p.profile.Name, strings.Join(policy.Algs, ", "))
	}
	return &maker{signer: signer, subject: subject}, nil
}

// addressAssertions sets the audiences of the assertions that the key signs.
func (p *plan) addressAssertions(issuer string, r Request) error {
	if p.asGrant != nil {
		p.asGrant.audience = cmp.Or(r.Audience, p.defaultAudience(issuer))
	}
	if p.asAuth != nil {
		p.asAuth.audience = issuer
	}
	needed := !p.profile.Policy.Assertion.Forbids("aud")
	for _, m := range []*maker{p.asGrant, p.asAuth} {
		if needed && m != nil && m.signer != nil && m.audience == "" {
			return errors.New("tokensource: an assertion needs an audience; set Issuer, or Credential.Audience to the platform's name for itself")
		}
	}
	return nil
}

// defaultAudience is the aud of a grant when the caller sets none (RFC 7523 §3).
func (p *plan) defaultAudience(issuer string) string {
	policy := &p.profile.Policy.Assertion
	switch {
	case policy.Accepts(platform.AudienceIssuer) && issuer != "":
		return issuer
	case policy.Accepts(platform.AudienceEndpoint):
		return p.endpoint
	default:
		return ""
	}
}

// signs reports whether the request has an assertion whose times are by our clock.
func (p *plan) signs() bool {
	return p.asGrant != nil && p.asGrant.signer != nil || p.asAuth != nil && p.asAuth.signer != nil
}

// signed are the assertions of one try.
type signed struct{ grant, auth string }

// sign makes the assertions of one try.
func (p *plan) sign(ctx context.Context, now time.Time) (s signed, err error) {
	if p.asGrant != nil {
		if s.grant, err = p.make(ctx, p.asGrant, now); err != nil {
			return s, err
		}
	}
	if p.asAuth != nil {
		s.auth, err = p.make(ctx, p.asAuth, now)
	}
	return s, err
}

// make makes one assertion.
func (p *plan) make(ctx context.Context, m *maker, now time.Time) (string, error) {
	if m.provided != nil {
		text, err := m.provided(ctx)
		if err != nil {
			return "", fmt.Errorf("the provider of the assertion: %w", err)
		}
		if err := secrettext.CheckEncoding([]byte(text)); err != nil {
			return "", fmt.Errorf("the provider of the assertion returned something else than a signed JWT: %w", err)
		}
		if strings.Count(text, ".") != 2 || !visible(text) {
			return "", errors.New("the provider of the assertion returned something else than a signed JWT")
		}
		return text, nil
	}
	a := assertion.Assertion{Issuer: p.credential.ClientID, Subject: m.subject, Audience: []string{m.audience}, ID: assertion.NewID()}
	lifetime := cmp.Or(p.credential.AssertionLifetime, defaultAssertionLifetime)
	return m.signer.Sign(claims.Fill(&p.profile.Policy.Assertion, a, now, lifetime))
}
