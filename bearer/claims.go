package bearer

import (
	"errors"
	"time"

	"moneyer/internal/jose"
	"moneyer/internal/strictjson"
	"moneyer/oauth"
)

// Claims are the claims of a verified access token (RFC 9068 §2.2). A claim that is
// absent has the zero value. Callers may share them and must not change them.
type Claims struct {
	Issuer    string
	Subject   string
	Audience  []string
	ClientID  string
	Scope     oauth.Scope
	ID        string // jti
	Expiry    time.Time
	IssuedAt  time.Time
	NotBefore time.Time
	// KeyID is the kid of the key that signed; empty when the header has none.
	KeyID string
	// Confirmation is the cnf of a token that is bound to its client; nil means that
	// whoever has the token may use it (RFC 6750).
	Confirmation *Confirmation
	// Payload is the claim set as JSON, as it was signed. Text and Texts read other
	// claims from it.
	Payload []byte
}

// parseClaims reads a payload whose signature was verified.
func parseClaims(payload []byte) (*Claims, error) {
	c, err := jose.ParseClaims(payload)
	if err != nil {
		return nil, err
	}
	if !c.Has(jose.ClaimIssuer | jose.ClaimExpiry) {
		return nil, errors.New("no iss or no exp")
	}
	scope, err := oauth.ParseScope(c.Scope)
	if err != nil {
		return nil, err
	}
	claims := &Claims{
		Issuer:   c.Issuer,
		Subject:  c.Subject,
		Audience: c.Audience,
		ClientID: c.ClientID,
		Scope:    scope,
		ID:       c.ID,
		Expiry:   time.Unix(c.Expiry, 0),
		Payload:  payload,
	}
	if c.Has(jose.ClaimIssuedAt) {
		claims.IssuedAt = time.Unix(c.IssuedAt, 0)
	}
	if c.Has(jose.ClaimNotBefore) {
		claims.NotBefore = time.Unix(c.NotBefore, 0)
	}
	if c.Has(jose.ClaimConfirmation) {
		digest, err := jose.ParseConfirmation(c.Confirmation)
		if err != nil {
			return nil, err
		}
		claims.Confirmation = &Confirmation{CertificateSHA256: digest}
	}
	return claims, nil
}

// Text returns the value of a claim, and whether the claim is present and a string.
func (c *Claims) Text(name string) (string, bool) {
	value, ok := c.value(name)
	if !ok {
		return "", false
	}
	text, err := value.Text()
	return text, err == nil
}

// Texts returns the values of a claim, and whether the claim is present and an array
// of strings.
func (c *Claims) Texts(name string) ([]string, bool) {
	value, ok := c.value(name)
	if !ok {
		return nil, false
	}
	texts, err := value.Texts()
	return texts, err == nil
}

func (c *Claims) has(name string) bool {
	_, ok := c.value(name)
	return ok
}

// value finds a claim by its exact name.
func (c *Claims) value(name string) (found strictjson.Value, ok bool) {
	err := strictjson.Object(c.Payload, strictjson.Limits{}, func(member string, v strictjson.Value) error {
		if member == name {
			found, ok = v, true
		}
		return nil
	})
	return found, ok && err == nil
}

// require checks that the token has every word of scope. The error is
// insufficient_scope (RFC 6750 §3.1).
func (c *Claims) require(scope oauth.Scope) error {
	if word := scope.Missing(c.Scope); word != "" {
		return oauth.Errorf(oauth.InsufficientScope, "the access token lacks the scope %s", word)
	}
	return nil
}
