// Package assertion makes the signed JWT that a client sends to a token endpoint,
// as a grant (RFC 7523 §2.1) or for client authentication (§2.2). The key is any
// crypto.Signer: in memory, in a smart card or in an HSM.
//
//   - NewSigner and Signer.Sign make an Assertion into a JWT; NewID makes its jti.
//   - LoadKey and ParseKey read a private key, GenerateKey makes one.
//   - MarshalKey, PublicPEM and Thumbprint are for storing and registering it.
//
// It does not send assertions, as package tokensource does, and does not verify
// them. It reads no clock: the caller sets the times of an assertion.
package assertion

import (
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"moneyer/internal/jose"
)

// Assertion holds the claims of an assertion (RFC 7519 §4.1). A field with its zero
// value is left out.
type Assertion struct {
	Issuer    string
	Subject   string
	Audience  []string // one is written as a string, several as an array
	ID        string   // jti, see NewID
	IssuedAt  time.Time
	NotBefore time.Time
	Expiry    time.Time
}

// Signer signs assertions with one key. They all have the same header. It is safe
// for concurrent use if its crypto.Signer is.
type Signer struct {
	jws *jose.Signer
}

// NewSigner returns a Signer. alg is ES256, RS256, PS256 or EdDSA; empty means ES256
// for a P-256 key, RS256 for RSA and EdDSA for Ed25519. The header has kid and typ
// unless they are empty.
func NewSigner(key crypto.Signer, alg, kid, typ string) (*Signer, error) {
	if key == nil {
		return nil, errors.New("assertion: no key")
	}
	chosen, err := algFor(key, alg)
	if err != nil {
		return nil, fmt.Errorf("assertion: %w", err)
	}
	jws, err := jose.NewSigner(key, chosen, kid, typ)
	if err != nil {
		return nil, fmt.Errorf("assertion: %w", err)
	}
	return &Signer{jws: jws}, nil
}

// Alg returns the algorithm of the header.
func (s *Signer) Alg() string { return string(s.jws.Alg()) }

// Sign returns a as a signed JWT, in the compact form of RFC 7515 §3.1.
func (s *Signer) Sign(a Assertion) (string, error) {
	claims, err := a.payload()
	if err != nil {
		return "", fmt.Errorf("assertion: %w", err)
	}
	token, err := s.jws.Sign(nil, claims)
	if err != nil {
		return "", fmt.Errorf("assertion: %w", err)
	}
	return string(token), nil
}

// payload is the JSON form of an Assertion.
type payload struct {
	Issuer    string      `json:"iss,omitempty"`
	Subject   string      `json:"sub,omitempty"`
	Audience  audience    `json:"aud,omitempty"`
	ID        string      `json:"jti,omitempty"`
	IssuedAt  numericDate `json:"iat,omitzero"`
	NotBefore numericDate `json:"nbf,omitzero"`
	Expiry    numericDate `json:"exp,omitzero"`
}

// payload returns the claims as JSON.
func (a Assertion) payload() ([]byte, error) {
	for _, text := range append([]string{a.Issuer, a.Subject, a.ID}, a.Audience...) {
		if !utf8.ValidString(text) {
			return nil, errors.New("a claim is not valid UTF-8") // which encoding/json would replace
		}
	}
	return json.Marshal(payload{
		Issuer:    a.Issuer,
		Subject:   a.Subject,
		Audience:  a.Audience,
		ID:        a.ID,
		IssuedAt:  numericDate{a.IssuedAt},
		NotBefore: numericDate{a.NotBefore},
		Expiry:    numericDate{a.Expiry},
	})
}

// audience is a string when it has one entry (RFC 7519 §4.1.3).
type audience []string

func (a audience) MarshalJSON() ([]byte, error) {
	if len(a) == 1 {
		return json.Marshal(a[0])
	}
	return json.Marshal([]string(a))
}

// numericDate is a time in whole seconds since 1970 (RFC 7519 §2).
type numericDate struct{ time.Time }

func (n numericDate) MarshalJSON() ([]byte, error) {
	if n.Unix() < 0 {
		return nil, errors.New("a time before 1970")
	}
	return strconv.AppendInt(nil, n.Unix(), 10), nil
}
