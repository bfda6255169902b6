package registry

import (
	"encoding/binary"
	"time"
)

// Identity is the claim values under which a trusted issuer knows a client.
type Identity struct {
	ID string `json:"id"`
	// Trusted is the name of the trusted issuer.
	Trusted string `json:"trusted"`
	// Claims holds those of TrustedIssuer.Claims and further ones; all must be equal in a token.
	Claims map[string]string `json:"claims"`
	// Digest finds the client.
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
	if i.Disabled {
		return "identity " + i.ID + ", disabled"
	}
	return "identity " + i.ID + ", over since " + i.NotAfter.Sub(now).Abs().Round(time.Second).String()
}

// IdentityDigest is the digest of the identity that claims have for a trusted issuer.
func (p Pepper) IdentityDigest(t *TrustedIssuer, claims map[string]string) Digest {
	var text []byte
	add := func(part string) {
		text = binary.BigEndian.AppendUint32(text, uint32(len(part)))
		text = append(text, part...)
	}
	add("identity")
	add(t.Name)
	for _, name := range t.Claims {
		add(name)
		add(claims[name])
	}
	return p.Digest(string(text))
}
