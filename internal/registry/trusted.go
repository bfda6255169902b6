package registry

import (
	"time"

	"moneyer/internal/jose"
	"moneyer/internal/platform"
)

// TrustedIssuer is an identity provider whose JWTs are accepted as assertions of registered clients
// (RFC 7521 §3): configuration, read-only while the process runs with it.
type TrustedIssuer struct {
	// Name by which configuration and identities call it.
	Name string
	// Kind says how its tokens are judged.
	Kind TrustedKind
	// Issuer is the exact iss of its tokens; empty for SPIFFE.
	Issuer string
	// TrustDomain of SPIFFE IDs, without a scheme; empty for other kinds.
	TrustDomain string
	// One of JWKSURI, Bundle and Keys says where its keys are: a URL, the path of a file, or the
	// keys themselves. CA is the path of a file with the authorities of JWKSURI's certificate;
	// empty means the system's.
	JWKSURI, CA string
	Bundle      string
	Keys        []jose.NamedKey
	// Algs that its keys may be for.
	Algs []string
	// Audience lists what aud may be; empty means what it may be in an assertion of a client's own.
	Audience []string
	// Claims that name a client: their values are an identity's digest.
	Claims []string
	// MaxLifetime bounds exp by the server's clock.
	MaxLifetime time.Duration
	// Replay is ReplayOnce or ReplayUntilExp.
	Replay   platform.Replay
	Disabled bool
}

// TrustedKind is a kind of trusted issuer.
type TrustedKind string

// The kinds of trusted issuers.
const (
	TrustedJWT        TrustedKind = "jwt"
	TrustedKubernetes TrustedKind = "kubernetes"
	TrustedSPIFFE     TrustedKind = "spiffe"
)
