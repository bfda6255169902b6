package registry

import (
	"cmp"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"
	"unique"

	"moneyer/internal/platform"
	"moneyer/oauth"
)

// Client is a registered caller (RFC 6749 §2) with all that belongs to it. A
// Client that came out of a Registry is shared: copy it before changing it.
type Client struct {
	Issuer string `json:"issuer"`
	ID     string `json:"id"`
	// Name for people.
	Name string `json:"name,omitempty"`
	// Revision counts the changes; a Put with a stale one is refused. 0 is new.
	Revision int64 `json:"revision"`
	Disabled bool  `json:"disabled,omitempty"`
	// Introspects: the client may ask about tokens of others (RFC 7662).
	Introspects bool `json:"introspects,omitempty"`
	// Unverified is set in a list, where the client in the store does not verify under the
	// master key: nothing but its ID is known. It is never stored.
	Unverified bool `json:"-"`
	// Grants that the client may use; empty means every grant of the profile.
	Grants []oauth.GrantType `json:"grants,omitempty"`
	// Scope is all that a token for this client may carry.
	Scope oauth.Scope `json:"scope,omitempty"`
	// Attributes feed the claims that the profile takes from "client.NAME".
	Attributes map[string]Attribute `json:"attributes,omitempty"`
	Keys       []Key                `json:"keys,omitempty"`
	// JWKSURI is where the client publishes further keys (RFC 7591 §2). JWKSEnvironment
	// is that of the issuer for which it was registered: see SetJWKSURI.
	JWKSURI         string        `json:"jwks_uri,omitempty"`
	JWKSEnvironment string        `json:"jwks_environment,omitempty"`
	Secrets         []Secret      `json:"secrets,omitempty"`
	Certificates    []Certificate `json:"certificates,omitempty"`
	Identities      []Identity    `json:"identities,omitempty"`
	// Subjects that the client's assertions may name beside the client itself, where the
	// profile lets it.
	Subjects []string `json:"subjects,omitempty"`
	// BoundTokens says what each of the client's tokens is bound to (RFC 7800): it never
	// gets another.
	BoundTokens Binding `json:"bound_tokens,omitempty"`
	// AssertionAudience is what the aud of the JWT may be by which the client authenticates.
	AssertionAudience AssertionAudience `json:"client_assertion_audience,omitempty"`
	Created           time.Time         `json:"created"`
}

// Binding is what a token is bound to.
type Binding string

// The bindings.
const (
	BoundToNothing Binding = ""
	BoundToTLS     Binding = "mtls" // the client's certificate (RFC 8705 §3)
)

// AssertionAudience is what the aud of a client assertion may be.
type AssertionAudience string

// The audiences of client assertions.
const (
	// AudienceIssuer: the issuer identifier alone (RFC 10070 §4).
	AudienceIssuer AssertionAudience = ""
	// AudienceIssuerOrEndpoint: the token endpoint's URL, too, for a client that has not
	// moved to RFC 10070 yet.
	AudienceIssuerOrEndpoint AssertionAudience = "issuer-or-endpoint"
)

// ShareTexts replaces texts that many clients have in common by one copy of each: a million clients are
// held in memory.
func (c *Client) ShareTexts() {
	c.Issuer, c.JWKSEnvironment = shared(c.Issuer), shared(c.JWKSEnvironment)
	for i := range c.Scope {
		c.Scope[i] = shared(c.Scope[i])
	}
	for i := range c.Keys {
		c.Keys[i].Environment = shared(c.Keys[i].Environment)
	}
	for i := range c.Secrets {
		c.Secrets[i].Kind = shared(c.Secrets[i].Kind)
	}
}

func shared[T ~string](text T) T { return unique.Make(text).Value() }

// Key finds the client's key for a kid. Without a kid it is the client's only key; nil means
// that there is none.
func (c *Client) Key(kid string) *Key {
	if kid == "" && len(c.Keys) == 1 {
		return &c.Keys[0]
	}
	for i := range c.Keys {
		if kid != "" && c.Keys[i].Kid == kid {
			return &c.Keys[i]
		}
	}
	return nil
}

