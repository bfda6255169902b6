package authority

import (
	"crypto/sha256"
	"encoding/binary"

	"moneyer/internal/jose"
	"moneyer/internal/ledger"
	"moneyer/internal/platform"
)

// maxAssertions is how many assertions a request can hold: one that is the grant, and one
// that authenticates the client.
const maxAssertions = 2

// consumption is what the ledger is to consume with the token, in one step: one value for
// each assertion that is good for one use.
type consumption struct {
	consumed [maxAssertions]ledger.Consumed
	of       [maxAssertions]*presented
	n        int
	// signature is the canonical one under which the token is sealed; nil unless the
	// issuer answers the same assertion with the same token.
	signature []byte
}

// consumptionOf is what the assertions of a request consume; nil ones are left out. An
// assertion beside another never gives the same token again: each must be good for one use.
func consumptionOf(assertions ...*presented) (c consumption) {
	for _, p := range assertions {
		if p != nil {
			c.add(p)
		}
	}
	if c.n > 1 {
		c.signature = nil
	}
	return c
}

func (c *consumption) values() []ledger.Consumed { return c.consumed[:c.n] }

// seal hides the token so that only the same assertion finds it again, with the same
// confirmation; nil where a second use is refused.
func (c *consumption) seal(confirmation string) *tokenSeal {
	if c.signature == nil {
		return nil
	}
	return newTokenSeal(c.signature, confirmation)
}

// replayed is the answer when the value with that index was consumed before.
func (c *consumption) replayed(index int) error { return c.of[index].replayed() }

// add adds what one assertion consumes: nothing where the issuer takes a grant any number
// of times. Client authentication is always good for one use, but for that by a token of a
// trusted issuer which hands the same one out until it expires.
func (c *consumption) add(p *presented) {
	replay := p.issuer.Replay
	switch {
	case p.workload != nil:
		replay = p.policy.Replay
	case !p.isGrant:
		replay = platform.ReplayOnce
	}
	if replay == platform.ReplayUntilExp {
		return
	}
	canonical := jose.CanonicalSignature(p.key.Public.Alg(), p.jws.Signature)
	c.consumed[c.n] = ledger.Consumed{Value: p.value(canonical), Until: p.expiry().Add(p.policy.Leeway)}
	c.of[c.n] = p
	c.n++
	if replay == platform.ReplaySameToken {
		c.signature = canonical
	}
}

// value stands for the assertion: (issuer, iss, jti), of a trusted issuer (issuer, its name,
// jti), or without a jti the signature in its one canonical form, since ECDSA signatures
// can be altered without the key, and two honest pods may sign equal claims in one second.
// An empty jti names nothing and is as good as none. Each part goes in with its length, so
// that no two lists of parts make one text.
func (p *presented) value(canonical []byte) [32]byte {
	parts := [...]string{p.issuer.Name, p.claims.Issuer, "jti", p.claims.ID}
	if p.claims.ID == "" {
		parts[2], parts[3] = "signature", string(canonical)
	}
	if p.workload != nil {
		parts[1], parts[2] = p.workload.trusted.Name, "trusted "+parts[2]
	}
	text := make([]byte, 0, 1024)
	for _, part := range parts {
		text = binary.BigEndian.AppendUint32(text, uint32(len(part)))
		text = append(text, part...)
	}
	return sha256.Sum256(text)
}
