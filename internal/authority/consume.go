package authority

import (
	"moneyer/internal/evidence"
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
	of       [maxAssertions]*evidence.Assertion
	n        int
	// signature is the canonical one under which the token is sealed; nil unless the
	// issuer answers the same assertion with the same token.
	signature []byte
}

// consumptionOf is what the assertions of a request consume; nil ones are left out. An
// assertion beside another never gives the same token again: each must be good for one use.
func consumptionOf(assertions ...*evidence.Assertion) (c consumption) {
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
func (c *consumption) replayed(index int) error { return c.of[index].Replayed() }

// add adds what one assertion consumes: nothing where it is taken any number of times.
func (c *consumption) add(p *evidence.Assertion) {
	replay := p.Replay()
	if replay == platform.ReplayUntilExp {
		return
	}
	canonical := p.Signature()
	c.consumed[c.n] = ledger.Consumed{Value: p.Value(canonical), Until: p.Until()}
	c.of[c.n] = p
	c.n++
	if replay == platform.ReplaySameToken {
		c.signature = canonical
	}
}
