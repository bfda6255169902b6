package authority

import (
	"encoding/json"
	"time"

	"moneyer/internal/jose"
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
	// Grants that the client may use; empty means every grant of the profile.
	Grants []oauth.GrantType `json:"grants,omitempty"`
	// Scope is all that a token for this client may carry.
	Scope oauth.Scope `json:"scope,omitempty"`
	// Introspects: the client may ask about tokens of others (RFC 7662).
	Introspects bool `json:"introspects,omitempty"`
	// Attributes feed the claims that the profile takes from "client.NAME".
	Attributes map[string]Attribute `json:"attributes,omitempty"`
	Keys       []Key                `json:"keys,omitempty"`
	// JWKSURI is where the client publishes further keys (RFC 7591 §2).
	JWKSURI string    `json:"jwks_uri,omitempty"`
	Secrets []Secret  `json:"secrets,omitempty"`
	Created time.Time `json:"created"`
}

// Attribute is a registered value of a client or merchant: one text or a list.
type Attribute struct {
	Text string
	List []string
	// IsList tells an empty list from an empty text.
	IsList bool
}

// MarshalJSON writes a string or an array of strings.
func (a Attribute) MarshalJSON() ([]byte, error) {
	if a.IsList {
		return json.Marshal(append([]string{}, a.List...))
	}
	return json.Marshal(a.Text)
}

// UnmarshalJSON reads a string or an array of strings.
func (a *Attribute) UnmarshalJSON(data []byte) error {
	*a = Attribute{IsList: len(data) > 0 && data[0] == '['}
	if a.IsList {
		return json.Unmarshal(data, &a.List)
	}
	return json.Unmarshal(data, &a.Text)
}

// Key is a public key of a client (RFC 7517), bound to one algorithm.
type Key struct {
	Kid string
	// Public is never nil in a Key that came out of a Registry.
	Public *jose.PublicKey
	// Environment of the issuer for which it was registered.
	Environment string
	// NotBefore and NotAfter bound its use; zero means no bound. NotAfter is the
	// first instant at which it is no longer good.
	NotBefore, NotAfter time.Time
	Disabled            bool
	Created             time.Time
}

// keyRecord is how a Key is stored.
type keyRecord struct {
	Kid         string          `json:"kid"`
	JWK         json.RawMessage `json:"jwk"`
	Environment string          `json:"environment,omitempty"`
	NotBefore   time.Time       `json:"not_before,omitzero"`
	NotAfter    time.Time       `json:"not_after,omitzero"`
	Disabled    bool            `json:"disabled,omitempty"`
	Created     time.Time       `json:"created"`
}

// MarshalJSON writes the key with its public JWK, as [DecodeClient] reads it.
func (k Key) MarshalJSON() ([]byte, error) {
	return json.Marshal(keyRecord{
		Kid: k.Kid, JWK: k.Public.AppendJWK(nil, k.Kid), Environment: k.Environment,
		NotBefore: k.NotBefore, NotAfter: k.NotAfter, Disabled: k.Disabled, Created: k.Created,
	})
}

// LiveAt tells whether the key may be used at that instant.
func (k *Key) LiveAt(now time.Time) bool {
	return !k.Disabled && live(now, k.NotBefore, k.NotAfter)
}

func live(now, notBefore, notAfter time.Time) bool {
	return !now.Before(notBefore) && (notAfter.IsZero() || now.Before(notAfter))
}

// SecretKind tells a client secret from an API key.
type SecretKind string

// The kinds of secrets.
const (
	ClientSecret SecretKind = "secret"
	APIKey       SecretKind = "api_key"
)

// Secret is a high-entropy credential of a client, a client secret (RFC 6749
// §2.3.1) or an API key. Its text is shown once, when it is made; only the
// keyed hash is kept.
type Secret struct {
	// ID names the secret in commands and in the ledger; it tells nothing of the text.
	ID       string     `json:"id"`
	Kind     SecretKind `json:"kind"`
	Digest   Digest     `json:"digest"`
	NotAfter time.Time  `json:"not_after,omitzero"`
	Disabled bool       `json:"disabled,omitempty"`
	Created  time.Time  `json:"created"`
}

// LiveAt tells whether the secret may be used at that instant.
func (s *Secret) LiveAt(now time.Time) bool {
	return !s.Disabled && live(now, time.Time{}, s.NotAfter)
}

// Merchant is a merchant on whose behalf a client may ask for tokens.
type Merchant struct {
	Issuer string `json:"issuer"`
	ID     string `json:"id"`
	// Client is the only client that may act for the merchant.
	Client     string               `json:"client"`
	Disabled   bool                 `json:"disabled,omitempty"`
	Attributes map[string]Attribute `json:"attributes,omitempty"`
}

// CardToken is a scheme token that belongs to a merchant. It is not an access
// token, and it is not a card number.
type CardToken struct {
	Issuer   string `json:"issuer"`
	ID       string `json:"id"`
	Merchant string `json:"merchant"`
	// Scheme in lower case, such as "visa" or "mastercard".
	Scheme string `json:"scheme"`
}

// SigningKey is a key with which an issuer signs access tokens. Its state is
// told by times alone, so every process that reads it switches at one instant:
// announced (published, not yet signing) from AnnouncedAt, signing from ActiveAt,
// retired (published, no longer signing) from RetiredAt, gone from RemovedAt.
// Zero means "not decided".
type SigningKey struct {
	Issuer string `json:"issuer"`
	// Kid is the RFC 7638 thumbprint.
	Kid string `json:"kid"`
	Alg string `json:"alg"`
	// URI says where the private key lives: "sealed:" in Sealed, "file:PATH".
	URI string `json:"uri"`
	// Sealed is the private key under the master key; never leaves the process.
	Sealed []byte          `json:"sealed,omitempty"`
	JWK    json.RawMessage `json:"jwk"`

	AnnouncedAt time.Time `json:"announced_at"`
	ActiveAt    time.Time `json:"active_at,omitzero"`
	RetiredAt   time.Time `json:"retired_at,omitzero"`
	RemovedAt   time.Time `json:"removed_at,omitzero"`
	// RevokedAt: the key was compromised and left the JWKS at once.
	RevokedAt time.Time `json:"revoked_at,omitzero"`
}

// SigningKeys are all keys of an issuer under one revision.
type SigningKeys struct {
	Issuer string
	// Revision counts the changes; a Put with a stale one is refused.
	Revision int64
	Keys     []SigningKey
}
