package registry

import (
	"encoding/binary"
	"time"
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
	text := appendPart(nil, "identity")
	text = appendPart(text, trusted.Name)
	for _, claim := range trusted.Claims {
		text = appendPart(text, claim)
		text = appendPart(text, value(claim))
	}
	return p.Digest(string(text))
}

func appendPart(dst []byte, part string) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(part)))
	return append(dst, part...)
}
