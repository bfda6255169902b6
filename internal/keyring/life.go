package keyring

import (
	"time"

	"moneyer/internal/registry"
)

// State is the state of a key in its life cycle.
type State string

// The states of a key, in order. Announced, signing and retired keys are published in the JWK set.
const (
	Announced State = "announced"
	Signing   State = "signing"
	Retired   State = "retired"
	Removed   State = "removed"
	Revoked   State = "revoked"
)

// KeyInfo describes a key without its private half.
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

// revokedFor is how long after its revocation a key is listed among the revoked ones. A thief makes
// tokens of any lifetime, so what ends them is that verifiers drop the key: they use a JWK set that
// they cannot fetch again for a day (package bearer), or for as long as they were told.
const revokedFor = 30 * 24 * time.Hour

// RevokedUntil returns when a revoked key leaves the list of revocations, and zero for any other.
func (k *KeyInfo) RevokedUntil() time.Time {
	if k.RevokedAt.IsZero() {
		return time.Time{}
	}
	return k.RevokedAt.Add(revokedFor)
}

func infoOf(key *registry.SigningKey, at time.Time) KeyInfo {
	return KeyInfo{
		Kid: key.Kid, Alg: key.Alg, URI: key.URI, State: stateOf(key, at),
		AnnouncedAt: key.AnnouncedAt, ActiveAt: key.ActiveAt, RetiredAt: key.RetiredAt,
		RemovedAt: key.RemovedAt, RevokedAt: key.RevokedAt,
	}
}

// stateOf returns the state of the key at an instant. A revoked key is revoked at every instant: a
// process whose clock is slow must not go on signing with it.
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

// reached reports whether instant is set and is not after at.
func reached(instant, at time.Time) bool { return !instant.IsZero() && !at.Before(instant) }

// signingKey returns the key that signs at that instant, the one activated last, or nil.
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

// JWKSMaxAge is how long a verifier may cache an issuer's JWK set. A key is announced at least that
// long before it signs.
const JWKSMaxAge = 5 * time.Minute

// clockSkew is the largest clock skew between processes: a key that another process has just announced
// is published at once, even by a slow clock.
const clockSkew = time.Minute

// published reports whether the key is in the JWK set at that instant.
func published(key *registry.SigningKey, at time.Time) bool {
	switch stateOf(key, at) {
	case Revoked, Removed:
		return false
	default:
		return reached(key.AnnouncedAt, at.Add(clockSkew))
	}
}