// AddKey registers a public key under a kid. It refuses a key that the issuer's
// profile does not accept, a blocked one, a kid or a key that the client has
// already, and times that leave it no life. blocked lists thumbprints that
// configuration blocks beside the built-in ones.
func (c *Client) AddKey(issuer *Issuer, blocked []string, key Key) error {
	algs := issuer.Profile.Policy.Assertion.Algs
	switch {
	case key.Kid == "" || len(key.Kid) > 128 || !printableASCII(key.Kid):
		return Invalidf("a kid is 1 to 128 printable ASCII characters")
	case len(algs) == 0:
		return Invalidf("profile %s uses no client keys; its clients have secrets or API keys", issuer.Profile.Name)
	case !slices.Contains(algs, string(key.Public.Alg())):
		return Invalidf("this is a key for %s; profile %s takes %s", key.Public.Alg(), issuer.Profile.Name, strings.Join(algs, ", "))
	case len(c.Keys) >= maxKeys:
		return Invalidf("a client holds at most %d keys: remove one that is no longer used", maxKeys)
	}
	if err := cmp.Or(key.CheckTimes(), Blocked(key.Public, blocked)); err != nil {
		return err
	}
	thumbprint := key.Public.Thumbprint()
	for i := range c.Keys {
		if c.Keys[i].Kid == key.Kid {
			return Invalidf("the client has a key %q already; a new key needs a new kid", key.Kid)
		}
		if c.Keys[i].Public.Thumbprint() == thumbprint {
			return Invalidf("the client has this very key already, as %q", c.Keys[i].Kid)
		}
	}
	key.Environment = issuer.Environment
	c.Keys = append(slices.Clone(c.Keys), key)
	return nil
}

// NewSecret makes a client secret or an API key of 256 random bits and registers
// its digest. The text is returned once and kept nowhere.
func (c *Client) NewSecret(issuer *Issuer, pepper Pepper, kind SecretKind, notAfter, now time.Time) (Secret, string, error) {
	if err := kind.check(issuer.Profile); err != nil {
		return Secret{}, "", err
	}
	if len(c.Secrets) >= maxSecrets {
		return Secret{}, "", Invalidf("a client holds at most %d secrets and API keys: remove one that is no longer used", maxSecrets)
	}
	if !notAfter.IsZero() && !notAfter.After(now) {
		return Secret{}, "", Invalidf("not-after must be in the future")
	}
	text := map[SecretKind]string{ClientSecret: secretPrefix, APIKey: apiKeyPrefix}[kind] + randomText(32)
	secret := Secret{ID: newSecretID(), Kind: kind, Digest: pepper.Digest(text), NotAfter: notAfter, Created: now}
	c.Secrets = append(slices.Clone(c.Secrets), secret)
	return secret, text, nil
}

// Check returns why the client does not fit its issuer's profile, or nil.
func (c *Client) Check(issuer *Issuer) error {
	policy := &issuer.Profile.Policy
	if !policy.ClientID.Accepts(c.ID) {
		return Invalidf("client id %q does not fit profile %s: it wants %s", Excerpt(c.ID), issuer.Profile.Name, policy.ClientID)
	}
	if len(c.Name) > 256 {
		return Invalidf("a name has at most 256 bytes")
	}
	if len(c.Scope) > maxMembers || len(c.Scope.String()) > oauth.MaxScope {
		return Invalidf("a scope has at most %d words and %d bytes", maxMembers, oauth.MaxScope)
	}
	if again, err := oauth.ParseScope(c.Scope.String()); err != nil || !slices.Equal(again, c.Scope) {
		return Invalidf("scope words are printable ASCII without space, quote or backslash, each once")
	}
	if words := policy.Scope.Words; len(words) > 0 {
		if word := c.Scope.Missing(words); word != "" {
			return Invalidf("profile %s has no scope word %q; it has %s", issuer.Profile.Name, word, strings.Join(words, ", "))
		}
	}
	for _, grant := range c.Grants {
		if policy.Grant(grant) == nil {
			return Invalidf("profile %s does not serve grant %q", issuer.Profile.Name, grant)
		}
	}
	if err := cmp.Or(c.checkJWKSURI(issuer.Profile), c.checkSubjects(issuer.Profile), c.checkBinding(issuer), c.checkAssertionAudience(issuer.Profile)); err != nil {
		return err
	}
	return checkAttributes(c.Attributes, policy.Token.ClientAttributes(), issuer.Profile.Name)
}

// checkSubjects: a client has further subjects where its profile lets assertions name them.
func (c *Client) checkSubjects(p *platform.Profile) error {
	switch {
	case len(c.Subjects) == 0:
		return nil
	case p.Policy.Assertion.Subject != platform.SubjectRegistered:
		return Invalidf("under profile %s an assertion names no other subject than its client, so subjects would have no effect", p.Name)
	case len(c.Subjects) > maxMembers:
		return Invalidf("a client has at most %d subjects", maxMembers)
	}
	for i, subject := range c.Subjects {
		switch {
		case subject == "" || len(subject) > 256 || !printableASCII(subject):
			return Invalidf("a subject is 1 to 256 printable ASCII characters without blanks")
		case LooksLikeCredential(subject):
			return Invalidf("a subject looks like a secret or a JWT")
		case subject == c.ID || slices.Contains(c.Subjects[:i], subject):
			return Invalidf("subject %q is named twice: a client is a subject of its own assertions as it is", Excerpt(subject))
		}
	}
	return nil
}

