package jose

import (
	"fmt"

	"moneyer/internal/strictjson"
)

// The bounds of claims, in octets and entries.
const (
	MaxClaim     = 256  // iss, sub, jti, client_id
	MaxAudience  = 16   // entries of aud
	maxAudClaim  = 1024 // one entry of aud, which may be a URL
	maxScope     = 2048
	maxJWTMember = 64
)

// ClaimSet tells which claims a JWT has.
type ClaimSet uint16

// The claims that Claims knows.
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
)

// Claims are the claims of RFC 7519 section 4.1 and the client_id and scope of
// RFC 9068 section 2.2. A claim that is absent has the zero value; Present tells
// it from one that is empty.
type Claims struct {
	Present         ClaimSet
	Issuer          string
	Subject         string
	Audience        []string
	AudienceIsArray bool
	Expiry          int64 // seconds since 1970, as NotBefore and IssuedAt
	NotBefore       int64
	IssuedAt        int64
	ID              string // jti
	ClientID        string
	Scope           string
}

// Has tells whether all claims of set are present.
func (c *Claims) Has(set ClaimSet) bool { return c.Present&set == set }

// ParseClaims reads the payload of a JWT. Names are exact and occur once, every
// claim it knows has its one type and is bounded, and a NumericDate is an
// integer from 0 to 2^53-1. Other claims are ignored. The error wraps
// ErrClaims and names the claim.
func ParseClaims(payload []byte) (*Claims, error) {
	c := new(Claims)
	limits := strictjson.Limits{Members: maxJWTMember}
	err := strictjson.Object(payload, limits, func(name string, v strictjson.Value) error {
		if err := c.set(name, v); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrClaims, err)
	}
	return c, nil
}

// set takes one claim.
func (c *Claims) set(name string, v strictjson.Value) (err error) {
	var claim ClaimSet
	switch name {
	case "iss":
		claim = ClaimIssuer
		c.Issuer, err = boundedText(v, MaxClaim)
	case "sub":
		claim = ClaimSubject
		c.Subject, err = boundedText(v, MaxClaim)
	case "aud":
		claim = ClaimAudience
		err = c.setAudience(v)
	case "exp":
		claim = ClaimExpiry
		c.Expiry, err = v.Seconds()
	case "nbf":
		claim = ClaimNotBefore
		c.NotBefore, err = v.Seconds()
	case "iat":
		claim = ClaimIssuedAt
		c.IssuedAt, err = v.Seconds()
	case "jti":
		claim = ClaimID
		c.ID, err = boundedText(v, MaxClaim)
	case "client_id":
		claim = ClaimClientID
		c.ClientID, err = boundedText(v, MaxClaim)
	case "scope":
		claim = ClaimScope
		c.Scope, err = boundedText(v, maxScope)
	}
	c.Present |= claim
	return err
}

// setAudience takes a string or an array of strings (RFC 7519 section 4.1.3).
func (c *Claims) setAudience(v strictjson.Value) error {
	if v.Kind() != strictjson.KindArray {
		text, err := boundedText(v, maxAudClaim)
		c.Audience = []string{text}
		return err
	}
	c.AudienceIsArray = true
	return v.Elements(func(element strictjson.Value) error {
		if len(c.Audience) == MaxAudience {
			return fmt.Errorf("more than %d entries", MaxAudience)
		}
		text, err := boundedText(element, maxAudClaim)
		c.Audience = append(c.Audience, text)
		return err
	})
}
