package jose

import (
	"fmt"

	"moneyer/internal/strictjson"
)

// The limits of claims, in bytes and entries.
const (
	MaxClaim     = 256  // iss, sub, jti, client_id
	MaxSubject   = 2048 // sub where ParseClaimsOf is told so: a SPIFFE ID
	MaxAudience  = 16   // entries of aud
	maxAudClaim  = 1024 // one entry of aud, which may be a URL
	maxScope     = 2048
	maxJWTMember = 64
)

// ClaimSet is a set of claims.
type ClaimSet uint16

// The claims of type Claims.
const (
	ClaimIssuer ClaimSet = 1 << iota
	ClaimSubject
	ClaimAudience
	ClaimExpiry
	ClaimNotBefore
	ClaimIssuedAt
	ClaimID
	ClaimClientID
	ClaimScope
	ClaimConfirmation
)

// Claims are the claims of RFC 7519 section 4.1, the client_id and scope of RFC 9068 section 2.2
// and the cnf of RFC 7800. An absent claim has the zero value; Present distinguishes it from an empty one.
type Claims struct {
	Present      ClaimSet
	Issuer       string
	Subject      string
	Audience     []string
	Expiry       int64 // seconds since 1970, rounded down, like NotBefore and IssuedAt
	NotBefore    int64
	IssuedAt     int64
	ID           string // jti
	ClientID     string
	Scope        string
	Confirmation []byte // cnf as JSON, for ParseConfirmation
}

// Has reports whether all claims of set are present.
func (c *Claims) Has(set ClaimSet) bool { return c.Present&set == set }

// ParseClaims reads the payload of a JWT. Names are exact and occur once, each claim of type Claims
// has its one JSON type and is bounded, and a NumericDate is a number from 0 to 2^53-1 in digits, of
// which a fraction is rounded down. Other claims are ignored. The error wraps ErrClaims and names the claim.
func ParseClaims(payload []byte) (*Claims, error) { return ParseClaimsOf(payload, MaxClaim) }

// ParseClaimsOf is ParseClaims with another bound of sub, in bytes.
func ParseClaimsOf(payload []byte, maxSubject int) (*Claims, error) {
	c := new(Claims)
	limits := strictjson.Limits{Members: maxJWTMember}
	err := strictjson.Object(payload, limits, func(name string, v strictjson.Value) error {
		if err := c.set(name, v, maxSubject); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrClaims, err)
	}
	return c, nil
}

// set parses one claim.
func (c *Claims) set(name string, v strictjson.Value, maxSubject int) (err error) {
	var claim ClaimSet
	switch name {
	case "iss":
		claim = ClaimIssuer
		c.Issuer, err = boundedText(v, MaxClaim)
	case "sub":
		claim = ClaimSubject
		c.Subject, err = boundedText(v, maxSubject)
	case "aud":
		claim = ClaimAudience
		err = c.setAudience(v)
	case "exp":
		claim = ClaimExpiry
		c.Expiry, err = v.NumericDate()
	case "nbf":
		claim = ClaimNotBefore
		c.NotBefore, err = v.NumericDate()
	case "iat":
		claim = ClaimIssuedAt
		c.IssuedAt, err = v.NumericDate()
	case "jti":
		claim = ClaimID
		c.ID, err = boundedText(v, MaxClaim)
	case "client_id":
		claim = ClaimClientID
		c.ClientID, err = boundedText(v, MaxClaim)
	case "scope":
		claim = ClaimScope
		c.Scope, err = boundedText(v, maxScope)
	case "cnf":
		claim = ClaimConfirmation
		c.Confirmation = v.Raw()
	}
	c.Present |= claim
	return err
}

// setAudience parses a string or an array of strings (RFC 7519 section 4.1.3).
func (c *Claims) setAudience(v strictjson.Value) error {
	if v.Kind() != strictjson.KindArray {
		text, err := boundedText(v, maxAudClaim)
		c.Audience = []string{text}
		return err
	}
	return v.Elements(func(element strictjson.Value) error {
		if len(c.Audience) == MaxAudience {
			return fmt.Errorf("more than %d entries", MaxAudience)
		}
		text, err := boundedText(element, maxAudClaim)
		c.Audience = append(c.Audience, text)
		return err
	})
}
