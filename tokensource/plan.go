package tokensource

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"moneyer/assertion"
	"moneyer/internal/fetch"
	"moneyer/internal/platform"
	"moneyer/oauth"
)

// typClientAuthentication is the typ of a client assertion (RFC 10070).
const typClientAuthentication = "client-authentication+jwt"

// plan is a token request that was checked. It holds what is the same for each try.
type plan struct {
	profile     *platform.Profile
	credential  *Credential
	url         *url.URL
	grant       oauth.GrantType
	auth        platform.AuthSet
	scope       oauth.Scope
	params      url.Values // the platform's own
	correlation string
	signer      *assertion.Signer // nil when the credential is not a key
	subject     string            // of the assertion, as audience
	audience    string
}

// merge sets the fields that are empty in r to the Source's.
func (s *Source) merge(r Request) Request {
	if len(r.Scope) == 0 {
		r.Scope = s.Scope
	}
	r.Subject = cmp.Or(r.Subject, s.Credential.Subject)
	r.Audience = cmp.Or(r.Audience, s.Credential.Audience)
	if len(r.Params) == 0 {
		r.Params = s.Params
	} else if len(s.Params) > 0 {
		own := r.Params
		r.Params = maps.Clone(s.Params)
		maps.Copy(r.Params, own)
	}
	return r
}

// plan checks a request against the profile before anything is sent.
func (s *Source) plan(r Request) (*plan, error) {
	definition, err := s.definition()
	if err != nil {
		return nil, err
	}
	r = s.merge(r)
	p := &plan{profile: definition, credential: &s.Credential, scope: r.Scope, params: r.Params}
	if p.grant, p.auth, err = p.credential.choose(definition, r); err != nil {
		return nil, err
	}
	if err := p.credential.check(definition, p.auth); err != nil {
		return nil, err
	}
	if p.url, err = endpoint(cmp.Or(s.TokenURL, strings.TrimSuffix(s.Issuer, "/")+definition.Wire.Path)); err != nil {
		return nil, err
	}
	if p.correlation, err = correlation(definition.Wire.Correlation, r.Correlation); err != nil {
		return nil, err
	}
	if err := p.planAssertion(s.Issuer, r); err != nil {
		return nil, err
	}
	return p, p.check()
}

// endpoint parses the token endpoint's URL. A credential is sent over TLS (RFC 6749
// §3.2), or to this machine.
func endpoint(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("tokensource: token endpoint: %w", err)
	}
	if u.Host == "" || u.User != nil || u.Fragment != "" {
		return nil, fmt.Errorf("tokensource: token endpoint %q must be an absolute URL without user and fragment; set Issuer or TokenURL", u.Redacted())
	}
	if !fetch.Secure(u) {
		return nil, fmt.Errorf("tokensource: token endpoint %q must be https; http is for loopback hosts only", u.Redacted())
	}
	return u, nil
}

// hostPort returns the host of u with its port, or with the default one of its
// scheme.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// correlation returns the caller's identifier after a check, or a random one.
func correlation(c platform.Correlation, given string) (string, error) {
	limit := cmp.Or(c.MaxLength, 64)
	if given != "" {
		if len(given) > limit || !c.Chars.Allow(given) || !platform.CharsVisible.Allow(given) || strings.TrimSpace(given) != given {
			return "", fmt.Errorf("tokensource: correlation %q must be 1 to %d characters, %s", given, limit, cmp.Or(c.Chars, platform.CharsVisible))
		}
		return given, nil
	}
	made := assertion.NewID()
	if c.Chars == platform.CharsDigits {
		made = digits(len(made))
	}
	return made[:min(limit, len(made))], nil
}

// digits returns n random digits.
func digits(n int) string {
	random := make([]byte, n)
	rand.Read(random)
	for i := range random {
		random[i] = '0' + random[i]%10
	}
	return string(random)
}

// planAssertion sets signer, subject and audience when an assertion is needed.
func (p *plan) planAssertion(issuer string, r Request) error {
	c := p.credential
	if p.grant != oauth.JWTBearer && (r.Subject != "" || r.Audience != "") {
		return fmt.Errorf("tokensource: Subject and Audience belong to an assertion as the grant, but %s is asked with %s", p.profile.Name, p.grant)
	}
	typ := c.Typ
	switch {
	case p.grant == oauth.JWTBearer:
		p.subject = cmp.Or(r.Subject, c.ClientID)
		p.audience = cmp.Or(r.Audience, p.defaultAudience(issuer))
	case p.auth.Has(oauth.AuthPrivateKeyJWT):
		p.subject, p.audience = c.ClientID, issuer
		typ = cmp.Or(typ, typClientAuthentication)
	default:
		return nil
	}
	if p.audience == "" {
		return errors.New("tokensource: an assertion needs an audience; set Issuer, or Credential.Audience to the platform's name for itself")
	}
	policy := &p.profile.Policy.Assertion
	if c.Kid == "" && policy.Kid == platform.KidRequired {
		return fmt.Errorf("tokensource: %s wants a kid; set Credential.Kid to the name under which the key is registered", p.profile.Name)
	}
	signer, err := assertion.NewSigner(c.Key, c.Alg, c.Kid, typ)
	if err != nil {
		return fmt.Errorf("tokensource: %w", err)
	}
	if !slices.Contains(policy.Algs, signer.Alg()) {
		return fmt.Errorf("tokensource: the key is for %s, %s takes %s", signer.Alg(), p.profile.Name, strings.Join(policy.Algs, ", "))
	}
	p.signer = signer
	return nil
}

// defaultAudience is the aud of a grant when the caller sets none (RFC 7523 §3).
func (p *plan) defaultAudience(issuer string) string {
	policy := &p.profile.Policy.Assertion
	switch {
	case policy.Accepts(platform.AudienceIssuer) && issuer != "":
		return issuer
	case policy.Accepts(platform.AudienceEndpoint):
		return p.url.String()
	default:
		return ""
	}
}

// sign makes the assertion of one try: it can be used once.
func (p *plan) sign(now time.Time) (string, error) {
	lifetime := cmp.Or(p.credential.AssertionLifetime, defaultAssertionLifetime)
	return p.signer.Sign(assertion.Assertion{
		Issuer:   p.credential.ClientID,
		Subject:  p.subject,
		Audience: []string{p.audience},
		ID:       assertion.NewID(),
		IssuedAt: now,
		Expiry:   now.Add(min(lifetime, p.profile.Policy.Assertion.MaxLifetime)),
	})
}
