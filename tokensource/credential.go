package tokensource

import (
	"cmp"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"moneyer/internal/platform"
	"moneyer/internal/secrettext"
	"moneyer/oauth"
)

// defaultAssertionLifetime is enough for an assertion that is sent at once.
const defaultAssertionLifetime = 3 * time.Minute

// Credential authenticates a client to a token endpoint. Set the fields that the
// client has: the first of the profile's grants and sets of methods of client
// authentication that they are enough for is used. Printing or logging a Credential, or
// encoding it as JSON, does not show its secrets.
type Credential struct {
	// ClientID identifies the client. It is also the iss of its assertions.
	ClientID string
	// Secret is for client_secret_basic and client_secret_post (RFC 6749 §2.3.1). See
	// ParseSecret for one from a file or the environment.
	Secret string `json:"-"`
	// APIKey is for platforms that take an API key in a header.
	APIKey string `json:"-"`
	// Certificate is for mutual TLS with the token endpoint. By itself it is for
	// tls_client_auth and self_signed_tls_client_auth (RFC 8705 §2); it may also stand
	// beside any of the others, and a token may be bound to it (§3). nil means none, or
	// that of HTTPClient. See CertificateFiles.
	Certificate CertificateFunc `json:"-"`

	// Key signs assertions: as the grant (RFC 7523 §2.1) or for client
	// authentication (§2.2). It may be in an HSM.
	Key crypto.Signer `json:"-"`
	// Kid is the key id under which the platform knows the key.
	Kid string
	// Alg is ES256, RS256, PS256 or EdDSA. Empty means ES256 for a P-256 key, RS256
	// for RSA and EdDSA for Ed25519.
	Alg string
	// Typ is the typ in an assertion's header. Empty means none for a grant, and
	// "client-authentication+jwt" for client authentication (RFC 10070).
	Typ string
	// Subject is the sub of an assertion that is a grant; empty means ClientID.
	Subject string
	// Audience is the aud of an assertion that is a grant. Empty means the issuer
	// URL, or the token endpoint where the profile accepts only that. For client
	// authentication the aud is always the issuer URL (RFC 10070).
	Audience string
	// AssertionLifetime is exp minus iat; 0 means 3 minutes. It is never more than
	// the profile allows.
	AssertionLifetime time.Duration

	// Assertion returns an assertion of somebody whom the platform trusts, such as an
	// identity provider, and with which it knows the client: as the grant, or else as the
	// client's authentication. It takes the place of a Key there; a Key beside it
	// authenticates the client beside the grant, where the profile has such a set. It is
	// called for each try, from many goroutines, and must return when the context ends. See
	// AssertionFile.
	Assertion func(context.Context) (string, error) `json:"-"`
	// AssertionType is the client_assertion_type of Assertion: oauth.AssertionTypeJWT,
	// which empty means, or oauth.AssertionTypeSPIFFE.
	AssertionType string

	// Grant and Auth select a grant and a set of methods of client authentication where
	// there are several: Auth is one method, or several as in
	// "client_secret_basic + tls_client_auth". Empty means the first; with a Key and a
	// Subject or Audience, it means the assertion as the grant. A method of mutual TLS
	// in Auth may be one that the profile does not have, but the issuer demands.
	Grant oauth.GrantType
	Auth  oauth.ClientAuth
}

// String returns the client id and no secret.
func (c Credential) String() string { return fmt.Sprintf("credential of client %q", c.ClientID) }

// Format writes String for every verb.
func (c Credential) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue returns the client id and kid, and no secret.
func (c Credential) LogValue() slog.Value {
	return slog.GroupValue(slog.String("client_id", c.ClientID), slog.String("kid", c.Kid))
}

// choose returns the first grant and client authentication of the policy that the
// credential is enough for. A subject or audience in r wants an assertion as the
// grant.
func (c *Credential) choose(p *platform.Profile, r Request) (oauth.GrantType, platform.AuthSet, error) {
	wanted := c.Grant
	if wanted == "" && c.Key != nil && (r.Subject != "" || r.Audience != "") {
		wanted = oauth.JWTBearer
	}
	grant, set, ok := p.Policy.Choose(c.held(), wanted, c.Auth)
	if !ok {
		return "", nil, fmt.Errorf("tokensource: the credential fits no grant of %s: %s", p.Name, needs(p))
	}
	return grant.Type, set, nil
}

// held says which fields are set. With a method of mutual TLS in Auth, HTTPClient has the
// certificate where Certificate is not set.
func (c *Credential) held() platform.Held {
	return platform.Held{
		ID: c.ClientID != "", Secret: c.Secret != "", APIKey: c.APIKey != "", Key: c.Key != nil, Assertion: c.Assertion != nil,
		Certificate: c.Certificate != nil || c.Auth != "",
	}
}

// needs says what a credential needs for each grant of the profile.
func needs(p *platform.Profile) string {
	fields := platform.Names{
		ID: []string{"ClientID"}, Secret: []string{"Secret"}, APIKey: []string{"APIKey"},
		Key: []string{"Key (or Assertion)"}, Certificate: []string{"Certificate"},
	}
	var ways []string
	for i := range p.Policy.Grants {
		grant := &p.Policy.Grants[i]
		for _, set := range grant.ClientAuth {
			ways = append(ways, fmt.Sprintf("%s with %s needs %s", grant.Type, set, grant.Needs(set, fields)))
		}
	}
	return strings.Join(ways, "; ")
}

// check checks the credential against the limits of the profile.
func (c *Credential) check(p *platform.Profile, set platform.AuthSet) error {
	if err := cmp.Or(checkSecret("Secret", c.Secret), checkSecret("APIKey", c.APIKey)); err != nil {
		return err
	}
	if set.Has(oauth.AuthAPIKey) && (len(c.APIKey) > p.Wire.APIKey.MaxLength || !visible(c.APIKey)) {
		return fmt.Errorf("tokensource: the API key must be 1 to %d visible ASCII characters without blanks", p.Wire.APIKey.MaxLength)
	}
	if c.AssertionType != "" && c.AssertionType != oauth.AssertionTypeJWT && c.AssertionType != oauth.AssertionTypeSPIFFE {
		return fmt.Errorf("tokensource: AssertionType %q is not known", c.AssertionType)
	}
	if c.ClientID == "" || len(set) == 1 && set.Has(oauth.AuthAPIKey) {
		return nil // the credential names its client by itself
	}
	if id := p.Policy.ClientID; !id.Accepts(c.ClientID) {
		return fmt.Errorf("tokensource: ClientID %q does not have the form of %s: %s", c.ClientID, p.Name, id)
	}
	if c.AssertionLifetime < 0 {
		return errors.New("tokensource: AssertionLifetime is negative")
	}
	return nil
}

// checkSecret refuses a secret, if there is one, that can only be a mistake. It is not trimmed:
// ParseSecret does that.
func checkSecret(field, secret string) error {
	if secret == "" {
		return nil
	}
	if err := secrettext.Check(secret); err != nil {
		return fmt.Errorf("tokensource: Credential.%s cannot be a secret: %w", field, err)
	}
	return nil
}

// visible reports whether all of s is in %x21-7E, which a header can carry as one
// word.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= 0x20 || s[i] >= 0x7F {
			return false
		}
	}
	return true
}
