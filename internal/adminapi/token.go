package adminapi

import (
	"time"

	"moneyer/internal/evidence"
)

// Revocation revokes access tokens before they expire, as the API shows it.
type Revocation struct {
	ID string `json:"id"`
	// Reason says in words which tokens.
	Reason string `json:"reason"`
	// Tokens counts them where they are named one by one.
	Tokens int `json:"tokens,omitempty"`
	// Before, if set, limits it to tokens issued before then.
	Before time.Time `json:"before,omitzero"`
	// Until is when the last of them expires, and the revocation is removed.
	Until   time.Time `json:"until"`
	Created time.Time `json:"created"`
	// Unverified is whether it does not verify under the master key, so that it may have
	// revoked other tokens.
	Unverified bool `json:"unverified,omitempty"`
	// Note is in the response to a revocation that may have missed a token, and says
	// how to revoke it.
	Note string `json:"note,omitempty"`
}

// Target says which access tokens to revoke, by one of JTI, Client, SigningKid and All.
type Target struct {
	JTI    string `json:"jti,omitempty"`
	Client string `json:"client,omitempty"`
	// Credential narrows Client to the tokens that were issued for one of its keys or
	// secrets.
	Credential string `json:"credential,omitempty"`
	// Subject narrows Client to the tokens with that sub.
	Subject    string `json:"subject,omitempty"`
	SigningKid string `json:"signing_kid,omitempty"`
	All        bool   `json:"all,omitempty"`
	// At, with Client or All: only tokens issued before then.
	At *Moment `json:"at,omitempty"`
}

// NewSigningKey announces a signing key.
type NewSigningKey struct {
	// URI is the location of the private key; empty for one that is generated and stored
	// encrypted.
	URI string `json:"uri,omitempty"`
	// ActiveAt is when it starts to sign.
	ActiveAt *Moment `json:"active_at,omitempty"`
}

// Activation is the body of the activation of a signing key.
type Activation struct {
	// AtOnce lets it sign though verifiers may not know it yet.
	AtOnce bool `json:"at_once,omitempty"`
}

// Question asks to check an assertion against every rule.
type Question struct {
	Assertion string `json:"assertion,omitempty"`
	// Certificate is asked about instead of an assertion: PEM, with the chain that the client sends. It
	// would authenticate Client.
	Certificate string `json:"certificate,omitempty"`
	Client      string `json:"client,omitempty"`
	// Use defaults to how the issuer's profile accepts assertions.
	Use Use `json:"use,omitempty"`
}

// Findings is the result of each rule for an assertion or a certificate.
type Findings struct {
	// Use is how it was checked.
	Use      Use                `json:"use"`
	Findings []evidence.Finding `json:"findings"`
	// DemandsCertificate is set where the issuer takes the assertion only beside a client certificate,
	// which is not checked here.
	DemandsCertificate bool `json:"demands_certificate,omitempty"`
}

// Use is the use of an assertion.
type Use string

// The uses of an assertion: as the grant (RFC 7523 §2.1), or to authenticate the
// client (§2.2).
const (
	UseGrant      Use = "grant"
	UseClientAuth Use = "client_authentication"
)
