package registry

import (
	"slices"
	"time"

	"moneyer/internal/jose"
	"moneyer/internal/platform"
)

// TrustedIssuer is an identity provider whose JWTs are accepted for registered clients
// (RFC 7521 §3). It is configuration, read-only while the process runs with it.
type TrustedIssuer struct {
	// Name is how configuration and identities call it.
	Name string
	// Issuer is the iss of its JWTs, compared exactly. For SPIFFE it is empty:
	// TrustDomain, of the sub, takes its place.
	Issuer, TrustDomain string
	Kind                TrustedKind
	// JWKSURI, Bundle (a file) or Keys say where its keys are; CA is a file with the
	// authorities of JWKSURI's certificate, empty for the system's.
	JWKSURI, CA, Bundle string
	Keys                jose.KeySet
	// Algs that its keys may be for.
	Algs []string
	// Audience lists what aud may be, exactly one of them; empty means what the aud of a
	// client's own assertion may be.
	Audience []string
	// Claims tell its clients apart, each a string: an identity names a value for each.
	Claims []string
	// MaxLifetime bounds exp by the server's clock.
	MaxLifetime time.Duration
	// Replay is once or until-exp.
	Replay   platform.Replay
	Disabled bool
}

// TrustedKind says what the JWTs of a trusted issuer are like.
type TrustedKind string

// The kinds of trusted issuers.
const (
	TrustedJWT        TrustedKind = "jwt"
	TrustedKubernetes TrustedKind = "kubernetes" // service account tokens
	TrustedSPIFFE     TrustedKind = "spiffe"     // JWT-SVIDs
)

// TrustedIssuer finds the trusted issuer of that name; nil when there is none.
func (i *Issuer) TrustedIssuer(name string) *TrustedIssuer {
	for _, t := range i.Trusted {
		if t.Name == name {
			return t
		}
	}
	return nil
}

func (i *Issuer) trustedNames() []string {
	names := make([]string, len(i.Trusted))
	for n, t := range i.Trusted {
		names[n] = t.Name
	}
	return names
}

// TrustedBy finds the trusted issuer of a token: by its iss, compared exactly, or else by the trust
// domain of its sub, a SPIFFE ID. nil means that none made it. Nothing of the token is proven by that.
func (i *Issuer) TrustedBy(iss, sub string) *TrustedIssuer {
	for _, t := range i.Trusted {
		if t.Kind != TrustedSPIFFE && iss != "" && t.Issuer == iss {
			return t
		}
	}
	domain, ok := TrustDomain(sub)
	for _, t := range i.Trusted {
		if ok && t.Kind == TrustedSPIFFE && t.TrustDomain == domain {
			return t
		}
	}
	return nil
}

// TrustsSPIFFE reports whether JWT-SVIDs of some trust domain are accepted.
func (i *Issuer) TrustsSPIFFE() bool {
	return slices.ContainsFunc(i.Trusted, func(t *TrustedIssuer) bool { return t.Kind == TrustedSPIFFE && !t.Disabled })
}

// Horizon returns how far ahead the end of an accepted assertion may be, of clients or of trusted
// issuers, with its leeway: so long after it was accepted it is refused as expired.
func (i *Issuer) Horizon() time.Duration {
	policy := i.Profile.Policy.Assertion
	longest := policy.Horizon()
	for _, t := range i.Trusted {
		policy.MaxLifetime = t.MaxLifetime
		longest = max(longest, policy.Horizon())
	}
	return longest
}

// AssertionAlgs lists the algorithms of assertions: of the keys of clients, and of trusted issuers.
func (i *Issuer) AssertionAlgs() []string {
	algs := slices.Clip(i.Profile.Policy.Assertion.Algs)
	for _, t := range i.Trusted {
		for _, alg := range t.Algs {
			if !t.Disabled && !slices.Contains(algs, alg) {
				algs = append(algs, alg)
			}
		}
	}
	return algs
}
