package authority

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"moneyer/internal/jose"
	"moneyer/oauth"
	"moneyer/profile"
)

// OnboardingError says what is wrong with something that was to be registered.
// Its text is for the operator.
type OnboardingError struct{ Problem string }

// Error gives the problem and, where there is one, the fix.
func (e *OnboardingError) Error() string { return e.Problem }

func reject(format string, args ...any) error {
	return &OnboardingError{fmt.Sprintf(format, args...)}
}

// publishedKeys are RFC 7638 thumbprints of keys whose private halves stand on
// public pages: the samples of two payment platforms, and of the RFCs that
// people copy from.
var publishedKeys = []string{
	"VQuxBeR-8wKbnpwhah3azvW8jmcrRPX_Gk62fS7o9Jo", // Thales D1, OAuth page
	"r1LkbBo3925Rb2ZFFrKyU3MVex9T2817Kx0vbi6i_Kc", // Thales D1, sample code
	"oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U", // RFC 7515 appendix A.3
	"IsUn6_e04MaShXFIISMp4kG62LWzMIPy_MvSA5pJgX8", // RFC 7515 appendix A.2
	"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", // RFC 8037 appendix A
}

// maxKeys and maxSecrets bound what one client can hold.
const (
	maxKeys    = 32
	maxSecrets = 32
	maxMembers = 64 // attributes, scope words
)

// AddKey registers a public key under a kid. It refuses a key that the issuer's
// profile does not accept, a published one, a kid or a key that the client has
// already, and times that leave it no life. refused lists thumbprints that
// configuration refuses beside the published ones.
func (c *Client) AddKey(issuer *Issuer, refused []string, key Key) error {
	thumbprint := key.Public.Thumbprint()
	algs := issuer.Profile.Policy.Assertion.Algs
	switch {
	case key.Kid == "" || len(key.Kid) > 128 || !printableASCII(key.Kid):
		return reject("a kid is 1 to 128 printable ASCII characters")
	case len(algs) == 0:
		return reject("profile %s uses no client keys; its clients have secrets or API keys", issuer.Profile.Name)
	case !slices.Contains(algs, string(key.Public.Alg())):
		return reject("this is a key for %s; profile %s takes %s", key.Public.Alg(), issuer.Profile.Name, strings.Join(algs, ", "))
	case isRefused(key.Public, refused):
		return reject("the private half of this key (thumbprint %s) is published or refused by configuration: make a new pair with 'moneyer keygen'", thumbprint)
	case !key.NotAfter.IsZero() && !key.NotBefore.Before(key.NotAfter):
		return reject("not-after must be later than not-before")
	case len(c.Keys) >= maxKeys:
		return reject("a client holds at most %d keys: remove one that is no longer used", maxKeys)
	}
	for i := range c.Keys {
		if c.Keys[i].Kid == key.Kid {
			return reject("the client has a key %q already; a new key needs a new kid", key.Kid)
		}
		if c.Keys[i].Public.Thumbprint() == thumbprint {
			return reject("the client has this very key already, as %q", c.Keys[i].Kid)
		}
	}
	key.Environment = issuer.Environment
	c.Keys = append(slices.Clone(c.Keys), key)
	return nil
}

// isRefused tells whether a key is published, or refused by configuration.
func isRefused(key *jose.PublicKey, refused []string) bool {
	thumbprint := key.Thumbprint()
	return slices.Contains(publishedKeys, thumbprint) || slices.Contains(refused, thumbprint)
}

func printableASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < 0x21 || r > 0x7E }) < 0
}

// The texts of secrets and API keys begin so: whoever meets one in the wrong
// place can tell what it is.
const (
	secretPrefix = "mns_"
	apiKeyPrefix = "mnk_"
)

// NewSecret makes a client secret or an API key of 256 random bits and registers
// its digest. The text is returned once and kept nowhere.
func (c *Client) NewSecret(pepper Pepper, kind SecretKind, notAfter, now time.Time) (Secret, string, error) {
	if len(c.Secrets) >= maxSecrets {
		return Secret{}, "", reject("a client holds at most %d secrets and API keys: remove one that is no longer used", maxSecrets)
	}
	if !notAfter.IsZero() && !notAfter.After(now) {
		return Secret{}, "", reject("not-after must be in the future")
	}
	text := map[SecretKind]string{ClientSecret: secretPrefix, APIKey: apiKeyPrefix}[kind] + randomText(32)
	secret := Secret{ID: newSecretID(), Kind: kind, Digest: pepper.Digest(text), NotAfter: notAfter, Created: now}
	c.Secrets = append(slices.Clone(c.Secrets), secret)
	return secret, text, nil
}

// newSecretID makes a name for a secret that nobody takes for a flag: base64url
// may begin with a hyphen, base32 does not.
func newSecretID() string {
	random := make([]byte, 10)
	_, _ = rand.Read(random) // never fails (crypto/rand)
	return strings.ToLower(base32.StdEncoding.EncodeToString(random))
}

func randomText(octets int) string {
	random := make([]byte, octets)
	_, _ = rand.Read(random) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(random)
}