// checkBinding: a client's tokens are bound to its certificate where they can say so and the
// server asks for certificates.
func (c *Client) checkBinding(issuer *Issuer) error {
	policy := &issuer.Profile.Policy
	switch {
	case c.BoundTokens == BoundToNothing:
		return nil
	case c.BoundTokens != BoundToTLS:
		return Invalidf("bound_tokens is %q, or empty", BoundToTLS)
	case policy.Token.Claim("cnf") == nil:
		return Invalidf("profile %s has no claim cnf, so its tokens cannot be bound", issuer.Profile.Name)
	case !policy.Uses(oauth.AuthTLS) && !policy.Uses(oauth.AuthSelfSignedTLS):
		return Invalidf("issuer %s asks for no client certificate, so a client with bound tokens would get none", issuer.Name)
	}
	return nil
}

// checkAssertionAudience: the audience of client assertions is a setting where clients
// authenticate by them.
func (c *Client) checkAssertionAudience(p *platform.Profile) error {
	switch {
	case c.AssertionAudience == AudienceIssuer:
		return nil
	case c.AssertionAudience != AudienceIssuerOrEndpoint:
		return Invalidf("client_assertion_audience is issuer, which is the default, or %s", AudienceIssuerOrEndpoint)
	case !p.Policy.Uses(oauth.AuthPrivateKeyJWT):
		return Invalidf("profile %s does not use private_key_jwt, so client_assertion_audience would have no effect", p.Name)
	}
	return nil
}

// checkAttributes holds attributes to the names and types that the profile's
// claims use.
func checkAttributes(attributes map[string]Attribute, claims map[string]platform.Claim, profileName string) error {
	if len(attributes) > maxMembers {
		return Invalidf("at most %d attributes", maxMembers)
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		claim, known := claims[name]
		switch value := attributes[name]; {
		case len(claims) == 0:
			return Invalidf("profile %s uses no attributes here, so %q would have no effect", profileName, name)
		case !known:
			return Invalidf("profile %s uses no attribute %q here; it uses %s", profileName, name, strings.Join(slices.Sorted(maps.Keys(claims)), ", "))
		case claim.Type == platform.TypeStrings && !value.IsList:
			return Invalidf("attribute %s is a list", name)
		case claim.Type != platform.TypeStrings && value.IsList:
			return Invalidf("attribute %s is one text, not a list", name)
		case len(value.Text) > 1024 || len(value.List) > maxMembers || slices.ContainsFunc(value.List, func(s string) bool { return len(s) > 256 }):
			return Invalidf("attribute %s is too long", name)
		case value.Text != "" && !claim.Form.Accepts(value.Text):
			return Invalidf("attribute %s does not fit profile %s: it wants %s", name, profileName, claim.Form)
		}
	}
	return nil
}

// SetJWKSURI registers where the client publishes keys; empty for nowhere.
func (c *Client) SetJWKSURI(issuer *Issuer, uri string) {
	c.JWKSURI, c.JWKSEnvironment = uri, issuer.Environment
	if uri == "" {
		c.JWKSEnvironment = ""
	}
}

// CanonicalJWKSURI returns one spelling for the URLs at which a server most likely
// publishes the same keys: host in lower case, no default port, a plain path. It is for
// comparison, and empty for a URL that CheckJWKSURI refuses.
func CanonicalJWKSURI(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || CheckJWKSURI(uri) != nil {
		return ""
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port := u.Port(); port != "" && port != "443" {
		host += ":" + port
	}
	plain := url.URL{Scheme: "https", Host: host, Path: path.Clean("/" + u.Path), RawQuery: u.RawQuery}
	return plain.String()
}

// checkJWKSURI: where the client's profile has no use for keys, it has none for
// their address.
func (c *Client) checkJWKSURI(p *platform.Profile) error {
	switch {
	case c.JWKSURI == "":
		return nil
	case len(p.Policy.Assertion.Algs) == 0:
		return Invalidf("profile %s uses no client keys, so a jwks_uri would have no effect", p.Name)
	}
	return CheckJWKSURI(c.JWKSURI)
}

// CheckJWKSURI returns why a URL may not be a client's jwks_uri (RFC 7591 §2), or nil.
// The address that it resolves to is checked when it is fetched.
func CheckJWKSURI(uri string) error {
	u, err := url.Parse(uri)
	if err != nil || len(uri) > 1024 || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return Invalidf("a jwks_uri is an https URL of at most 1024 bytes, with a host, without user and fragment")
	}
	return nil
}

// The bounds of what one client can hold.
const (
	maxKeys         = 32
	maxSecrets      = 32
	maxCertificates = 32
	maxMembers      = 64 // attributes, scope words, subjects
)

func printableASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < 0x21 || r > 0x7E }) < 0
}
