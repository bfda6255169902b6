package registry

import (
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
	Keys                []jose.NamedKey
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
