package registry

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"strings"
	"time"

	"moneyer/internal/platform"
	"moneyer/oauth"
)

// SecretKind is client secret or API key.
type SecretKind string

// The kinds of secrets.
const (
	ClientSecret SecretKind = "secret"
	APIKey       SecretKind = "api_key"
)

// check refuses a kind with which no client of the profile could authenticate.
func (kind SecretKind) check(p *platform.Profile) error {
	switch kind {
	case ClientSecret:
		if !p.Policy.Uses(oauth.AuthBasic) && !p.Policy.Uses(oauth.AuthPost) {
			return Invalidf("profile %s uses no client secrets", p.Name)
		}
	case APIKey:
		if !p.Policy.Uses(oauth.AuthAPIKey) {
			return Invalidf("profile %s uses no API keys", p.Name)
		}
	default:
		return Invalidf("kind is %s or %s", ClientSecret, APIKey)
	}
	return nil
}

// Secret is a high-entropy credential of a client, a client secret (RFC 6749
// §2.3.1) or an API key. Its text is shown once, when it is made; only the
// keyed hash is kept.
type Secret struct {
	// ID identifies the secret in commands and in the ledger; it is independent of the text.
	ID       string     `json:"id"`
	Kind     SecretKind `json:"kind"`
	Digest   Digest     `json:"digest"`
	NotAfter time.Time  `json:"not_after,omitzero"`
	Disabled bool       `json:"disabled,omitempty"`
	Created  time.Time  `json:"created"`
}

// LiveAt reports whether the secret may be used at that instant.
func (s *Secret) LiveAt(now time.Time) bool {
	return !s.Disabled && live(now, time.Time{}, s.NotAfter)
}

// State says for the log why a secret that is not live is not.
func (s *Secret) State(now time.Time) string {
	return notLive("secret", s.ID, s.Disabled, s.NotAfter, now)
}

func notLive(noun, id string, disabled bool, notAfter, now time.Time) string {
	if disabled {
		return noun + " " + id + ", disabled"
	}
	return noun + " " + id + ", over since " + notAfter.Sub(now).Abs().Round(time.Second).String()
}

// The texts of secrets and API keys begin so, which makes one in the wrong place easy
// to recognize.
const (
	secretPrefix = "mns_"
	apiKeyPrefix = "mnk_"
)

// newSecretID returns a name that cannot be taken for a flag: base64url may begin with
// a hyphen, base32 does not.
func newSecretID() string {
	random := make([]byte, 10)
	_, _ = rand.Read(random) // never fails (crypto/rand)
	return strings.ToLower(base32.StdEncoding.EncodeToString(random))
}

func randomText(size int) string {
	random := make([]byte, size)
	_, _ = rand.Read(random) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(random)
}

// Excerpt bounds what a stranger sent before it goes to a log, masks card numbers, and
// hides what may be a credential in the wrong place, such as a secret sent as client_id.
func Excerpt(s string) string {
	const most = 64
	switch {
	case strings.Contains(s, secretPrefix), strings.Contains(s, apiKeyPrefix), strings.HasPrefix(s, "eyJ"):
		return "something like a credential"
	case len(s) > most: // a card number is masked before it is cut: half of one is not known as such
		s = MaskCardNumbers(s[:min(len(s), most+longestCardNumber)])
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return MaskCardNumbers(s)
}

// LooksLikeCredential reports whether a text is a secret of ours, or a JWT, in a place
// that logs and the ledger show. How it begins is not enough to refuse it: one
// random identifier in 262,144 begins like a JWT.
func LooksLikeCredential(s string) bool {
	return strings.HasPrefix(s, "eyJ") && strings.Contains(s, ".") || hasSecret(s, secretPrefix) || hasSecret(s, apiKeyPrefix)
}

// hasSecret reports whether more than an identifier has room for follows the prefix.
func hasSecret(s, prefix string) bool {
	const half = 22 // of a secret's 43 characters
	_, rest, found := strings.Cut(s, prefix)
	return found && len(rest) >= half
}
