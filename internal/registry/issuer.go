package registry

import (
	"crypto/x509"
	"slices"
	"strings"
	"time"

	"moneyer/internal/platform"
	"moneyer/oauth"
)

// Issuer is one authorization-server identity (RFC 8414 §2): a URL that wears a
// profile. It is configuration, read-only while the process runs with it.
type Issuer struct {
	// Name is the short name by which configuration, commands and the store call
	// the issuer; it outlives a change of URL.
	Name string
	// URL is the issuer identifier, without a trailing slash.
	URL     string
	Profile *platform.Profile
	// Environment, such as "stg" or "prd": one key may not serve in two.
	Environment string
	// AudienceNames are further values that an assertion's aud may have.
	AudienceNames []string
	// ResourceAudience is the aud of access tokens: the API behind (RFC 9068 §2.2).
	ResourceAudience string
	// TokenLifetime of access tokens.
	TokenLifetime time.Duration
	// Reuse is the part of its life that a token must have left to be handed out again; 0 means that
	// every request gets one of its own.
	Reuse float64
	// Replay says what a second use of an assertion gets.
	Replay platform.Replay
	// Alg signs access tokens.
	Alg string
	// Trusted are the identity providers whose JWTs are accepted for registered clients.
	Trusted []*TrustedIssuer
	// MTLSURL is the base URL of the endpoints for clients that authenticate by a
	// certificate (RFC 8705 §5); empty where they are the same.
	MTLSURL string
	// CertificateRoots verify certificates for tls_client_auth (RFC 8705 §2.1); nil
	// where there are none. It is called for each certificate, since the file may change.
	CertificateRoots func() *x509.CertPool
	// Disabled issuers mint nothing; their keys stay published.
	Disabled bool
	// PrivateRevocations: the list of revocations is for authenticated clients that may
	// introspect alone.
	PrivateRevocations bool
}

// Endpoints lists the URLs of the token endpoint; the first is the canonical one.
func (i *Issuer) Endpoints() []string {
	paths := i.Profile.Wire.Paths()
	urls := make([]string, len(paths))
	for n, path := range paths {
		urls[n] = strings.TrimSuffix(i.URL, "/") + path // of another's platform, as in moneyer explain, it may end in one
	}
	return urls
}

// AcceptsAudience reports whether aud is a name for this issuer in an assertion that
// is a grant (RFC 7523 §3, rule 3).
func (i *Issuer) AcceptsAudience(aud string) bool {
	policy := &i.Profile.Policy.Assertion
	return policy.Accepts(platform.AudienceIssuer) && aud == i.URL ||
		policy.Accepts(platform.AudienceName) && slices.Contains(i.AudienceNames, aud) ||
		policy.Accepts(platform.AudienceEndpoint) && i.IsTokenEndpoint(aud)
}

// IsTokenEndpoint reports whether url is the token endpoint or an alias of it.
func (i *Issuer) IsTokenEndpoint(url string) bool {
	if len(url) <= len(i.URL) || url[:len(i.URL)] != i.URL {
		return false
	}
	path, wire := url[len(i.URL):], &i.Profile.Wire
	return path == wire.Path || slices.Contains(wire.Aliases, path)
}

// Audiences lists what AcceptsAudience accepts, for people.
func (i *Issuer) Audiences() []string {
	var all []string
	policy := &i.Profile.Policy.Assertion
	if policy.Accepts(platform.AudienceName) {
		all = append(all, i.AudienceNames...)
	}
	if policy.Accepts(platform.AudienceIssuer) {
		all = append(all, i.URL)
	}
	if policy.Accepts(platform.AudienceEndpoint) {
		all = append(all, i.Endpoints()...)
	}
	return all
}

// ResourceAuth lists how clients authenticate at the revocation and introspection
// endpoints: as at the token endpoint, and where an assertion that is the grant names the
// client, by a signed JWT in its place: who signs grants can sign for itself.
func (i *Issuer) ResourceAuth() []platform.AuthSet {
	var sets []platform.AuthSet
	for _, grant := range i.Profile.Policy.Grants {
		for _, set := range grant.ClientAuth {
			if len(set) == 0 || len(set) == 1 && set.TLSMethod() != "" && grant.Type == oauth.JWTBearer {
				set = append(platform.AuthSet{oauth.AuthPrivateKeyJWT}, set...)
			}
			if !slices.ContainsFunc(sets, func(other platform.AuthSet) bool { return slices.Equal(other, set) }) {
				sets = append(sets, set)
			}
		}
	}
	return sets
}