// Check tells whether the client fits its issuer's profile.
func (c *Client) Check(issuer *Issuer) error {
	policy := &issuer.Profile.Policy
	if !policy.ClientID.Accepts(c.ID) {
		return reject("client id %q does not fit profile %s: it wants %s", shorten(c.ID), issuer.Profile.Name, policy.ClientID)
	}
	if len(c.Name) > 256 {
		return reject("a name has at most 256 octets")
	}
	if len(c.Scope) > maxMembers || len(c.Scope.String()) > oauth.MaxScope {
		return reject("a scope has at most %d words and %d octets", maxMembers, oauth.MaxScope)
	}
	if again, err := oauth.ParseScope(c.Scope.String()); err != nil || !slices.Equal(again, c.Scope) {
		return reject("scope words are printable ASCII without space, quote or backslash, each once")
	}
	if words := policy.Scope.Words; len(words) > 0 {
		if word := c.Scope.Missing(words); word != "" {
			return reject("profile %s has no scope word %q; it has %s", issuer.Profile.Name, word, strings.Join(words, ", "))
		}
	}
	for _, grant := range c.Grants {
		if policy.Grant(grant) == nil {
			return reject("profile %s does not serve grant %q", issuer.Profile.Name, grant)
		}
	}
	if err := c.checkJWKSURI(issuer.Profile); err != nil {
		return err
	}
	return checkAttributes(c.Attributes, policy.Token.ClientAttributes(), issuer.Profile.Name)
}

// Check tells whether the merchant fits its issuer's profile.
func (m *Merchant) Check(issuer *Issuer) error {
	policy := &issuer.Profile.Policy
	if policy.Merchant.Param == "" {
		return reject("profile %s knows no merchants", issuer.Profile.Name)
	}
	param := issuer.Profile.Wire.Param(policy.Merchant.Param)
	if param.Fault(m.ID) != "" {
		return reject("merchant id %q: must be 1 to %d octets of the profile's characters", shorten(m.ID), param.MaxLength)
	}
	if m.Client == "" {
		return reject("merchant %s: client must name the client that may act for it", m.ID)
	}
	claims := policy.Token.MerchantAttributes()
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		if value := m.Attributes[name]; claims[name].Required && !value.IsList && value.Text == "" {
			return reject("merchant %s: attribute %s is required by profile %s, and not empty", m.ID, name, issuer.Profile.Name)
		}
	}
	return checkAttributes(m.Attributes, claims, issuer.Profile.Name)
}

// Check tells whether the card token fits its issuer's profile.
func (t *CardToken) Check(issuer *Issuer) error {
	policy := &issuer.Profile.Policy.Merchant
	if policy.Cards == "" {
		return reject("profile %s knows no card tokens", issuer.Profile.Name)
	}
	param := issuer.Profile.Wire.Param(policy.Cards)
	switch {
	case param.Fault(t.ID) != "":
		return reject("card token id %q: must be 1 to %d octets of the profile's characters", shorten(t.ID), param.MaxLength)
	case t.Merchant == "":
		return reject("card token %s: merchant must name its merchant", t.ID)
	case t.Scheme == "" || len(t.Scheme) > 32 || strings.ToLower(t.Scheme) != t.Scheme:
		return reject("card token %s: scheme must be a lower-case name such as visa or mastercard", t.ID)
	}
	return nil
}

// checkAttributes holds attributes to the names and types that the profile's
// claims use.
func checkAttributes(attributes map[string]Attribute, claims map[string]profile.Claim, profileName string) error {
	if len(attributes) > maxMembers {
		return reject("at most %d attributes", maxMembers)
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		claim, known := claims[name]
		switch value := attributes[name]; {
		case len(claims) == 0:
			return reject("profile %s uses no attributes here, so %q would have no effect", profileName, name)
		case !known:
			return reject("profile %s uses no attribute %q here; it uses %s", profileName, name, strings.Join(slices.Sorted(maps.Keys(claims)), ", "))
		case claim.Type == profile.Strings && !value.IsList:
			return reject("attribute %s is a list", name)
		case claim.Type != profile.Strings && value.IsList:
			return reject("attribute %s is one text, not a list", name)
		case len(value.Text) > 1024 || len(value.List) > maxMembers || slices.ContainsFunc(value.List, func(s string) bool { return len(s) > 256 }):
			return reject("attribute %s is too long", name)
		case value.Text != "" && !claim.Form.Accepts(value.Text):
			return reject("attribute %s does not fit profile %s: it wants %s", name, profileName, claim.Form)
		}
	}
	return nil
}

// checkJWKSURI: where the client's profile has no use for keys, it has none for
// their address.
func (c *Client) checkJWKSURI(p *profile.Profile) error {
	switch {
	case c.JWKSURI == "":
		return nil
	case len(p.Policy.Assertion.Algs) == 0:
		return reject("profile %s uses no client keys, so a jwks_uri would have no effect", p.Name)
	}
	return CheckJWKSURI(c.JWKSURI)
}

// CheckJWKSURI tells whether a URL may be a client's jwks_uri (RFC 7591 §2). What
// it resolves to is judged when it is fetched.
func CheckJWKSURI(uri string) error {
	u, err := url.Parse(uri)
	if err != nil || len(uri) > 1024 || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return reject("a jwks_uri is an https URL of at most 1024 octets, with a host, without user and fragment")
	}
	return nil
}
