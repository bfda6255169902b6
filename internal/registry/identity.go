package registry

import (
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Identity is what a client is called by a trusted issuer: claims of its JWTs with their
// values. All of them must hold.
type Identity struct {
	// ID identifies the identity in commands and in the ledger.
	ID string `json:"id"`
	// Trusted is the name of the trusted issuer.
	Trusted string `json:"trusted"`
	// Claims by name: those by which the trusted issuer's clients are told apart
	// (TrustedIssuer.Claims), and any others.
	Claims map[string]string `json:"claims"`
	// Digest finds the identity: see Pepper.Identity.
	Digest   Digest    `json:"digest"`
	NotAfter time.Time `json:"not_after,omitzero"`
	Disabled bool      `json:"disabled,omitempty"`
	Created  time.Time `json:"created"`
}

// LiveAt reports whether the identity may be used at that instant.
func (i *Identity) LiveAt(now time.Time) bool {
	return !i.Disabled && live(now, time.Time{}, i.NotAfter)
}

// State says for the log why an identity that is not live is not.
func (i *Identity) State(now time.Time) string {
	return notLive("identity", i.ID, i.Disabled, i.NotAfter, now)
}

// Identity returns the digest under which an identity is found: of the trusted issuer and
// the values of the claims that it tells its clients apart by. Each part goes in with its
// length, so that no two lists of parts make one text.
func (p Pepper) Identity(trusted *TrustedIssuer, value func(claim string) string) Digest {
	claims := trusted.Claims
	if !slices.IsSorted(claims) { // their order in the configuration does not count
		claims = slices.Sorted(slices.Values(claims))
	}
	text := appendPart(nil, "identity")
	text = appendPart(text, trusted.Name)
	for _, claim := range claims {
		text = appendPart(text, claim)
		text = appendPart(text, value(claim))
	}
	return p.Digest(string(text))
}

func appendPart(dst []byte, part string) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(part)))
	return append(dst, part...)
}

// AddIdentity registers an identity. It refuses a trusted issuer that the issuer does not
// have, claims without those by which its clients are told apart, and what no JWT of it could
// hold.
func (c *Client) AddIdentity(issuer *Issuer, pepper Pepper, trusted string, claims map[string]string, notAfter, now time.Time) (Identity, error) {
	by := issuer.TrustedIssuer(trusted)
	switch {
	case len(issuer.Trusted) == 0:
		return Identity{}, Invalidf("issuer %s trusts no other issuers: [issuers.%[1]s.trusted.NAME] of the configuration names one", issuer.Name)
	case by == nil:
		return Identity{}, Invalidf("issuer %s has no trusted issuer %q; it has %s", issuer.Name, Excerpt(trusted), strings.Join(issuer.trustedNames(), ", "))
	case len(c.Identities) >= maxIdentities:
		return Identity{}, Invalidf("a client holds at most %d identities: remove one that is no longer used", maxIdentities)
	case !notAfter.IsZero() && !notAfter.After(now):
		return Identity{}, Invalidf("not-after must be in the future")
	}
	if err := by.checkClaims(claims); err != nil {
		return Identity{}, err
	}
	added := Identity{ID: newSecretID(), Trusted: by.Name, Claims: maps.Clone(claims), NotAfter: notAfter, Created: now,
		Digest: pepper.Identity(by, func(claim string) string { return claims[claim] })}
	for i := range c.Identities {
		if known := &c.Identities[i]; known.Digest.Equal(added.Digest) {
			return Identity{}, Invalidf("the client has an identity with this %s already, as %s: change or remove that one", strings.Join(by.Claims, ", "), known.ID)
		}
	}
	c.Identities = append(slices.Clone(c.Identities), added)
	return added, nil
}

// Unused returns why no JWT can have the identity while the configuration of the issuer is as
// it is; empty if one can.
func (i *Identity) Unused(issuer *Issuer, pepper Pepper) string {
	by := issuer.TrustedIssuer(i.Trusted)
	switch {
	case by == nil:
		return "the configuration has no trusted issuer " + i.Trusted
	case by.Disabled:
		return "trusted issuer " + i.Trusted + " is disabled"
	case !pepper.Identity(by, func(claim string) string { return i.Claims[claim] }).Equal(i.Digest):
		return "trusted issuer " + i.Trusted + " told its clients apart by other claims when it was registered: add it again"
	}
	return ""
}

// checkClaims refuses claims that do not make an identity of the trusted issuer.
func (t *TrustedIssuer) checkClaims(claims map[string]string) error {
	if len(claims) > maxIdentityClaims {
		return Invalidf("an identity has at most %d claims", maxIdentityClaims)
	}
	for _, claim := range t.Claims {
		if claims[claim] == "" {
			return Invalidf("claim %s is missing: trusted issuer %s tells its clients apart by %s", claim, t.Name, strings.Join(t.Claims, ", "))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		switch value := claims[name]; {
		case name == "" || len(name) > 256 || !printableASCII(name):
			return Invalidf("the name of a claim is 1 to 256 printable ASCII characters")
		case slices.Contains([]string{"iss", "aud", "exp", "nbf", "iat", "jti"}, name):
			return Invalidf("claim %s tells no clients apart: it is checked by other rules", name)
		case value == "" || len(value) > maxClaimValue || !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl):
			return Invalidf("the value of claim %s is 1 to %d bytes of text", name, maxClaimValue)
		case LooksLikeCredential(value):
			return Invalidf("the value of claim %s looks like a secret or a JWT", name)
		case name == "sub" && t.Kind == TrustedSPIFFE && !t.names(value):
			return Invalidf("sub is a SPIFFE ID of the trust domain of %s: spiffe://%s/...", t.Name, t.TrustDomain)
		case name == "sub" && t.Kind == TrustedKubernetes && !strings.HasPrefix(value, "system:serviceaccount:"):
			return Invalidf("sub of a Kubernetes service account is system:serviceaccount:NAMESPACE:NAME")
		}
	}
	return nil
}

// names reports whether a SPIFFE ID is of the trust domain.
func (t *TrustedIssuer) names(id string) bool {
	domain, ok := TrustDomain(id)
	return ok && domain == t.TrustDomain
}

// The bounds of an identity.
const (
	maxIdentities     = 32
	maxIdentityClaims = 16
	maxClaimValue     = 2048 // bytes; the longest SPIFFE ID
)
