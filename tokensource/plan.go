package tokensource

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"

	"moneyer/assertion"
	"moneyer/internal/fetch"
	"moneyer/internal/platform"
	"moneyer/oauth"
)

// plan is a token request that was checked. It holds what is the same for each try.
type plan struct {
	profile     *platform.Profile
	credential  *Credential
	client      *http.Client // shows the client certificate; may be nil
	url         *url.URL     // where the request goes
	endpoint    string       // the token endpoint as an audience, which an alias for mutual TLS is not
	grant       oauth.GrantType
	auth        platform.AuthSet
	scope       oauth.Scope
	params      url.Values // the platform's own
	correlation string
	asGrant     *maker // of the assertion that is the grant; nil for none
	asAuth      *maker // of the client's assertion; nil for none

	// sent are the secrets of the last try, which no log may show.
	sent []string
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

// plan checks a request against the profile before anything is sent but what finds the
// token endpoint.
func (s *Source) plan(ctx context.Context, r Request, with *identity) (*plan, error) {
	definition, err := s.definition()
	if err != nil {
		return nil, err
	}
	r = s.merge(r)
	p := &plan{profile: definition, credential: with.credential, client: with.client, scope: r.Scope, params: r.Params}
	if p.grant, p.auth, err = p.credential.choose(definition, r); err != nil {
		return nil, err
	}
	if err := p.credential.check(definition, p.auth); err != nil {
		return nil, err
	}
	if p.correlation, err = correlation(definition.Wire.Correlation, r.Correlation); err != nil {
		return nil, err
	}
	if err := p.planAssertions(r); err != nil {
		return nil, err
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	if err := s.locate(ctx, p); err != nil {
		return nil, err
	}
	return p, p.addressAssertions(s.Issuer, r)
}

// endpoint parses the token endpoint's URL. A credential is sent over TLS (RFC 6749
// §3.2), or to this machine.
func endpoint(text string) (*url.URL, error) {
	const form = "must be an absolute URL, such as https://as.example/token, without user and fragment; set Issuer or TokenURL"
	u, err := url.Parse(text)
	if err != nil && !strings.Contains(text, "@") { // what stands before @ may be a secret
		return nil, fmt.Errorf("tokensource: token endpoint %q %s", text, form)
	}
	if err != nil {
		return nil, fmt.Errorf("tokensource: the token endpoint %s", form)
	}
	if u.Host == "" || u.User != nil || u.Fragment != "" {
		return nil, fmt.Errorf("tokensource: token endpoint %q %s", u.Redacted(), form)
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

// reference names the exchange as the platform's logs do, for an error; empty where it has no name.
func (p *plan) reference() string {
	if p.correlation == "" {
		return ""
	}
	return fmt.Sprintf(" (correlation %s)", p.correlation)
}

// correlation returns the caller's identifier after a check, or a random one; none where the platform has no
// header for it.
func correlation(c platform.Correlation, given string) (string, error) {
	if c.Header == "" {
		return "", nil
	}
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
