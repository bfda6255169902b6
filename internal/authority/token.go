package authority

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strconv"
	"time"

	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/internal/strictjson"
	"moneyer/oauth"
)

// jtiLength is 21 url-safe characters: 126 random bits.
const jtiLength = 21

func newJTI() string {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(random[:])[:jtiLength]
}

func newToken(issuer *registry.Issuer, grant *Grant, now time.Time) *AccessToken {
	issued := now.Truncate(time.Second)
	return &AccessToken{
		Type:      oauth.TokenTypeBearer,
		JTI:       newJTI(),
		Client:    grant.Client.ID,
		Expires:   issued.Add(issuer.TokenLifetime),
		ExpiresIn: int64(issuer.TokenLifetime / time.Second),
		Scope:     grant.Scope,
	}
}

// appendClaims appends the claims of the access token in the profile's order
// (RFC 9068 §2.2 where the platform says nothing).
func appendClaims(dst []byte, issuer *registry.Issuer, grant *Grant, token *AccessToken, now time.Time) ([]byte, error) {
	dst = append(dst, '{')
	claims := issuer.Profile.Policy.Token.Claims
	for i := range claims {
		claim := &claims[i]
		if claim.Release != "" && !grant.Scope.Has(claim.Release) {
			continue
		}
		mark := len(dst)
		if mark > 1 {
			dst = append(dst, ',')
		}
		dst = strictjson.AppendString(dst, claim.Name)
		dst = append(dst, ':')
		filled, ok := appendClaim(dst, claim, issuer, grant, token, now)
		switch {
		case ok:
			dst = filled
		case claim.Required:
			return nil, oauth.Errorf(oauth.ServerError, "").Because(fmt.Errorf(
				"claim %s needs %s, which is not registered for client %s: set it and try again", claim.Name, claim.From, grant.Client.ID))
		default:
			dst = dst[:mark]
		}
	}
	return append(dst, '}'), nil
}

// appendClaim appends one claim's value; ok is false when there is none.
func appendClaim(dst []byte, claim *platform.Claim, issuer *registry.Issuer, grant *Grant, token *AccessToken, now time.Time) (filled []byte, ok bool) {
	switch claim.From {
	case platform.SourceIssuer:
		return strictjson.AppendString(dst, issuer.URL), true
	case platform.SourceSubject:
		return strictjson.AppendString(dst, grant.Subject), true
	case platform.SourceAudience:
		return strictjson.AppendString(dst, issuer.ResourceAudience), true
	case platform.SourceClient:
		return strictjson.AppendString(dst, grant.Client.ID), true
	case platform.SourceScope:
		return strictjson.AppendString(dst, grant.Scope.String()), len(grant.Scope) > 0
	case platform.SourceJTI:
		return strictjson.AppendString(dst, token.JTI), true
	case platform.SourceIssuedAt:
		return strconv.AppendInt(dst, now.Unix(), 10), true
	case platform.SourceExpiry:
		return strconv.AppendInt(dst, token.Expires.Unix(), 10), true
	case platform.SourceAccount:
		return strictjson.AppendString(dst, grant.Account.ID), true
	case platform.SourceConfirmation:
		return appendConfirmation(dst, grant.Confirmation), grant.Confirmation != ""
	}
	value, ok := grant.attribute(claim.From)
	if !ok {
		return dst, false
	}
	return value.AppendJSON(dst), true
}

// appendConfirmation appends the confirmation of a certificate (RFC 8705 §3.1).
func appendConfirmation(dst []byte, thumbprint string) []byte {
	dst = append(dst, `{"x5t#S256":`...)
	return append(strictjson.AppendString(dst, thumbprint), '}')
}

// attribute finds what a source such as client.roles names.
func (g *Grant) attribute(source platform.Source) (registry.Attribute, bool) {
	if name, ok := source.ClientAttribute(); ok {
		value, ok := g.Client.Attributes[name]
		return value, ok
	}
	if name, ok := source.AccountAttribute(); ok {
		value, ok := g.Account.Attributes[name]
		return value, ok
	}
	name, _ := source.Param()
	for i := range g.Params {
		if g.Params[i].Name == name {
			return g.Params[i].Value, true
		}
	}
	return registry.Attribute{}, false
}
