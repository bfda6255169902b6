package keyring

import (
	"time"

	"moneyer/internal/registry"
)

// State is the stage of its life in which a key is.
type State string

// The states of a key, in the order of its life. Published in the JWK set are
// announced, signing and retired keys.
const (
	Announced State = "announced"
	Signing   State = "signing"
	Retired   State = "retired"
	Removed   State = "removed"
	Revoked   State = "revoked"
)

// KeyInfo is what may be told of a key: all but its private half.
type KeyInfo struct {
	Kid   string `json:"kid"`
	Alg   string `json:"alg"`
	URI   string `json:"uri"`
	State State  `json:"state"`

	AnnouncedAt time.Time `json:"announced_at"`
	ActiveAt    time.Time `json:"active_at,omitzero"`
	RetiredAt   time.Time `json:"retired_at,omitzero"`
	RemovedAt   time.Time `json:"removed_at,omitzero"`
	RevokedAt   time.Time `json:"revoked_at,omitzero"`
}

func infoOf(key *registry.SigningKey, at time.Time) KeyInfo {
	return KeyInfo{
		Kid: key.Kid, Alg: key.Alg, URI: key.URI, State: stateOf(key, at),
		AnnouncedAt: key.AnnouncedAt, ActiveAt: key.ActiveAt, RetiredAt: key.RetiredAt,
		RemovedAt: key.RemovedAt, RevokedAt: key.RevokedAt,
	}
}

// stateOf tells a key's state. A revoked key is revoked at every instant: a clock
// that is behind must not sign with it for a while longer.
func stateOf(key *registry.SigningKey, at time.Time) State {
	switch {
	case !key.RevokedAt.IsZero():
		return Revoked
	case reached(key.RemovedAt, at):
		return Removed
	case reached(key.RetiredAt, at):
		return Retired
	case reached(key.ActiveAt, at):
		return Signing
	default:
		return Announced
	}
}

// reached tells whether an instant was decided on and has come.
func reached(instant, at time.Time) bool { return !instant.IsZero() && !at.Before(instant) }

// signingKey returns the one key that signs at that instant, the last to have
// become active, or nil.
func signingKey(keys []registry.SigningKey, at time.Time) *registry.SigningKey {
	var signing *registry.SigningKey
	for i := range keys {
		key := &keys[i]
		if stateOf(key, at) == Signing && (signing == nil || key.ActiveAt.After(signing.ActiveAt)) {
			signing = key
		}
	}
	return signing
}

// JWKSMaxAge is how long a verifier may keep an issuer's keys. A key is
// announced at least so long before it signs.
const JWKSMaxAge = 5 * time.Minute

// clocks is how far the clocks of processes may be apart: a key that another one
// has just announced is published at once.
const clocks = time.Minute

// published tells whether the key is in the JWK set at that instant.
func published(key *registry.SigningKey, at time.Time) bool {
	switch stateOf(key, at) {
	case Revoked, Removed:
		return false
	default:
		return reached(key.AnnouncedAt, at.Add(clocks))
	}
}
