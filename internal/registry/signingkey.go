package registry

import (
	"encoding/json"
	"time"
)

// SigningKey is a key with which an issuer signs access tokens. Its state
// follows from times alone, so that all processes switch at one instant:
// announced (published, not yet signing) from AnnouncedAt, signing from ActiveAt,
// retired (published, no longer signing) from RetiredAt, gone from RemovedAt.
// Zero means "not decided".
type SigningKey struct {
	Issuer string `json:"issuer"`
	// Kid is the RFC 7638 thumbprint.
	Kid string `json:"kid"`
	Alg string `json:"alg"`
	// URI says where the private key lives: "sealed:" in Sealed, "file:PATH".
	URI string `json:"uri"`
	// Sealed is the private key under the master key; never leaves the process.
	Sealed []byte          `json:"sealed,omitempty"`
	JWK    json.RawMessage `json:"jwk"`

	AnnouncedAt time.Time `json:"announced_at"`
	ActiveAt    time.Time `json:"active_at,omitzero"`
	RetiredAt   time.Time `json:"retired_at,omitzero"`
	RemovedAt   time.Time `json:"removed_at,omitzero"`
	// RevokedAt: the key was compromised and left the JWKS at once.
	RevokedAt time.Time `json:"revoked_at,omitzero"`
}

// SigningKeys are all keys of an issuer under one revision.
type SigningKeys struct {
	Issuer string
	// Revision counts the changes; a Put with a stale one is refused.
	Revision int64
	Keys     []SigningKey
}
