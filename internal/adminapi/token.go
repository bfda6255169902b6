package adminapi

import (
	"time"

	"moneyer/internal/authority"
)

// Revocation is access tokens withdrawn before their end, as the API shows it.
type Revocation struct {
	ID string `json:"id"`
	// Reason says in words which tokens.
	Reason string `json:"reason"`
	// Tokens counts them where they are named one by one.
	Tokens int `json:"tokens,omitempty"`
	// Before, where it is there: tokens issued from then on are not meant.
	Before time.Time `json:"before,omitzero"`
	// Until is when the last of them has ended, and the revocation is forgotten.
	Until   time.Time `json:"until"`
	Created time.Time `json:"created"`
	// Note is in the answer to a revocation that may have missed a token, and tells
	// how to be sure.
	Note string `json:"note,omitempty"`
}

// Target says which access tokens to revoke, by one of JTI, Client, SigningKid and All.
type Target struct {
	JTI    string `json:"jti,omitempty"`
	Client string `json:"client,omitempty"`
	// Credential narrows Client to the tokens that one of its keys or secrets bought.
	Credential string `json:"credential,omitempty"`
	SigningKid string `json:"signing_kid,omitempty"`
	All        bool   `json:"all,omitempty"`
	// At, with Client or All: only tokens issued before then.
	At *Moment `json:"at,omitempty"`
}

// NewSigningKey announces a signing key.
type NewSigningKey struct {
	// URI is where the private key lives; empty for one that is made and sealed in the store.
	URI string `json:"uri,omitempty"`
	// ActiveAt is from when on it signs.
	ActiveAt *Moment `json:"active_at,omitempty"`
}

// Activation comes with the activation of a signing key.
type Activation struct {
	// AtOnce lets it sign though verifiers may not know it yet.
	AtOnce bool `json:"at_once,omitempty"`
}

// Question asks what the rules say of an assertion.
type Question struct {
	Assertion string `json:"assertion"`
	// Use is by default what the issuer's profile takes assertions as.
	Use Use `json:"use,omitempty"`
}

// Findings is what the rules say of an assertion.
type Findings struct {
	// Use is how the assertion was looked at.
	Use      Use                 `json:"use"`
	Findings []authority.Finding `json:"findings"`
}

// Use is what an assertion is offered as.
type Use string

// The uses of an assertion: as the grant (RFC 7523 §2.1), or to authenticate the
// client (§2.2).
const (
	UseGrant      Use = "grant"
	UseClientAuth Use = "client_authentication"
)
