package tokensource

import (
	"crypto"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"moneyer/internal/platform"
	"moneyer/oauth"
)

// defaultAssertionLifetime is enough for an assertion that is used at once.
const defaultAssertionLifetime = 3 * time.Minute

// Credential is what a client shows to a token endpoint. Set what the client
// has: of the profile's grants and ways of client authentication the first that
// the credential can serve is used. Printing or logging a Credential never shows
// its secrets.
type Credential struct {
	// ClientID names the client; it is also the iss of its assertions.
	ClientID string
	// Secret for client_secret_basic and client_secret_post (RFC 6749 §2.3.1).
	Secret string `json:"-"`
	// APIKey for platforms with a key in a header.
	APIKey string `json:"-"`

	// Key signs assertions, as a grant (RFC 7523 §2.1) or as client
	// authentication (§2.2). It may live in an HSM.
	Key crypto.Signer `json:"-"`
	// Kid is the name under which the key is registered.
	Kid string
	// Alg is ES256, RS256, PS256 or EdDSA; empty means the natural one of the key.
	Alg string
	// Typ is the typ in an assertion's header; empty means none for a grant and
	// "client-authentication+jwt" for client authentication (RFC 10070).
	Typ string
	// Subject is the sub of an assertion that is a grant; empty means ClientID.
	Subject string
	// Audience is the aud of an assertion that is a grant, for platforms that
	// have audience names; empty means the issuer URL, or the token endpoint
	// where the profile takes only that. For client authentication the audience
	// is always the issuer URL alone (RFC 10070).
	Audience string
	// AssertionLifetime is exp minus iat; 0 means 3 minutes. It is cut to what
	// the profile allows.
	AssertionLifetime time.Duration

	// Grant and Auth force a choice where the profile and the credential leave
	// several; empty means the first. With a Key and a Subject or Audience it means
	// the assertion as the grant.
	Grant oauth.GrantType
	Auth  oauth.ClientAuth
}

// String names the client and shows no secret.
func (c Credential) String() string { return fmt.Sprintf("credential of client %q", c.ClientID) }

// Format writes String for every verb, so that none shows a secret.
func (c Credential) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue names the client and shows no secret.
func (c Credential) LogValue() slog.Value {
	return slog.GroupValue(slog.String("client_id", c.ClientID), slog.String("kid", c.Kid))
}

// choose returns the first grant and client authentication of the policy that
// the credential can serve. A subject or audience that r names is an assertion's
// that is the grant.
func (c *Credential) choose(p *platform.Profile, r Request) (oauth.GrantType, oauth.ClientAuth, error) {
	wish := c.Grant
	if wish == "" && c.Key != nil && (r.Subject != "" || r.Audience != "") {
		wish = oauth.JWTBearer
	}
	for _, grant := range p.Policy.Grants {
		if wish != "" && wish != grant.Type {
			continue
		}
		for _, auth := range grant.ClientAuth {
			if (c.Auth == "" || c.Auth == auth) && c.serves(auth) {
				return grant.Type, auth, nil
			}
		}
	}
	return "", "", fmt.Errorf("tokensource: the credential fits no grant of %s: %s", p.Name, wanted(p))
}

// serves tells whether the credential has what auth takes. AuthNone goes with an
// assertion as the grant: package profile sees to it.
func (c *Credential) serves(auth oauth.ClientAuth) bool {
	switch auth {
	case oauth.AuthNone, oauth.AuthPrivateKeyJWT:
		return c.ClientID != "" && c.Key != nil
	case oauth.AuthBasic, oauth.AuthPost:
		return c.ClientID != "" && c.Secret != ""
	case oauth.AuthAPIKey:
		return c.APIKey != ""
	default:
		return false
	}
}

// wanted says what a credential needs for each grant of the profile.
func wanted(p *platform.Profile) string {
	var text string
	for _, grant := range p.Policy.Grants {
		for _, auth := range grant.ClientAuth {
			if text != "" {
				text += "; "
			}
			text += fmt.Sprintf("%s with %s needs %s", grant.Type, auth, fields(auth))
		}
	}
	return text
}

func fields(auth oauth.ClientAuth) string {
	switch auth {
	case oauth.AuthBasic, oauth.AuthPost:
		return "ClientID and Secret"
	case oauth.AuthAPIKey:
		return "APIKey"
	default:
		return "ClientID and Key"
	}
}

// check holds the credential to the profile's limits.
func (c *Credential) check(p *platform.Profile, auth oauth.ClientAuth) error {
	if auth == oauth.AuthAPIKey {
		if len(c.APIKey) > p.Wire.APIKey.MaxLength || !visible(c.APIKey) {
			return fmt.Errorf("tokensource: the API key must be 1 to %d visible ASCII characters without blanks", p.Wire.APIKey.MaxLength)
		}
		return nil
	}
	if id := p.Policy.ClientID; !id.Accepts(c.ClientID) {
		return fmt.Errorf("tokensource: ClientID %q does not have the form of %s: %s", c.ClientID, p.Name, id)
	}
	if c.AssertionLifetime < 0 {
		return errors.New("tokensource: AssertionLifetime is negative")
	}
	return nil
}

// leastWithheld is the length of the shortest secret that is taken out of a text,
// in octets. A shorter one is in many words by chance.
const leastWithheld = 8

// withhold takes the secrets out of what a server says: some quote the request.
func (c *Credential) withhold(text string) string {
	for _, secret := range []string{c.Secret, c.APIKey} {
		if len(secret) >= leastWithheld {
			text = strings.ReplaceAll(text, secret, "[withheld]")
		}
	}
	return text
}

// visible tells whether s is all %x21-7E, which a header can carry as one word.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= 0x20 || s[i] >= 0x7F {
			return false
		}
	}
	return true
}
