package authority

import (
	"slices"
	"time"

	"moneyer/profile"
)

// Issuer is one authorization-server identity (RFC 8414 §2): a URL that wears a
// profile. It is configuration, read-only while the process runs with it.
type Issuer struct {
	// Name is the short name by which configuration, commands and the store call
	// the issuer; it outlives a change of URL.
	Name string
	// URL is the issuer identifier, without a trailing slash.
	URL     string
	Profile *profile.Profile
	// Environment, such as "stg" or "prd": one key may not serve in two.
	Environment string
	// AudienceNames may stand in an assertion's aud, beside what the profile allows.
	AudienceNames []string
	// ResourceAudience is the aud of access tokens: the API behind (RFC 9068 §2.2).
	ResourceAudience string
	// TokenLifetime of access tokens.
	TokenLifetime time.Duration
	// Replay says what a second use of an assertion gets.
	Replay profile.Replay
	// Alg signs access tokens.
	Alg string
	// Disabled issuers mint nothing; their keys stay published.
	Disabled bool
}

// Endpoints lists the URLs of the token endpoint; the first is the canonical one.
func (i *Issuer) Endpoints() []string {
	paths := i.Profile.Wire.Paths()
	urls := make([]string, len(paths))
	for n, path := range paths {
		urls[n] = i.URL + path
	}
	return urls
}

// grantAudience tells whether aud is a name for this issuer in an assertion that
// is a grant (RFC 7523 §3, rule 3).
func (i *Issuer) grantAudience(aud string) bool {
	policy := &i.Profile.Policy.Assertion
	return policy.Accepts(profile.AudienceIssuer) && aud == i.URL ||
		policy.Accepts(profile.AudienceName) && slices.Contains(i.AudienceNames, aud) ||
		policy.Accepts(profile.AudienceEndpoint) && i.isEndpoint(aud)
}

func (i *Issuer) isEndpoint(url string) bool {
	if len(url) <= len(i.URL) || url[:len(i.URL)] != i.URL {
		return false
	}
	path, wire := url[len(i.URL):], &i.Profile.Wire
	return path == wire.Path || slices.Contains(wire.Aliases, path)
}
